//! What people write: webhooks, signed and ready to be sent before any clock starts.

use echobot::simulator::{APP_SECRET, VERIFY_TOKEN, hmac_hex, text_message, webhook};

/// The page-scoped id of the first person.
const FIRST_PERSON: usize = 7_100_200_300_000_000;

/// So many messages of so many people, who take turns.
#[derive(Clone, Copy)]
pub(crate) struct Messages {
    pub(crate) count: usize,
    pub(crate) people: usize,
    pub(crate) per_webhook: usize,
}

impl Messages {
    /// The webhooks as they go over the wire.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        let numbers: Vec<usize> = (0..self.count).collect();
        let webhooks = numbers.chunks(self.per_webhook);
        webhooks.map(|numbers| self.request(numbers)).collect()
    }

    fn request(&self, numbers: &[usize]) -> Vec<u8> {
        let event = |number: &usize| {
            let person = person(number % self.people).to_string();
            text_message(&person, &mid(*number), &text(*number))
        };
        let events: Vec<_> = numbers.iter().map(event).collect();
        let body = webhook("page", &events);
        let head = format!(
            "POST / HTTP/1.1\r\nHost: bot.example.org\r\nAccept: */*\r\nContent-Type: application/json\r\n\
             User-Agent: facebookexternalua\r\nX-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n",
            hmac_hex(APP_SECRET, &body),
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

/// The id of a person.
pub(crate) fn person(number: usize) -> usize {
    FIRST_PERSON + number
}

/// As long as Meta's are.
fn mid(number: usize) -> String {
    format!("m_{number:0>88}")
}

/// Begins with the message's number, by which the Graph API knows it.
fn text(number: usize) -> String {
    format!("{number:07}: what a person writes to a page, more or less")
}

/// A handshake as it goes over the wire.
pub(crate) fn handshake() -> Vec<u8> {
    format!(
        "GET /?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1158201444 HTTP/1.1\r\n\
         Host: bot.example.org\r\nAccept: */*\r\nUser-Agent: facebookplatform/1.0\r\n\r\n"
    )
    .into_bytes()
}
