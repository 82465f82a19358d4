//! What is answered, and how.

use super::*;

#[test]
fn a_connection_serves_one_request_after_another() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    for _ in 0..50 {
        let reply = client.ask(post(3, "x-hub-signature-256: y\r\nX-Dropped: z\r\n") + "abc");
        assert_eq!(reply.body, r#"POST /hook ["y"] 3"#);
        assert!(!reply.head.contains("Connection:"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    let requests: String = (0..50)
        .map(|i| {
            format!(
                "POST /{i} HTTP/1.1\r\nHost: x\r\nContent-Length: {i}\r\n\r\n{}",
                "b".repeat(i)
            )
        })
        .collect();
    client.send(requests + "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET);
    for i in 0..50 {
        assert_eq!(client.reply().body, format!("POST /{i} [] {i}"));
    }
    let last = client.reply();
    assert!(last.body.starts_with("GET /last") && last.head.contains("Connection: close\r\n"));
    client.assert_closed();
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    for _ in 0..2 {
        for byte in (post(5, "") + "hello").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.reply().body, "POST /hook [] 5");
    }
}

#[test]
fn http_1_0_is_closed_unless_it_asks_for_keep_alive() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    let kept = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(kept.head.contains("Connection: keep-alive\r\n"));
    let closed = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(closed.head.contains("Connection: close\r\n"));
    client.assert_closed();
}

#[test]
fn answers_to_head_have_no_body() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = client.reply_to(true);
    assert!(
        reply.head.contains("Content-Length: 11\r\n"),
        "{}",
        reply.head
    );
    assert_eq!(client.ask(GET).body, "GET / [] 0");
}

#[test]
fn answers_without_content_keep_the_connection_in_step() {
    let shielded = Shielded::holding();
    let mut client = shielded.client();
    for code in [204, 304, 200] {
        client.send(GET);
        respond(shielded.next_request(), code, "x");
        assert_eq!(client.reply().status, code);
    }
}

#[test]
fn continue_is_sent_only_to_those_who_wait_for_it() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    assert_eq!(client.ask(post(5, "Expect: 100-continue\r\n")).status, 100);
    assert_eq!(client.ask("hello").body, "POST /hook [] 5");
    assert_eq!(
        client
            .ask(post(5, "Expect: 100-continue\r\n") + "hello")
            .status,
        200
    );
    assert_eq!(
        client
            .ask(post(5_000_000, "Expect: 100-continue\r\n"))
            .status,
        413
    );
    client.assert_closed();
}

#[test]
fn a_body_of_exactly_the_limit_is_served() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    for len in [framing::MAX_BODY, 1, 5000, framing::MAX_BODY] {
        client.send(post(len, ""));
        let reply = client.ask("b".repeat(len));
        assert_eq!(reply.body, format!("POST /hook [] {len}"));
    }
}

#[test]
fn a_client_that_uploads_too_much_still_sees_the_413() {
    let shielded = Shielded::answering();
    for len in [framing::MAX_BODY + 1, 3 * framing::MAX_BODY] {
        let mut client = shielded.client();
        client.send(post(len, ""));
        let reply = client.ask("b".repeat(len));
        assert_eq!(reply.status, 413);
        assert!(reply.head.contains("Connection: close\r\n"));
        client.assert_closed();
    }
}

#[test]
fn what_kills_tiny_http_is_refused_and_everybody_else_is_served() {
    let shielded = Shielded::answering();
    for (text, status) in [
        (post(100_000_000_000_000_000, ""), 413),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".into(), 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("\x16\x03\x01\x02".into(), 400),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400),
        (post(5, "Transfer-Encoding: chunked\r\n"), 400),
        (post(5, "Content-Length: 6\r\n"), 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            411,
        ),
        (format!("GET /{}", "x".repeat(9000)), 431),
    ] {
        let mut client = shielded.client();
        let reply = client.ask(&text);
        assert_eq!(reply.status, status, "{text:.60?}");
        assert!(reply.head.contains("Connection: close\r\n"));
        client.assert_closed();
    }
    let mut client = shielded.client();
    let upgrade = post(5, "Connection: upgrade\r\nUpgrade: x\r\n") + "hello";
    assert_eq!(client.ask(upgrade).body, "POST /hook [] 5");
    assert_eq!(client.ask(GET).status, 200);
}

#[test]
fn a_slow_request_gets_408_and_a_silent_connection_gets_nothing() {
    let deadlines = Deadlines {
        idle: Duration::from_millis(300),
        request: Duration::from_millis(300),
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines)).answer_all();
    for beginning in [
        "G",
        "GET / HTTP/1.1\r\n",
        "\r\nG",
        &post(5, ""),
        &(post(5, "") + "hell"),
    ] {
        let mut client = shielded.client();
        assert_eq!(client.ask(beginning).status, 408);
    }
    shielded.client().assert_closed();
    let mut client = shielded.client();
    assert_eq!(client.ask(GET).status, 200);
    client.assert_closed();
}

