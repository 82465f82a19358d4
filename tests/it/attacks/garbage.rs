//! What is no proper request: refused with the right status, and nothing more is read from it.

use echobot::simulator::Bot;

use super::client::{Client, get, post, signature};
use super::siege::{Attack, besiege_all};

/// Sends these bytes on a connection of its own: one answer with this status, then the end.
#[track_caller]
fn refused(bot: &Bot, bytes: &[u8], status: u16) {
    let mut client = Client::connect(bot).expect("the bot listens");
    // The bot may refuse and close before it has read everything.
    let _ = client.send(bytes);
    let answer = client.answer().expect("the refusal is said");
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.head.contains("\nConnection: close"), "{answer:?}");
    assert_eq!(client.answer(), None);
}

fn refusal(name: &'static str, bytes: impl Into<Vec<u8>>, status: u16) -> Attack {
    let bytes = bytes.into();
    (name, Box::new(move |bot| refused(bot, &bytes, status)))
}

#[test]
fn what_is_no_proper_request_is_refused_and_leaves_nothing_behind() {
    let attacks = [
        doubtful_lengths(),
        malformed(),
        other_protocols(),
        too_large(),
    ]
    .into_iter();
    besiege_all(
        &attacks
            .flatten()
            .map(|attack| (attack, 2))
            .collect::<Vec<_>>(),
    );
}

/// A request in hiding: it must not be answered.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n";

fn with_header(header: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: bot\r\n{header}\r\n\r\nhello{SMUGGLED}").into_bytes()
}

