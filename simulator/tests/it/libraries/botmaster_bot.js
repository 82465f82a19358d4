// A bot with Botmaster, which knows graph.facebook.com alone: through the proxy, with nothing changed.
const Botmaster = require("botmaster");
const MessengerBot = require("botmaster-messenger");

const botmaster = new Botmaster({port: process.env.PORT});
const bot = new MessengerBot({
  credentials: {verifyToken: process.env.VERIFY_TOKEN, pageToken: "a token", fbAppSecret: process.env.APP_SECRET},
  webhookEndpoint: "webhook",
});
botmaster.addBot(bot);
botmaster.on("error", (_, error) => console.error(error));
botmaster.use({
  type: "incoming",
  name: "answer",
  controller: (bot, {sender, message, postback}) => {
    if (postback) return bot.sendTextMessageTo(`tapped ${postback.payload}`, sender.id);
    if (!message?.text || message.is_echo) return undefined;
    if (message.text === "upload") {
      const picture = {type: "image", payload: {url: "https://graph.facebook.com/files/picture.png"}};
      return bot.sendAttachmentTo(picture, sender.id);
    }
    if (message.text !== "buttons") return bot.reply({sender}, message.text);
    const buttons = [{type: "postback", title: "Red", payload: "RED"}];
    const payload = {template_type: "button", text: "Which?", buttons};
    return bot.sendAttachmentTo({type: "template", payload}, sender.id);
  },
});
const item = {type: "postback", title: "Help", payload: "HELP"};
bot._setGetStartedButton("START")
  .then(() => bot._setPersistentMenu([{locale: "default", composer_input_disabled: false, call_to_actions: [item]}]));
