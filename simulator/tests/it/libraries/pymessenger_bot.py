"""A bot with pymessenger: JSON, and an upload as multipart."""
import os

from flask import Flask, request
from pymessenger.bot import Bot
import requests

app = Flask(__name__)
bot = Bot("a token", app_secret=os.environ["APP_SECRET"])
bot.graph_url = os.environ["GRAPH"] + "/v2.6"
# The library has forgotten it for uploads.
bot.base_url = f"{bot.graph_url}/me/messages?access_token=a"


@app.get("/webhook")
def handshake():
    if request.args.get("hub.verify_token") == os.environ["VERIFY_TOKEN"]:
        return str(int(request.args["hub.challenge"]))
    return "wrong token", 403


@app.post("/webhook")
def webhook():
    for entry in request.get_json()["entry"]:
        for event in entry.get("messaging", []):
            answer(event)
    return "ok"


def answer(event):
    person = event["sender"]["id"]
    text = event.get("message", {}).get("text")
    if "postback" in event:
        bot.send_text_message(person, "tapped " + event["postback"]["payload"])
    elif text == "buttons":
        bot.send_button_message(person, "Which?", [{"type": "postback", "title": "Red", "payload": "RED"}])
    elif text == "upload":
        bot.send_image(person, os.environ["PICTURE"])
    elif text:
        bot.send_action(person, "typing_on")
        bot.send_text_message(person, text)


def profile():
    start = {"get_started": {"payload": "START"}}
    menu = {"persistent_menu": [{"locale": "default", "call_to_actions": [{"type": "postback", "title": "Help", "payload": "HELP"}]}]}
    for settings in (start, menu):
        requests.post(bot.graph_url + "/me/messenger_profile", params=bot.auth_args, json=settings).raise_for_status()


profile()
app.run(port=int(os.environ["PORT"]))