fn doubtful_lengths() -> Vec<Attack> {
    let huge = "Content-Length: 100000000000000000";
    vec![
        refusal("a length that kills tiny_http", with_header(huge), 413),
        refusal(
            "a length beyond any number",
            with_header("Content-Length: 99999999999999999999999"),
            413,
        ),
        refusal("no number", with_header("Content-Length: abc"), 400),
        refusal("a signed length", with_header("Content-Length: +5"), 400),
        refusal("a negative length", with_header("Content-Length: -5"), 400),
        refusal("a length in hex", with_header("Content-Length: 0x5"), 400),
        refusal("an empty length", with_header("Content-Length:"), 400),
        refusal(
            "a list of lengths",
            with_header("Content-Length: 5, 5"),
            400,
        ),
        refusal(
            "two lengths",
            with_header("Content-Length: 5\r\nContent-Length: 6"),
            400,
        ),
        refusal(
            "twice the same length",
            with_header("Content-Length: 5\r\nContent-Length: 5"),
            400,
        ),
        refusal(
            "length and chunked",
            with_header("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            400,
        ),
        refusal(
            "chunked and length",
            with_header("Transfer-Encoding: chunked\r\nContent-Length: 5"),
            400,
        ),
        refusal(
            "chunked alone",
            with_header("Transfer-Encoding: chunked"),
            411,
        ),
        refusal(
            "an unknown transfer coding",
            with_header("Transfer-Encoding: xchunked"),
            411,
        ),
        refusal(
            "a space before the colon",
            with_header("Content-Length : 5"),
            400,
        ),
        refusal(
            "an expectation of something else",
            with_header("Content-Length: 5\r\nExpect: magic"),
            417,
        ),
    ]
}

fn malformed() -> Vec<Attack> {
    let target = |target: &str| {
        [
            b"GET ",
            target.as_bytes(),
            b" HTTP/1.1\r\nHost: bot\r\n\r\n",
        ]
        .concat()
    };
    let header = |line: &str| format!("GET / HTTP/1.1\r\nHost: bot\r\n{line}\r\n\r\n");
    vec![
        refusal("bare line feeds", "GET / HTTP/1.1\nHost: bot\n\n", 400),
        refusal(
            "one bare line feed",
            "GET / HTTP/1.1\r\nHost: bot\nX: y\r\n\r\n",
            400,
        ),
        refusal("a bare carriage return", header("X: a\rb"), 400),
        refusal("a folded header", header("X: a\r\n b"), 400),
        refusal("NUL in the target", target("/\0"), 400),
        refusal("ESC in the target", target("/\x1b[31m"), 400),
        refusal("a line in the target", target("/\nERROR forged"), 400),
        refusal("UTF-8 in the target", target("/é"), 400),
        refusal("NUL in a header", header("X: \0"), 400),
        refusal("ESC in a header", header("X: \x1b[31m"), 400),
        refusal(
            "ESC in a header that is passed on",
            header("X-Hub-Signature-256: \x1b[31m"),
            400,
        ),
        refusal(
            "UTF-8 in a header that is passed on",
            header("X-Hub-Signature-256: é"),
            400,
        ),
        refusal("no host", "GET / HTTP/1.1\r\n\r\n", 400),
        refusal("two hosts", header("Host: other"), 400),
        refusal(
            "the request that tiny_http takes for ours",
            "OPTIONS * HTTP/1.1\r\nHost: bot\r\n\r\n",
            400,
        ),
        refusal("a request for another scheme", target("ftp://bot/"), 400),
        refusal(
            "a tunnel",
            "CONNECT bot:443 HTTP/1.1\r\nHost: bot\r\n\r\n",
            400,
        ),
    ]
}

fn other_protocols() -> Vec<Attack> {
    let hello = [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".as_slice(),
        &[0xa5; 506],
    ]
    .concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    vec![
        refusal("HTTP/0.9", "GET /\r\n\r\n", 400),
        refusal(
            "HTTP/2.0 in a request line",
            "GET / HTTP/2.0\r\nHost: bot\r\n\r\n",
            505,
        ),
        refusal("HTTP/1.2", "GET / HTTP/1.2\r\nHost: bot\r\n\r\n", 505),
        refusal("the HTTP/2 preface", preface, 505),
        refusal("TLS", hello, 400),
        refusal("SSH", "SSH-2.0-OpenSSH_9.9\r\n", 400),
        refusal("SMTP", "EHLO bot\r\n\r\n", 400),
        (
            "random bytes",
            Box::new(|bot| random_bytes(bot, if crate::support::full() { 2000 } else { 100 })),
        ),
        (
            "an upgrade with a body",
            Box::new(|bot| {
                let headers = "Connection: upgrade\r\nUpgrade: websocket\r\n";
                let mut client = Client::connect(bot).expect("the bot listens");
                assert_eq!(client.ask(&post(headers, b"hello")).status, 403);
                assert_eq!(client.ask(&get("/healthz")).status, 200);
            }),
        ),
    ]
}

/// Each connection gets a refusal or the end, and never anything else.
fn random_bytes(bot: &Bot, connections: u64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        // xorshift64: the same bytes each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..connections {
        let length = random() % 2048 + 1;
        let bytes: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
        let mut client = Client::connect(bot).expect("the bot listens");
        let _ = client.send(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        if let Some(answer) = client.answer() {
            assert!((400..=505).contains(&answer.status), "{answer:?}");
        }
    }
}

fn too_large() -> Vec<Attack> {
    let endless = "X-Header: value\r\n".repeat(1_000_000);
    let headers = |count: usize| {
        let lines: String = (0..count).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: bot\r\n{lines}\r\n")
    };
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    vec![
        refusal(
            "a header of 100 kB",
            format!(
                "GET / HTTP/1.1\r\nHost: bot\r\nX: {}\r\n\r\n",
                "y".repeat(100_000)
            ),
            431,
        ),
        refusal(
            "a target of 100 kB",
            get(&format!("/{}", "x".repeat(100_000))),
            431,
        ),
        refusal("65 headers", headers(64), 431),
        refusal("5,000 headers", headers(5000), 431),
        refusal(
            "a header without an end",
            format!("GET / HTTP/1.1\r\n{endless}"),
            431,
        ),
        refusal(
            "a body of one byte too much",
            post(&signature(&large), &large),
            413,
        ),
    ]
}
