//! tiny_http's connections and tiny_http's end.

use super::*;

#[test]
fn connections_to_tiny_http_that_nobody_needs_are_ended() {
    let house = House::holding();
    let idle = |house: &House| house.door.shared.backend.idle_connections();
    house.empty(house.fill(32));
    house.wait_until("all to be idle", |house| idle(house) == 32);
    house.wait_until("all to be ended", |house| idle(house) == 0);
    house.empty(house.fill(32));
}

#[test]
fn connections_to_tiny_http_that_nobody_needs_are_ended_while_others_are_used() {
    let house = House::answering();
    let mut clients: Vec<_> = (0..16).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
    let client = &mut clients[0];
    house.wait_until("one to be left", |house| {
        // The requests come too fast for `recv` to time out.
        assert_eq!(client.ask(GET).status, 200);
        house.door.shared.backend.idle_connections() <= 1
    });
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
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let places = [std::env::temp_dir()];
    let door = open_with(&places, listener, ROOMY, deadlines).expect("the door opens");
    let house = House {
        door: Arc::new(door),
        requests: None,
    };
    // Nobody receives, so no knock is answered.
    for _ in 0..3 {
        let mut client = house.client();
        client.send(GET);
        assert_eq!(client.reply().status, 503);
    }
    let error = house.door.recv().map(drop).expect_err("it is stuck");
    assert!(
        error.to_string().starts_with("tiny_http does not answer"),
        "{error}"
    );
}
