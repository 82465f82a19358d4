//! The functions that every message passes through, one by one.

use std::hint::black_box;
use std::time::Instant;

use echobot::config::Config;
use echobot::echo::first_part;
use echobot::event::{self, Platform};
use echobot::graph;
use echobot::shield::framing;
use echobot::simulator::{APP_SECRET, hmac_hex};
use echobot::webhook::{Request, Verdict, Webhook};

use crate::http::find;
use crate::messages::Messages;

/// A function, ready to be called.
type Call = Box<dyn Fn()>;

pub(crate) struct Hot {
    pub(crate) name: &'static str,
    prepare: fn() -> Call,
}

pub(crate) const HOT: &[Hot] = &[
    Hot {
        name: "frame a request",
        prepare: frame,
    },
    Hot {
        name: "judge a signed webhook",
        prepare: signed_webhook,
    },
    Hot {
        name: "judge an unsigned webhook",
        prepare: unsigned_webhook,
    },
    Hot {
        name: "read the events of a webhook",
        prepare: events,
    },
    Hot {
        name: "split a short text",
        prepare: short_text,
    },
    Hot {
        name: "split a long text",
        prepare: long_text,
    },
    Hot {
        name: "class an answer: sent",
        prepare: answer_sent,
    },
    Hot {
        name: "class an answer: an error",
        prepare: answer_error,
    },
];

/// Calls the function of this name so many times, and prints how many nanoseconds that took. `Webhook` wants the
/// bot's settings in the environment.
pub(crate) fn run(name: &str, calls: u32) -> Result<(), String> {
    let hot = HOT.iter().find(|hot| hot.name == name);
    let hot = hot.ok_or_else(|| format!("there is no function {name}"))?;
    let call = (hot.prepare)();
    let begun = Instant::now();
    for _ in 0..calls {
        call();
    }
    println!("{}", begun.elapsed().as_nanos());
    Ok(())
}

fn frame() -> Call {
    let request = request();
    Box::new(move || {
        let head = framing::read(black_box(&request));
        black_box(head.ok().flatten().expect("the request is whole and good"));
    })
}

fn signed_webhook() -> Call {
    let body = body();
    let signature = format!("sha256={}", hmac_hex(APP_SECRET, &body));
    let call = judging(body, Some(signature));
    let is_accepted = |verdict| matches!(verdict, Verdict::Events(events) if events.len() == 1);
    assert!(is_accepted(call()), "the webhook is signed");
    Box::new(move || drop(black_box(call())))
}

fn unsigned_webhook() -> Call {
    let call = judging(body(), None);
    Box::new(move || drop(black_box(call())))
}

fn judging(body: Vec<u8>, signature: Option<String>) -> impl Fn() -> Verdict {
    let config = Config::from_environment().expect("the caller has set what is required");
    let webhook = Webhook::new(&config);
    move || {
        let request = Request {
            method: "POST",
            target: "/",
            signature: signature.as_deref(),
            body: &body,
        };
        webhook.judge(black_box(request))
    }
}

fn events() -> Call {
    let body = body();
    Box::new(move || drop(black_box(event::read(black_box(&body)))))
}

fn short_text() -> Call {
    splitting("what a person writes to a page, more or less".to_string())
}

fn long_text() -> Call {
    splitting("Grüße aus Köln 👩‍👩‍👧 ".repeat(500))
}

fn splitting(text: String) -> Call {
    Box::new(move || {
        black_box(first_part(black_box(&text), Platform::Messenger));
    })
}

fn answer_sent() -> Call {
    answer(
        200,
        br#"{"recipient_id":"7100200300000000","message_id":"m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM"}"#,
    )
}

fn answer_error() -> Call {
    answer(
        400,
        br#"{"error":{"message":"(#100) No matching user found","type":"OAuthException","code":100,
            "error_subcode":2018001,"fbtrace_id":"AbCdEfGhIjKlMnOpQrStUvW"}}"#,
    )
}

fn answer(status: u16, body: &'static [u8]) -> Call {
    Box::new(move || {
        drop(black_box(graph::Report::read(
            status,
            None,
            black_box(body),
        )))
    })
}

fn request() -> Vec<u8> {
    let messages = Messages {
        count: 1,
        people: 1,
        per_webhook: 1,
    };
    messages.requests().concat()
}

fn body() -> Vec<u8> {
    let request = request();
    let end = find(&request, b"\r\n\r\n").expect("a request has a head");
    request[end + 4..].to_vec()
}
