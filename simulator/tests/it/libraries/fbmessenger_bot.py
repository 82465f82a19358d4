"""A bot with fbmessenger: its own session and address, attachments by id."""
import collections
import collections.abc
import os

# The library is older than Python 3.10.
collections.Iterable = collections.abc.Iterable

from fbmessenger import BaseMessenger
from fbmessenger.attachments import Image
from fbmessenger.elements import Button, Text
from fbmessenger.sender_actions import SenderAction
from fbmessenger.templates import ButtonTemplate
from flask import Flask, request


class Messenger(BaseMessenger):
    def message(self, message):
        text = message["message"].get("text")
        if text == "buttons":
            red = Button(button_type="postback", title="Red", payload="RED")
            self.send(ButtonTemplate(text="Which?", buttons=[red]).to_dict())
        elif text == "upload":
            picture = Image(url=os.environ["GRAPH"] + "/files/picture.png", is_reusable=True)
            uploaded = self.upload_attachment(picture)
            self.send(Image(attachment_id=uploaded["attachment_id"]).to_dict())
        elif text:
            self.send_action(SenderAction(sender_action="typing_on").to_dict())
            self.send(Text(text=text).to_dict())

    def postback(self, message):
        self.send(Text(text="tapped " + message["postback"]["payload"]).to_dict())

    def account_linking(self, message): pass
    def delivery(self, message): pass
    def optin(self, message): pass
    def read(self, message): pass


app = Flask(__name__)
messenger = Messenger("a token", app_secret=os.environ["APP_SECRET"])
messenger.client.graph_url = os.environ["GRAPH"] + "/v2.12"


@app.get("/webhook")
def handshake():
    if request.args.get("hub.verify_token") == os.environ["VERIFY_TOKEN"]:
        return request.args["hub.challenge"]
    return "wrong token", 403


@app.post("/webhook")
def webhook():
    messenger.handle(request.get_json(force=True))
    return "ok"


menu = {"locale": "default", "call_to_actions": [{"type": "postback", "title": "Help", "payload": "HELP"}]}
set_up = messenger.set_messenger_profile({"get_started": {"payload": "START"}, "persistent_menu": [menu]})
assert set_up == {"result": "success"}, set_up
app.run(port=int(os.environ["PORT"]))
