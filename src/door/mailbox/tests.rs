//! A mailbox with a real connection.

use std::io::Read as _;
use std::net::TcpListener;
use std::thread;

use super::super::framing::{self, Parsed};
use super::super::registry::Slot;
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody inside, and the other end of the connection.
fn inside(registry: &Arc<Registry>) -> (Slot, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound");
    let client = TcpStream::connect(address).expect("it listens");
    let (stream, _) = listener.accept().expect("there is a client");
    let slot = registry.admit(&Arc::new(stream)).expect("there is room");
    (slot, client)
}

/// Somebody whose request is in hand, where there is room for one.
fn with_request() -> (Arc<Registry>, Slot, TcpStream) {
    let registry = Arc::new(Registry::new(1, 1));
    let (slot, client) = inside(&registry);
    assert!(slot.set_busy());
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let Parsed::Request(head) = framing::parse(request, &[], &mut Vec::new()) else {
        panic!("it is a good request");
    };
    let in_hand = registry.take_in_hand().expect("there is room");
    let held = registry.hold(0).expect("there is room");
    let pending = Pending {
        head,
        body: b"body".to_vec(),
        counted: Some((in_hand, held)),
    };
    slot.mailbox().leave(pending, false);
    (registry, slot, client)
}

fn answer(text: &'static str) -> Answer {
    Answer::new(200, "text/plain", text)
}

#[test]
fn a_request_is_in_hand_until_it_is_answered() {
    let (registry, slot, client) = with_request();
    let mailbox = slot.mailbox();
    assert_eq!(mailbox.take_body().as_deref(), Some(&b"body"[..]));
    assert!(registry.take_in_hand().is_none());
    thread::scope(|scope| {
        let settled = scope.spawn(|| mailbox.settle(PATIENCE));
        mailbox.deliver(&answer("yes"));
        let settled = settled.join().expect("it does not panic");
        assert!(matches!(settled, Settled::Free(_)));
    });
    assert!(registry.take_in_hand().is_some());
    drop((slot, mailbox));
    assert!(read(client).ends_with("\r\n\r\nyes"));
}

#[test]
fn an_answer_that_comes_too_late_is_not_sent() {
    let (registry, slot, client) = with_request();
    let mailbox = slot.mailbox();
    assert!(matches!(mailbox.settle(Duration::ZERO), Settled::Lost));
    assert!(registry.take_in_hand().is_some());
    assert_eq!(mailbox.take_body(), None);
    mailbox.deliver(&answer("too late"));
    drop((slot, mailbox));
    assert_eq!(read(client), "");
}

#[test]
fn when_the_house_is_closed_an_answer_is_the_last() {
    let (registry, slot, client) = with_request();
    let mailbox = slot.mailbox();
    registry.close();
    mailbox.deliver(&answer("goodbye"));
    assert!(matches!(mailbox.settle(PATIENCE), Settled::Closing));
    // The client learns at once that nothing follows.
    let said = read(client);
    assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\ngoodbye"), "{said}");
}

#[test]
fn who_was_idle_when_the_house_was_closed_cannot_begin_a_request() {
    let registry = Arc::new(Registry::new(2, 1));
    let ((idle, _), (busy, _)) = (inside(&registry), inside(&registry));
    assert!(busy.set_busy());
    registry.close();
    assert!(!idle.set_busy());
    assert!(busy.set_busy());
}

#[test]
fn a_request_is_in_hand_until_its_answer_is_written_whole() {
    let (registry, slot, client) = with_request();
    let mailbox = slot.mailbox();
    let long = "x".repeat(16 * 1024 * 1024);
    mailbox.deliver(&Answer::new(200, "text/plain", long));
    let Settled::Unsent(unsent) = mailbox.settle(PATIENCE) else {
        panic!("no socket takes so much");
    };
    assert!(!unsent.bytes.is_empty() && !unsent.goes_on);
    assert!(registry.take_in_hand().is_none());
    drop((unsent, client));
    assert!(registry.take_in_hand().is_some());
}

/// What the client is told until the connection is closed.
fn read(mut client: TcpStream) -> String {
    let patient = client.set_read_timeout(Some(PATIENCE));
    patient.expect("a timeout can be set");
    let mut said = String::new();
    let read = client.read_to_string(&mut said);
    read.expect("it is text, and ends");
    said
}
