//! The connections to tiny_http, and tiny_http's end.

use super::*;

#[test]
fn requests_that_wait_for_their_answers_hold_nobody_up() {
    let shielded = Shielded::holding();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut client = shielded.client();
        client.send(post(2_000_000, "") + &"x".repeat(2_000_000));
        waiting.push((client, shielded.next_request()));
    }
    for (mut client, request) in waiting {
        answer(request);
        assert_eq!(client.reply().body, "POST /hook [] 2000000");
    }
}

#[test]
fn a_body_that_nobody_wants_does_not_confuse_what_follows() {
    let shielded = Shielded::holding();
    for len in [1025, 100_000, 2_000_000] {
        let mut client = shielded.client();
        client.send(post(len, "") + &"x".repeat(len));
        respond(shielded.next_request(), 200, "no");
        assert_eq!(client.reply().body, "no");
        client.send(GET);
        answer(shielded.next_request());
        assert_eq!(client.reply().body, "GET / [] 0");
    }
}

#[test]
fn a_connection_to_tiny_http_that_breaks_costs_one_request_at_most() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    assert_eq!(client.ask(GET).status, 200);
    // It is put back when the client has its answer already.
    shielded.wait_until("the connection to be idle", |shielded| {
        lock(&shielded.shield.shared.backend.idle).len() == 1
    });
    for stream in lock(&shielded.shield.shared.backend.idle).iter() {
        let broken = stream.shutdown(Shutdown::Both);
        broken.expect("it was not broken before");
    }
    assert_eq!(client.ask(GET).status, 500);
    assert_eq!(shielded.client().ask(GET).status, 200);
}

#[test]
fn idle_connections_to_tiny_http_are_no_more_than_clients_can_use() {
    let shielded = Shielded::holding();
    shielded.empty(shielded.fill(64));
    shielded.wait_until("the surplus to be closed", |shielded| {
        shielded.connections() == 0 && lock(&shielded.shield.shared.backend.idle).len() == 4
    });
}

#[test]
fn a_response_without_a_length_is_a_500() {
    let shielded = Shielded::holding();
    let mut client = shielded.client();
    client.send(GET);
    let endless = Response::new(200.into(), Vec::new(), std::io::empty(), None, None);
    let _ = shielded.next_request().respond(endless);
    assert_eq!(client.reply().status, 500);
}

#[test]
fn a_response_that_does_not_come_in_time_is_a_500() {
    let deadlines = Deadlines {
        handling: Duration::from_millis(300),
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines));
    let mut client = shielded.client();
    client.send(GET);
    let request = shielded.next_request();
    assert_eq!(client.reply().status, 500);
    answer(request);
    let mut client = shielded.client();
    client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    answer(shielded.next_request());
    assert_eq!(client.reply().body, "GET /next [] 0");
}

#[test]
fn wait_fails_when_tiny_http_accepts_no_more() {
    let shielded = Shielded::unattended(ROOMY);
    shielded.shield.directory.remove();
    assert_eq!(shielded.client().ask(GET).status, 503);
    let error = shielded.shield.wait().expect_err("nothing can come");
    let said = "tiny_http no longer accepts connections";
    assert!(error.to_string().starts_with(said), "{error}");
}

#[test]
fn wait_fails_when_tiny_http_is_stuck() {
    let deadlines = Deadlines {
        probe: Duration::from_millis(50),
        ..DEADLINES
    };
    let shielded = Shielded::unattended(with(deadlines));
    // Nobody receives, so no probe is answered.
    for _ in 0..3 {
        assert_eq!(shielded.client().ask(GET).status, 503);
    }
    let error = shielded.shield.wait().expect_err("it is stuck");
    let said = "tiny_http no longer answers";
    assert!(error.to_string().starts_with(said), "{error}");
}
