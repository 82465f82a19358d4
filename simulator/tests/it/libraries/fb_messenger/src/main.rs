//! A bot with fb_messenger, which knows the Send API alone; the webhook is the standard library's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(format!("127.0.0.1:{}", std::env::var("PORT")?))?;
    let mut runtime = tokio::runtime::Runtime::new()?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let (head, body) = read(&mut stream)?;
        if let Some(challenge) = head.split("hub.challenge=").nth(1) {
            let challenge = challenge.split(|c: char| !c.is_ascii_digit()).next();
            answer(&mut stream, challenge.unwrap_or_default())?;
            continue;
        }
        answer(&mut stream, "ok")?;
        let webhook: Value = serde_json::from_str(&body).unwrap_or_default();
        let event = &webhook["entry"][0]["messaging"][0];
        let message = match (&event["message"]["text"], &event["postback"]["payload"]) {
            (_, Value::String(payload)) => json!({"text": format!("tapped {payload}")}),
            (Value::String(text), _) if text == "buttons" => json!({"attachment": {"type": "template", "payload": {
                "template_type": "button", "text": "Which?",
                "buttons": [{"type": "postback", "title": "Red", "payload": "RED"}],
            }}}),
            (Value::String(text), _) => json!({"text": text}),
            _ => continue,
        };
        let token = "mine".to_string();
        let recipient = json!({"id": event["sender"]["id"]}).to_string();
        let kind = "RESPONSE".to_string();
        runtime.block_on(fb_messenger::send_message(message.to_string(), token, kind, recipient));
    }
    Ok(())
}

fn read(stream: &mut TcpStream) -> std::io::Result<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return Ok((text, String::new()));
            }
            continue;
        };
        let lower = head.to_lowercase();
        let length = lower.split("content-length:").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            return Ok((head.to_string(), body.to_string()));
        }
    }
}

fn answer(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
