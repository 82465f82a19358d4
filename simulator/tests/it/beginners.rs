//! Bots as beginners write them, and what is wrong with them, in words.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use super::*;
use crate::process::run;

/// Thirty lines of another language: an echo bot as a beginner writes it.
const PYTHON_BOT: &str = r#"
import hashlib, hmac, json, os, sys, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

class Bot(BaseHTTPRequestHandler):
    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())
    def do_GET(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.path).query))
        right = asked.get("hub.verify_token") == "my token"
        self.answer(200 if right else 403, asked["hub.challenge"] if right else "wrong token")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = "sha256=" + hmac.new(b"my secret", body, hashlib.sha256).hexdigest()
        if self.headers["X-Hub-Signature-256"] != signature:
            return self.answer(403, "wrong signature")
        for entry in json.loads(body)["entry"]:
            for event in entry["messaging"]:
                self.send(event["sender"]["id"], "you said: " + event["message"]["text"])
        self.answer(200, "ok")
    def send(self, person, text):
        message = {"recipient": {"id": person}, "messaging_type": "RESPONSE", "message": {"text": text}}
        url = os.environ["GRAPH"] + "/v20.0/me/messages?access_token=mine"
        request = urllib.request.Request(url, json.dumps(message).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request)
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Bot)
print(server.server_port, flush=True)
os.environ["GRAPH"] = sys.stdin.readline().strip()
server.serve_forever()
"#;

#[test]
fn a_bot_written_in_another_language_is_played_with() {
    let mut python = Command::new("python3");
    python
        .args(["-c", PYTHON_BOT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let Ok(mut child) = python.spawn() else {
        leave_out("a bot in Python", "there is no python3");
        return;
    };
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut input = child.stdin.take().expect("it is piped");
    let _bot = Running(child);
    let mut port = String::new();
    output.read_line(&mut port).expect("the bot says its port");
    let webhook = format!("http://127.0.0.1:{}/webhook", port.trim());
    let mut say = Running::start(&mut simulate_for(
        &webhook,
        &["--say", "Hello 👋", "--json"],
    ));
    let mut told = BufReader::new(say.0.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert_ne!(
            told.read_line(&mut line).expect("it is text"),
            0,
            "the Graph API's address is printed"
        );
    }
    let graph = line.rsplit(' ').next().expect("it ends with the address");
    input.write_all(graph.as_bytes()).expect("the bot reads");
    let ended = say.end();
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("it is text");
    assert_eq!(ended.code, Some(0), "{rest}");
    let heard: Value = serde_json::from_str(&ended.stdout).expect("it is a line of JSON");
    assert_eq!(heard["said"], "Hello 👋");
    assert_eq!(heard["heard"], json!(["you said: Hello 👋"]));
    assert_eq!(heard["webhook_status"], 200);
}

fn simulate_for(webhook: &str, arguments: &[&str]) -> Command {
    let mut all = vec![
        "--webhook",
        webhook,
        "--verify-token",
        "my token",
        "--app-secret",
        "my secret",
    ];
    all.extend(arguments);
    support::simulate(&all)
}

/// A bot that answers every request with these bytes, or not at all. `CHALLENGE` stands for what it was asked to give
/// back.
fn beginner(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let challenge = request.split("hub.challenge=").nth(1).unwrap_or_default();
            let challenge = challenge.split([' ', '&']).next().unwrap_or_default();
            let answer = answer.replace("CHALLENGE", challenge);
            let _ = stream.write_all(answer.as_bytes());
            if answer.is_empty() {
                // Until the other side gives up.
                let _ = stream.read(&mut [0; 4096]);
            }
        }
    });
    format!("http://{address}/")
}

#[test]
fn a_beginners_mistake_is_explained() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        format!("http://{}/", listener.local_addr().expect("it listens"))
    };
    thread::scope(|scope| {
        for (webhook, explanation) in [
            (
                nobody,
                "Connection refused (os error 111); is the bot running",
            ),
            (
                beginner("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
                "must be the same string",
            ),
            (
                beginner(
                    "HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n<!DOCTYPE html><html></html>",
                ),
                "a web page (HTML)",
            ),
            (
                beginner("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\"CHALLENGE\""),
                "without quotes",
            ),
            (
                beginner("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"),
                "probably the verify token is wrong",
            ),
            (
                beginner("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
                "no webhook at this path",
            ),
            (
                beginner("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
                "follows no redirects",
            ),
            (
                beginner("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
                "the bot failed (500)",
            ),
            (beginner("SSH-2.0-OpenSSH\r\n\r\n"), "no HTTP answer"),
            (beginner(""), "no answer within 5 s"),
            ("localhost:5000/webhook".to_string(), "begins with http://"),
        ] {
            scope.spawn(move || {
                let ended = run(&mut simulate_for(&webhook, &["--say", "hello"]));
                assert_eq!(ended.code, Some(1), "{}", ended.stderr);
                assert!(
                    ended.stderr.contains(explanation),
                    "{explanation}: {}",
                    ended.stderr
                );
            });
        }
    });
}
