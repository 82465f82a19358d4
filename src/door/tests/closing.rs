//! Ends: of the door, of a client, of an answer.

use super::*;

#[test]
fn closing_answers_what_is_in_hand_and_shuts_the_rest() {
    let house = House::holding();
    let mut idle = house.client();
    let mut busy = house.client();
    busy.send(GET);
    let request = house.next_request();
    house.wait_until("both connections to be inside", |house| {
        house.connections() == 2
    });

    let started = Instant::now();
    house.door.close();
    house.door.close();
    assert!(started.elapsed() < Duration::from_secs(1));
    idle.assert_closed();
    let refused = TcpStream::connect(house.door.address()).expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(!house.door.wait_until_empty(Duration::from_millis(20)));

    answer(request);
    let reply = busy.reply();
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("Connection: close\r\n"));
    busy.assert_closed();
    assert!(house.door.wait_until_empty(PATIENCE));
}

#[test]
fn the_port_can_be_opened_again_after_close() {
    let house = House::answering();
    assert_eq!(house.client().ask(GET).status, 200);
    house.door.close();
    let listener = TcpListener::bind(house.door.address()).expect("the port is free");
    drop(listener);
}

#[test]
fn a_client_that_leaves_costs_only_its_own_answer() {
    let house = House::holding();
    for _ in 0..8 {
        let mut client = house.client();
        client.send(GET);
        answer(house.next_request());
        client.stream.peek(&mut [0]).expect("the answer arrives");
        client.send(GET);
        let request = house.next_request();
        // An answer is unread, so this close is a reset.
        drop(client);
        answer(request);
    }
    let mut half = house.client();
    half.send(post(500, "") + "abc");
    drop(half);
    let mut client = house.client();
    client.send(GET);
    answer(house.next_request());
    assert_eq!(client.reply().status, 200);
    drop(client);
    house.wait_until("everybody to be gone", |house| house.connections() == 0);
    assert!(house.door.wait_until_empty(PATIENCE));
}

#[test]
fn a_request_dropped_unanswered_is_a_500() {
    let house = House::holding();
    let mut client = house.client();
    client.send(GET);
    drop(house.next_request());
    assert_eq!(client.reply().status, 500);
}

#[test]
fn the_unix_socket_is_private_and_removed_at_the_end() {
    let house = House::answering();
    assert_eq!(house.client().ask(GET).status, 200);
    let path = house.door.shared.backend.directory().path().to_owned();
    let mode = fs::metadata(&path)
        .expect("the directory exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    house.door.close();
    assert!(house.door.wait_until_empty(PATIENCE));
    assert!(!path.exists());
}

#[test]
fn the_unix_socket_is_removed_when_the_door_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let door = open(listener, ROOMY).expect("the door opens");
    let path = door.shared.backend.directory().path().to_owned();
    assert!(path.exists());
    drop(door);
    assert!(!path.exists());
}
