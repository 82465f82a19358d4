"""The echo bot of the tutorial that everybody follows: a yardstick for `cargo bench -- --tutorial`."""

import os

import requests
from flask import Flask, request

GRAPH_URL = os.environ["GRAPH_URL"]
PAGE_ACCESS_TOKEN = os.environ["PAGE_ACCESS_TOKEN"]
VERIFY_TOKEN = os.environ["VERIFY_TOKEN"]

app = Flask(__name__)


@app.route("/", methods=["GET"])
def handshake():
    if request.args.get("hub.verify_token") == VERIFY_TOKEN:
        return request.args["hub.challenge"]
    return "Invalid verification token", 403


@app.route("/", methods=["POST"])
def webhook():
    for sender, text in messages(request.get_json()):
        send(sender, text)
    return "ok"


def messages(payload):
    for entry in payload["entry"]:
        for event in entry["messaging"]:
            text = event.get("message", {}).get("text")
            yield event["sender"]["id"], text or "I can't echo this"


def send(recipient, text):
    answer = requests.post(
        f"{GRAPH_URL}/v26.0/me/messages",
        params={"access_token": PAGE_ACCESS_TOKEN},
        json={"recipient": {"id": recipient}, "message": {"text": text}},
    )
    if answer.status_code != requests.codes.ok:
        print(answer.text)
