//! Ends: of the shield, of a client, of an answer.

use super::*;

#[test]
fn closing_answers_what_is_in_hand_and_shuts_the_rest() {
    let shielded = Shielded::holding();
    let mut idle = shielded.client();
    let mut busy = shielded.client();
    busy.send(GET);
    let request = shielded.next_request();
    shielded.wait_until("both connections to be inside", |shielded| {
        shielded.connections() == 2
    });

    let started = Instant::now();
    shielded.shield.close();
    shielded.shield.close();
    assert!(started.elapsed() < Duration::from_secs(1));
    idle.assert_closed();
    let refused = TcpStream::connect(shielded.shield.address()).expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(
        !shielded
            .shield
            .wait_until_answered(Duration::from_millis(20))
    );

    answer(request);
    let reply = busy.reply();
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("Connection: close\r\n"));
    busy.assert_closed();
    assert!(shielded.shield.wait_until_answered(PATIENCE));
}

#[test]
fn the_port_can_be_opened_again_after_close() {
    let shielded = Shielded::answering();
    assert_eq!(shielded.client().ask(GET).status, 200);
    shielded.shield.close();
    let listener = TcpListener::bind(shielded.shield.address()).expect("the port is free");
    drop(listener);
}

#[test]
fn a_client_that_leaves_costs_only_its_own_answer() {
    let shielded = Shielded::holding();
    for _ in 0..8 {
        let mut client = shielded.client();
        client.send(GET);
        answer(shielded.next_request());
        client.stream.peek(&mut [0]).expect("the answer arrives");
        client.send(GET);
        let request = shielded.next_request();
        // An answer is unread, so this close is a reset.
        drop(client);
        answer(request);
    }
    let mut half = shielded.client();
    half.send(post(500, "") + "abc");
    drop(half);
    let mut client = shielded.client();
    client.send(GET);
    answer(shielded.next_request());
    assert_eq!(client.reply().status, 200);
    drop(client);
    shielded.wait_until("everybody to be gone", |shielded| {
        shielded.connections() == 0
    });
    assert!(shielded.shield.wait_until_answered(PATIENCE));
}

#[test]
fn a_request_dropped_unanswered_is_a_500() {
    let shielded = Shielded::holding();
    let mut client = shielded.client();
    client.send(GET);
    drop(shielded.next_request());
    assert_eq!(client.reply().status, 500);
}

#[test]
fn the_unix_socket_is_private_and_removed_at_the_end() {
    let shielded = Shielded::answering();
    assert_eq!(shielded.client().ask(GET).status, 200);
    let path = shielded.shield.directory.socket().with_file_name("");
    let mode = fs::metadata(&path)
        .expect("the directory exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    shielded.shield.close();
    assert!(shielded.shield.wait_until_answered(PATIENCE));
    assert!(!path.exists());
}

#[test]
fn the_unix_socket_is_removed_when_the_shield_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let (shield, server) = listen(listener, ROOMY).expect("the shield listens");
    let path = shield.directory.socket().with_file_name("");
    assert!(path.exists());
    drop(server);
    drop(shield);
    assert!(!path.exists());
}

#[test]
fn a_request_that_is_arriving_when_the_port_is_closed_is_answered() {
    let shielded = Shielded::answering();
    let request = post(5, "") + "hello";
    for begun in [1, 20, request.len() - 1] {
        let shielded = Shielded::answering();
        let mut client = shielded.client();
        client.send(&request[..begun]);
        shielded.wait_until("the request to begin", |shielded| {
            shielded.connections() == 1 && shielded.idle_connections() == 0
        });
        shielded.shield.close();
        client.send(&request[begun..]);
        let reply = client.reply();
        assert_eq!(reply.body, "POST /hook [] 5");
        assert!(reply.head.contains("Connection: close\r\n"));
        assert!(shielded.shield.wait_until_answered(PATIENCE));
    }
    // One that has arrived whole, and that nobody has looked at yet.
    let mut clients: Vec<_> = (0..50).map(|_| shielded.client()).collect();
    shielded.wait_until("all to be inside", |shielded| shielded.connections() == 50);
    clients.iter_mut().for_each(|client| client.send(&request));
    shielded.shield.close();
    // After this no new one is opened to tiny_http.
    assert!(shielded.shield.wait_until_answered(PATIENCE));
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn a_request_whose_beginning_nobody_has_looked_at_when_the_port_is_closed_is_answered() {
    let request = post(5, "") + "hello";
    for is_new in [true, false] {
        let shielded = Shielded::answering();
        let mut clients: Vec<_> = (0..50).map(|_| shielded.client()).collect();
        if !is_new {
            for client in &mut clients {
                assert_eq!(client.ask(GET).status, 200);
            }
        }
        shielded.wait_until("all to be idle", |shielded| {
            shielded.idle_connections() == 50
        });
        for client in &mut clients {
            client.send(&request[..20]);
        }
        shielded.shield.close();
        for client in &mut clients {
            client.send(&request[20..]);
        }
        for client in &mut clients {
            assert_eq!(client.reply().status, 200);
        }
        assert!(shielded.shield.wait_until_answered(PATIENCE));
    }
}

#[test]
fn a_request_on_a_connection_that_waits_to_be_let_in_when_the_port_is_closed_is_answered() {
    let shielded = Shielded::answering();
    let shield = &shielded.shield;
    // Nobody is let in.
    let opening = lock(&shield.shared.backend.opening);
    let mut clients: Vec<_> = (0..20).map(|_| shielded.client()).collect();
    for client in &mut clients {
        client.send(post(5, "") + "hello");
    }
    thread::scope(|scope| {
        let closing = scope.spawn(|| shield.close());
        shielded.wait_until("the port to be closed", |_| shield.is_closed());
        drop(opening);
        closing.join().expect("it does not panic");
        assert!(shield.wait_until_answered(PATIENCE));
    });
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
}