#[test]
fn a_connection_that_was_answered_is_kept_longer_than_a_silent_one() {
    let deadlines = Deadlines {
        request: Duration::from_millis(300),
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines)).answer_all();
    let mut answered = shielded.client();
    assert_eq!(answered.ask(GET).status, 200);
    shielded.client().assert_closed();
    assert_eq!(answered.ask(GET).status, 200);
    let router_of_heroku = Duration::from_secs(90);
    assert!(DEADLINES.idle > router_of_heroku);
}

#[test]
fn dripping_bytes_do_not_extend_the_deadline() {
    let deadlines = Deadlines {
        request: Duration::from_millis(300),
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines)).answer_all();
    let mut client = shielded.client();
    let started = Instant::now();
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a timeout can be set");
    let mut first = [0; 12];
    while client
        .stream
        .read(&mut first)
        .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    {
        assert!(started.elapsed() < PATIENCE);
        client.send("x");
    }
    assert_eq!(&first, b"HTTP/1.1 408");
}

#[test]
fn an_empty_line_after_a_body_begins_no_request() {
    let deadlines = Deadlines {
        idle: Duration::from_secs(2),
        request: Duration::from_secs(1),
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines)).answer_all();
    let mut client = shielded.client();
    for after in ["\r\n", "\r\n\r\n"] {
        assert_eq!(client.ask(post(5, "") + "hello").status, 200);
        client.send(after);
        thread::sleep(Duration::from_millis(50));
        shielded.wait_until("it to be idle", |shielded| shielded.idle_connections() == 1);
    }
    assert_eq!(client.ask(GET).status, 200);
    client.send("\r\n");
    client.assert_closed();

    let mut client = shielded.client();
    assert_eq!(client.ask(post(5, "") + "hello\r\n").status, 200);
    shielded.shield.close();
    client.assert_closed();
    assert!(shielded.shield.wait_until_answered(PATIENCE));
}

#[test]
fn what_has_arrived_before_the_deadline_is_in_time_however_late_it_is_read() {
    let deadlines = Deadlines {
        request: Duration::from_millis(300),
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines)).answer_all();
    let mut client = shielded.client();
    client.send(post(5, "") + "h");
    shielded.wait_until("the request to begin", |shielded| {
        shielded.connections() == 1 && shielded.idle_connections() == 0
    });
    let state = shielded.shield.shared.registry.state();
    // With this its thread is held up.
    client.send("e");
    thread::sleep(Duration::from_millis(100));
    client.send("llo");
    thread::sleep(Duration::from_millis(400));
    drop(state);
    assert_eq!(client.reply().body, "POST /hook [] 5");
}

#[test]
fn a_client_that_has_nothing_more_to_say_still_gets_its_answer() {
    let shielded = Shielded::holding();
    let mut client = shielded.client();
    client.send(GET);
    let request = shielded.next_request();
    let half_closed = client.stream.shutdown(Shutdown::Write);
    half_closed.expect("the client is connected");
    answer(request);
    assert_eq!(client.reply().body, "GET / [] 0");
    client.assert_closed();
}

#[test]
fn the_time_that_an_answer_takes_is_not_idle_time() {
    let idle = Duration::from_millis(400);
    let shielded = Shielded::open(with(Deadlines { idle, ..DEADLINES }));
    let mut client = shielded.client();
    client.send(GET);
    let request = shielded.next_request();
    // The shield's wait for the next request ends more than once meanwhile.
    thread::sleep(idle * 9 / 4);
    answer(request);
    assert_eq!(client.reply().status, 200);
    let answered = Instant::now();
    client.assert_closed();
    assert!(answered.elapsed() >= idle * 9 / 10);
}

#[test]
fn a_client_that_sends_on_while_it_reads_slowly_loses_nothing() {
    let shielded = Shielded::holding();
    let long = "x".repeat(30 * 1024);
    let mut client = shielded.client();
    client.send(GET.repeat(3));
    for _ in 0..2 {
        let request = shielded.next_request();
        thread::spawn({
            let long = long.clone();
            move || respond(request, 200, long)
        });
        assert!(client.reply().body == long);
    }
    answer(shielded.next_request());
    assert_eq!(client.reply().status, 200);
    client.send(GET);
    answer(shielded.next_request());
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_client_that_does_not_take_its_answer_is_given_up() {
    let deadlines = Deadlines {
        response: Duration::from_millis(200),
        idle: 2 * PATIENCE,
        ..DEADLINES
    };
    let mut shielded = Shielded::open(with(deadlines));
    let requests = shielded.requests.take().expect("nobody has taken them");
    thread::spawn(move || {
        let long = "x".repeat(30 * 1024);
        requests
            .into_iter()
            .for_each(|request| respond(request, 200, &*long));
    });
    let mut client = shielded.client();
    // Their answers are more than both sides have buffers for.
    client.send(GET.repeat(1000));
    shielded.wait_until("the connection to be gone", |shielded| {
        shielded.connections() == 0
    });
    assert!(shielded.shield.wait_until_answered(PATIENCE));
}
