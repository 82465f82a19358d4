//! Secrets never leave the bot but for where they belong, whatever the Graph API does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use echobot::simulator::{
    APP_SECRET, Messenger, PAGE_ACCESS_TOKEN, VERIFY_TOKEN, hmac_hex, text_message, webhook,
};
use serde_json::json;

use crate::support::{PATIENCE, raw, request, signal, start_bot};

#[test]
fn no_secret_is_in_any_log_line_or_answer_whatever_the_graph_api_does() {
    let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
    let leak = format!("{PAGE_ACCESS_TOKEN} {APP_SECRET} {VERIFY_TOKEN} {proof}");
    let http = |answer: &str| format!("http://{}", graph_api(Some(answer.to_string())));
    let https = format!("https://{}", graph_api(Some(leak.clone())));
    let garbage = format!("\x16\x03{leak}\r\n\r\n");
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"recipient_id\":\"7";
    let html = answer("502 Bad Gateway", "", &format!("<html>{leak}</html>"));
    let location = format!("Location: http://127.0.0.1:1/?access_token={PAGE_ACCESS_TOKEN}\r\n");
    let redirect = answer("302 Found", &location, "");
    let hangs = format!("http://{}", graph_api(None));
    // What it does, its address, what the log says of it (nothing yet while it hangs), and what
    // the webhook is answered.
    let trials = [
        (
            "refuses connections",
            "http://127.0.0.1:1",
            "failed to reach",
            503,
        ),
        ("hangs", &hangs, "", 503),
        ("closes at once", &http(""), "failed to reach", 503),
        ("closes mid-answer", &http(half), "failed to reach", 503),
        ("answers garbage", &http(&garbage), "failed to reach", 503),
        ("speaks no TLS", &https, "failed to reach", 503),
        ("answers HTML", &http(&html), "status 502", 503),
        ("redirects", &http(&redirect), "status 302", 503),
        (
            "refuses the token",
            &http(&error(190, &leak)),
            "code 190",
            503,
        ),
        (
            "refuses the message",
            &http(&error(551, &leak)),
            "code 551",
            200,
        ),
    ];
    let secrets = [PAGE_ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN, &proof];
    // All at once: most webhooks are answered after 4 s.
    thread::scope(|scope| {
        for (what, graph_url, logged, status) in trials {
            scope.spawn(move || {
                let seen = all_that_is_seen(graph_url, logged, status);
                for secret in secrets {
                    // Not even the beginning of one.
                    assert!(!seen.contains(&secret[..12]), "it {what}:\n{seen}");
                }
            });
        }
    });
}

/// The answers and the log of a bot that is asked all that it can be asked.
fn all_that_is_seen(graph_url: &str, logged: &str, status: u16) -> String {
    let bot = start_bot(graph_url, &[("RUST_LOG", "trace"), ("THREADS", "4")]);
    let handshake = format!("/?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}");
    let signature = hmac_hex(APP_SECRET, b"{}");
    let signature = format!("X-Hub-Signature-256: sha256={signature}\r\n");
    let mut seen = String::new();
    for question in [
        request("GET", &format!("{handshake}&hub.challenge=42"), "", ""),
        request("GET", &handshake, "", ""),
        request("GET", "/?hub.mode=subscribe&hub.verify_token=wrong", "", ""),
        request("GET", "/", "", ""),
        request("GET", "/healthz", "", ""),
        request("POST", "/", "", "{}"),
        request("POST", "/", "X-Hub-Signature-256: sha256=00\r\n", "{}"),
        request("POST", "/", &signature, "{}"),
        request("PUT", "/", "", "{}"),
        b"nonsense\r\n\r\n".to_vec(),
    ] {
        let answer = raw(&bot, &question);
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        seen += &answer;
    }
    let body = webhook("page", &[text_message("7", "m1", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    let answer = answer.expect("the bot answers");
    assert_eq!(answer.status, status, "{}", bot.log());
    seen += &answer.body;
    let line = bot.wait_for_log(logged, PATIENCE);
    assert!(line.is_some(), "{logged:?} is not in\n{}", bot.log());
    signal(&bot, "KILL");
    let at_the_end = bot.wait_for_log("nothing says this", PATIENCE);
    assert_eq!(at_the_end, None);
    seen += &bot.log();
    seen
}

/// A Graph API that answers every call with these bytes and closes the connection, or that says
/// nothing at all. Returns its address.
fn graph_api(answer: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            match &answer {
                Some(answer) => {
                    read_call(&mut stream);
                    let _ = stream.write_all(answer.as_bytes());
                }
                None => held.push(stream),
            }
        }
    });
    address.to_string()
}

/// Reads a call of the Send API: its body ends with two braces. Anything else (TLS) has no end
/// that could be seen, and is read for a moment.
fn read_call(stream: &mut TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let (mut call, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        call.extend_from_slice(&buffer[..n]);
        if call.ends_with(b"}}") {
            return;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// An error whose every text quotes this.
fn error(code: i64, leak: &str) -> String {
    let body = json!({"error": {
        "message": format!("Error validating access token: {leak}"),
        "type": leak,
        "code": code,
        "error_data": {"blame": leak},
        "error_user_title": leak,
        "error_user_msg": leak,
        "fbtrace_id": "Atrace",
    }});
    let headers = format!("WWW-Authenticate: OAuth \"{leak}\"\r\n");
    answer("400 Bad Request", &headers, &body.to_string())
}
