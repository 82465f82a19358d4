"""A bot with fbmq, which knows graph.facebook.com alone: through the proxy, with nothing changed."""
import os

from flask import Flask, request
from fbmq import Attachment, Page, Template

page = Page("a token", api_ver="v2.11")
app = Flask(__name__)


@app.get("/webhook")
def handshake():
    if request.args.get("hub.verify_token") == os.environ["VERIFY_TOKEN"]:
        return request.args["hub.challenge"]
    return "wrong token", 403


@app.post("/webhook")
def webhook():
    page.handle_webhook(request.get_data(as_text=True))
    return "ok"


@page.handle_message
def message(event):
    person, text = event.sender_id, event.message.get("text")
    if text == "buttons":
        page.send(person, Template.Buttons("Which?", [Template.ButtonPostBack("Red", "RED")]))
    elif text == "upload":
        page.send(person, Attachment.Image("https://graph.facebook.com/files/picture.png"))
    elif text:
        page.typing_on(person)
        page.send(person, text)


@page.handle_postback
def postback(event):
    page.send(event.sender_id, "tapped " + event.payload)


page.show_starting_button("START")
page.show_persistent_menu([Template.ButtonPostBack("Help", "HELP")])
assert page.page_name
app.run(port=int(os.environ["PORT"]))
