// A bot with BootBot, which checks the SHA-1 signature.
'use strict';
const where = require.resolve('node-fetch');
const fetch = require(where);
// The library cannot be told where the Graph API is, and Node 20 takes no proxy from the environment.
require.cache[where].exports = (url, options) => fetch(url.replace('https://graph.facebook.com', process.env.GRAPH), options);
const BootBot = require('bootbot');

const bot = new BootBot({accessToken: 'a', verifyToken: process.env.VERIFY_TOKEN, appSecret: process.env.APP_SECRET});
bot.on('message', (payload, chat, data) => {
  const text = payload.message.text;
  if (text === 'buttons') return chat.sendButtonTemplate('Which?', [{type: 'postback', title: 'Red', payload: 'RED'}]);
  if (text === 'upload') return chat.sendAttachment('image', process.env.GRAPH + '/files/picture.png');
  return chat.say(text, {typing: 50});
});
bot.on('postback', (payload, chat) => chat.say('tapped ' + payload.postback.payload));
bot.setGetStartedButton('START').then(() => bot.setPersistentMenu([{type: 'postback', title: 'Help', payload: 'HELP'}]))
  .then(() => bot.start(Number(process.env.PORT)));
