//! A client that reads answers byte by byte, and knows half an answer when it sees one.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use echobot::simulator::{APP_SECRET, Bot, PAGE_ACCESS_TOKEN, VERIFY_TOKEN, hmac_hex};

use crate::support::PATIENCE;

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// One answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Without the line that tells the time.
    pub head: String,
    pub body: String,
}

impl Client {
    pub fn connect(bot: &Bot) -> io::Result<Client> {
        let stream = TcpStream::connect(bot.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            stream,
            received: Vec::new(),
        })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn ask(&mut self, bytes: &[u8]) -> Answer {
        self.send(bytes).expect("the bot reads");
        self.answer().expect("the bot answers")
    }

    /// The next answer; none when the bot has closed the connection instead.
    ///
    /// # Panics
    /// When an answer ends in the middle, or tells a secret.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to(false)
    }

    /// The same; an answer to HEAD has no body.
    pub fn answer_to(&mut self, is_head: bool) -> Option<Answer> {
        loop {
            if let Some((answer, length)) = parse(&self.received, is_head) {
                self.received.drain(..length);
                return Some(answer);
            }
            if !self.read_more() {
                assert_eq!(
                    String::from_utf8_lossy(&self.received),
                    "",
                    "half an answer"
                );
                return None;
            }
        }
    }

    /// `false` at the end.
    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if is_slow(&error) => panic!("neither an answer nor an end"),
            // A connection that was reset has ended.
            Err(_) => false,
        }
    }
}

fn is_slow(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The first answer in these bytes and its length, if it is there whole.
pub fn parse(bytes: &[u8], is_head: bool) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is ASCII");
    let number = |text: &str| text.trim().parse::<usize>().expect("it is a number");
    let status = number(head.get(9..12).expect("there is a status"));
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("Content-Length:"));
    let length = length
        .filter(|_| !is_head && status != 100)
        .map_or(0, number);
    let body = bytes.get(end..end + length)?;
    let body = String::from_utf8(body.to_vec()).expect("a body is text");
    assert_no_secret(&head);
    assert_no_secret(&body);
    let is_timeless = |line: &&str| !line.starts_with("Date:");
    let answer = Answer {
        status: u16::try_from(status).expect("it is a status"),
        head: head
            .lines()
            .filter(is_timeless)
            .collect::<Vec<_>>()
            .join("\n"),
        body,
    };
    Some((answer, end + length))
}

/// Not even the beginning of one.
#[track_caller]
pub fn assert_no_secret(text: &str) {
    let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
    for secret in [PAGE_ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN, &proof] {
        assert!(!text.contains(&secret[..12]), "a secret is told: {text}");
    }
}

/// A request without a body.
pub fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: bot\r\n\r\n").into_bytes()
}

/// The handshake, with this challenge.
pub fn handshake(challenge: &str) -> Vec<u8> {
    get(&format!(
        "/?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge={challenge}"
    ))
}

/// A webhook with this body, and more header lines.
pub fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: bot\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The same, signed.
pub fn signed(body: &[u8]) -> Vec<u8> {
    post(&signature(body), body)
}

pub fn signature(body: &[u8]) -> String {
    format!(
        "X-Hub-Signature-256: sha256={}\r\n",
        hmac_hex(APP_SECRET, body)
    )
}

/// Leaves with a reset: an answer is there and not read.
pub fn reset(client: Client) {
    let timeout = client.stream.set_read_timeout(Some(Duration::from_secs(2)));
    timeout.expect("a timeout can be set");
    let _ = client.stream.peek(&mut [0]);
}
