//! Proper requests, however they are cut and packed: the right answers, byte for byte.

use std::thread;

use echobot::simulator::VERIFY_TOKEN;

use super::client::{Answer, Client, get, handshake, post, signature, signed};
use super::siege::{assert_log_is_sound, assert_well};
use crate::support::{World, full};

/// The largest body that is taken.
const LIMIT: usize = 4 * 1024 * 1024;

/// A webhook without an event in so many bytes, signed: it is answered 200 only when it arrives
/// byte for byte.
pub fn padded(length: usize) -> Vec<u8> {
    let document = br#"{"object":"page","entry":[]}"#;
    let mut body = vec![b' '; length];
    if let Some(room) = length.checked_sub(document.len()) {
        body[room / 2..][..document.len()].copy_from_slice(document);
    }
    body
}

/// What a padded webhook is answered.
pub fn expected_status(length: usize) -> u16 {
    match length {
        0..28 => 400,
        28..=LIMIT => 200,
        _ => 413,
    }
}

/// Lengths around everything that has a size on the way of a body.
pub fn lengths() -> Vec<usize> {
    let edges = [1024, 4096, 8192, 16 * 1024, 64 * 1024, 1024 * 1024, LIMIT];
    let around = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]);
    [0, 1, 27, 28, 29, 500].into_iter().chain(around).collect()
}

#[test]
fn bodies_of_every_size_arrive_whole_in_pieces_of_any_size() {
    let world = World::with(&[("THREADS", "4")], |_| {
        echobot::simulator::Reply::deliver()
    });
    let pieces = [1, 7, 333, 1021, 8191, 65_537, usize::MAX];
    for length in lengths() {
        let body = padded(length);
        let request = signed(&body);
        // Not all combinations in reduced size: a write for each byte of 4 MiB takes its time.
        let most = if full() { 100_000 } else { 2_000 };
        for piece in pieces.into_iter().filter(|piece| length / piece < most) {
            let mut client = Client::connect(&world.bot).expect("the bot listens");
            for part in request.chunks(piece) {
                // What is too large is refused before it is all there.
                if client.send(part).is_err() {
                    break;
                }
            }
            let answer = client.answer().expect("the bot answers");
            assert_eq!(
                answer.status,
                expected_status(length),
                "{length} bytes, {answer:?}"
            );
        }
    }
    assert_log_is_sound(&world.bot);
}

/// Requests and what is asked with them; none leads to an echo.
fn assortment() -> Vec<(Vec<u8>, u16)> {
    let head = String::from_utf8(get("/"))
        .expect("it is ASCII")
        .replace("GET", "HEAD");
    let http10 = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    vec![
        (handshake("challenge"), 200),
        (get("/"), 200),
        (get("/healthz"), 200),
        (get("/nothing"), 404),
        (get("http://bot/healthz"), 200),
        (head.into_bytes(), 200),
        (http10.into(), 200),
        (post("", b""), 403),
        (post("", &padded(5000)), 403),
        (signed(&padded(0)), 400),
        (signed(&padded(28)), 200),
        (signed(&padded(5000)), 200),
        (post(&signature(&padded(28)), &padded(29)), 403),
        (
            b"PUT / HTTP/1.1\r\nHost: bot\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
            405,
        ),
        (
            b"\r\nGET /healthz HTTP/1.1\r\nhost: bot\r\n\r\n".to_vec(),
            200,
        ),
    ]
}

fn is_head(request: &[u8]) -> bool {
    request.starts_with(b"HEAD")
}

/// The answers to these, one connection each.
fn one_by_one(world: &World, requests: &[(Vec<u8>, u16)]) -> Vec<Answer> {
    let ask = |(request, status): &(Vec<u8>, u16)| {
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        client.send(request).expect("the bot reads");
        let answer = client.answer_to(is_head(request)).expect("the bot answers");
        assert_eq!(answer.status, *status, "{answer:?}");
        answer
    };
    requests.iter().map(ask).collect()
}

#[test]
fn pipelined_requests_in_pieces_of_any_size_are_answered_as_single_ones() {
    let world = World::with(&[("THREADS", "4")], |_| {
        echobot::simulator::Reply::deliver()
    });
    let requests = assortment();
    let expected = one_by_one(&world, &requests);
    let stream: Vec<u8> = requests
        .iter()
        .flat_map(|(request, _)| request.clone())
        .collect();
    for piece in [1, 2, 3, 7, 64, 333, 1021, 4096, usize::MAX] {
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        let mut writer = client
            .stream
            .try_clone()
            .expect("a socket can be duplicated");
        thread::scope(|scope| {
            scope.spawn(|| {
                for part in stream.chunks(piece) {
                    std::io::Write::write_all(&mut writer, part).expect("the bot reads");
                }
            });
            for ((request, _), expected) in requests.iter().zip(&expected) {
                let answer = client.answer_to(is_head(request)).expect("the bot answers");
                assert_eq!(&answer, expected, "in pieces of {piece}");
            }
        });
    }
    assert_well(&world.bot);
    assert_log_is_sound(&world.bot);
}

#[test]
fn one_connection_serves_requests_one_after_the_other_as_many_do() {
    let world = World::with(&[("THREADS", "4")], |_| {
        echobot::simulator::Reply::deliver()
    });
    let requests = assortment();
    let expected = one_by_one(&world, &requests);
    let mut client = Client::connect(&world.bot).expect("the bot listens");
    for _ in 0..if full() { 1000 } else { 20 } {
        for ((request, _), expected) in requests.iter().zip(&expected) {
            client.send(request).expect("the bot reads");
            let answer = client.answer_to(is_head(request)).expect("the bot answers");
            assert_eq!(&answer, expected);
        }
    }
}

#[test]
fn who_expects_to_be_told_to_go_on_is_told_once() {
    let world = World::new();
    for length in [1, 28, 5000, LIMIT] {
        let body = padded(length);
        let headers = format!("Expect: 100-continue\r\n{}", signature(&body));
        let request = post(&headers, &body);
        let (head, body) = request.split_at(request.len() - length);
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        for _ in 0..2 {
            assert_eq!(client.ask(head).status, 100);
            assert_eq!(client.ask(body).status, expected_status(length));
        }
    }
    let too_large = format!(
        "POST / HTTP/1.1\r\nHost: bot\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        LIMIT + 1
    );
    let mut client = Client::connect(&world.bot).expect("the bot listens");
    assert_eq!(client.ask(too_large.as_bytes()).status, 413);
    assert_eq!(client.answer(), None);
}

#[test]
fn http_1_0_and_connection_close_end_the_connection_after_the_answer() {
    let world = World::new();
    let target = format!("/?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=7");
    for request in [
        format!("GET {target} HTTP/1.0\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: bot\r\nConnection: Keep-Alive, CLOSE\r\n\r\n"),
    ] {
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        let answer = client.ask(request.as_bytes());
        assert_eq!((answer.status, &*answer.body), (200, "7"));
        assert!(answer.head.contains("\nConnection: close"), "{answer:?}");
        assert_eq!(client.answer(), None);
    }
}
