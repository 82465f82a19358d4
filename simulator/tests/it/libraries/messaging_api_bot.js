// A bot with messaging-api-messenger: axios, and an upload of a stream.
'use strict';
const crypto = require('crypto');
const express = require('express');
const fs = require('fs');
const {MessengerClient} = require('messaging-api-messenger');

const {APP_SECRET, GRAPH, PICTURE, PORT, VERIFY_TOKEN} = process.env;
const client = new MessengerClient({accessToken: 'a', appSecret: APP_SECRET, origin: GRAPH, version: '8.0'});
const app = express();
app.use(express.json({verify: (request, _, body) => {
  const signature = 'sha256=' + crypto.createHmac('sha256', APP_SECRET).update(body).digest('hex');
  if (request.get('X-Hub-Signature-256') !== signature) throw new Error('wrong signature');
}}));
app.get('/webhook', ({query}, response) =>
  query['hub.verify_token'] === VERIFY_TOKEN ? response.send(query['hub.challenge']) : response.sendStatus(403));
app.post('/webhook', ({body}, response) => {
  response.send('ok');
  for (const {messaging} of body.entry) for (const event of messaging ?? []) answer(event).catch(error => console.error(error));
});
async function answer({sender: {id}, message, postback}) {
  if (postback) return client.sendText(id, 'tapped ' + postback.payload);
  if (message.text === 'buttons') return client.sendButtonTemplate(id, 'Which?', [{type: 'postback', title: 'Red', payload: 'RED'}]);
  if (message.text === 'upload') {
    const {attachmentId} = await client.uploadImage(fs.createReadStream(PICTURE), {isReusable: true});
    return client.sendImage(id, {attachmentId});
  }
  await client.typingOn(id);
  return client.sendText(id, message.text);
}
const menu = [{locale: 'default', callToActions: [{type: 'postback', title: 'Help', payload: 'HELP'}]}];
client.setGetStarted('START').then(() => client.setPersistentMenu(menu)).then(() => app.listen(Number(PORT)));
