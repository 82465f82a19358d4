//! The line to tiny_http, and tiny_http's end.

use super::*;

#[test]
fn requests_that_wait_for_their_answers_hold_nobody_up() {
    let house = House::holding();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut client = house.client();
        client.send(post(2_000_000, "") + &"x".repeat(2_000_000));
        waiting.push((client, house.next_request()));
    }
    for (mut client, request) in waiting {
        answer(request);
        assert_eq!(client.reply().body, "POST /hook [] 2000000");
    }
}

#[test]
fn a_body_that_nobody_wants_does_not_confuse_what_follows() {
    let house = House::holding();
    for len in [1025, 100_000, 2_000_000] {
        let mut client = house.client();
        client.send(post(len, "") + &"x".repeat(len));
        house.next_request().respond(&text_answer(200, "no"));
        assert_eq!(client.reply().body, "no");
        client.send(GET);
        answer(house.next_request());
        assert_eq!(client.reply().body, "GET / [] 0");
    }
}

#[test]
fn a_line_that_breaks_is_opened_again() {
    let house = House::answering();
    let mut client = house.client();
    assert_eq!(client.ask(GET).status, 200);
    house.door.shared.backend.break_line();
    // tiny_http has not seen the request that found the line broken.
    house.wait_until("the door to notice", |house| {
        matches!(house.client().ask(GET).status, 200 | 500)
    });
    house.wait_until("service", |house| house.client().ask(GET).status == 200);
}

#[test]
fn a_request_that_nobody_waits_for_any_more_is_passed_over() {
    let deadlines = Deadlines {
        idle: Duration::from_millis(500),
        handling: Duration::from_millis(500),
        ..DEADLINES
    };
    let house = House::unattended(ROOMY, deadlines);
    let receive = || house.door.recv().expect("it comes through");
    let mut client = house.client();
    client.send(GET);
    answer(receive());
    assert_eq!(client.reply().status, 200);
    // Nobody receives these.
    for _ in 0..2 {
        assert_eq!(house.client().ask(GET).status, 500);
    }
    let mut client = house.client();
    client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    let next = receive();
    assert_eq!(next.url(), "/next");
    answer(next);
    assert_eq!(client.reply().status, 200);
}

#[test]
fn recv_fails_when_tiny_http_accepts_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let door = open(listener, ROOMY).expect("the door opens");
    door.shared.backend.remove_directory();
    let mut client = TcpStream::connect(door.address()).expect("the door is open");
    client.write_all(GET.as_bytes()).expect("the door reads");
    let error = door.recv().map(drop).expect_err("nothing can come");
    assert!(
        error.to_string().starts_with("tiny_http does not accept"),
        "{error}"
    );
    let mut answer = [0; 12];
    client.read_exact(&mut answer).expect("there is an answer");
    assert_eq!(&answer, b"HTTP/1.1 503");
}

#[test]
fn recv_fails_when_tiny_http_is_stuck() {
    let deadlines = Deadlines {
        knock: Duration::from_millis(50),
        ..DEADLINES
    };
    let house = House::unattended(ROOMY, deadlines);
    // Nobody receives, so no knock is answered.
    for _ in 0..3 {
        let mut client = house.client();
        client.send(GET);
        assert_eq!(client.reply().status, 503);
    }
    let receive = || house.door.recv().map(drop).expect_err("it is stuck");
    let error = receive();
    assert!(
        error.to_string().starts_with("tiny_http does not answer"),
        "{error}"
    );
}
