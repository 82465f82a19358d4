// A bot with Botly, which checks the SHA-1 signature.
'use strict';
const express = require('express');
const Botly = require('botly');

const botly = new Botly({
  accessToken: 'a', verifyToken: process.env.VERIFY_TOKEN, webHookPath: '/webhook', FB_URL: process.env.GRAPH + '/v2.12/',
});
const fail = error => { if (error) throw error; };
botly.on('message', (id, message) => {
  const text = message.message.text;
  if (text === 'buttons') return botly.sendButtons({id, text: 'Which?', buttons: [botly.createPostbackButton('Red', 'RED')]}, fail);
  if (text === 'upload') {
    return botly.upload({pageId: 'me', type: Botly.CONST.ATTACHMENT_TYPE.IMAGE, payload: {url: process.env.GRAPH + '/files/picture.png'}}, (error, body) => {
      fail(error);
      botly.sendAttachment({id, type: Botly.CONST.ATTACHMENT_TYPE.IMAGE, payload: {attachment_id: body.attachment_id}}, fail);
    });
  }
  botly.sendAction({id, action: Botly.CONST.ACTION_TYPES.TYPING_ON}, fail);
  return botly.sendText({id, text}, fail);
});
botly.on('postback', (id, message, payload) => botly.sendText({id, text: 'tapped ' + payload}, fail));
const app = express();
app.use(express.json({verify: botly.getVerifySignature(process.env.APP_SECRET)}));
app.use(botly.router());
botly.setGetStarted({pageId: 'me', payload: 'START'}, error => {
  fail(error);
  const menu = [{locale: 'default', call_to_actions: [botly.createPostbackButton('Help', 'HELP')]}];
  botly.setPersistentMenu({pageId: 'me', menu}, error => { fail(error); app.listen(Number(process.env.PORT)); });
});
