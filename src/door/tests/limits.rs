//! What is too much.

use super::*;

#[test]
fn a_full_house_sends_the_longest_idle_connection_away() {
    let house = House::open(
        Limits {
            connections: 2,
            ..ROOMY
        },
        DEADLINES,
    )
    .answer_all();
    let mut first = house.client();
    assert_eq!(first.ask(GET).status, 200);
    house.wait_until("the first to be idle", |house| {
        house.idle_connections() == 1
    });
    let mut second = house.client();
    assert_eq!(second.ask(GET).status, 200);
    house.wait_until("both to be idle", |house| house.idle_connections() == 2);
    assert_eq!(house.client().ask(GET).status, 200);
    first.assert_closed();
}

#[test]
fn a_house_full_of_busy_connections_turns_the_next_away() {
    let house = House::open(
        Limits {
            connections: 2,
            ..ROOMY
        },
        DEADLINES,
    );
    let inside = house.fill(2);
    let mut late = house.client();
    let reply = late.reply();
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("Retry-After: 1\r\n"));
    late.assert_closed();
    house.empty(inside);
}

#[test]
fn too_many_requests_in_hand_get_503_and_may_try_again() {
    let house = House::open(
        Limits {
            requests: 2,
            ..ROOMY
        },
        DEADLINES,
    );
    let inside = house.fill(2);
    let mut client = house.client();
    let reply = client.ask(GET);
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("Retry-After: 1\r\n") && !reply.head.contains("Connection:"));
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply_to(true).status, 503);
    house.empty(inside);
    assert!(house.door.wait_until_empty(PATIENCE));
    client.send(GET);
    answer(house.next_request());
    assert_eq!(client.reply().status, 200);
}

#[test]
fn too_many_large_bodies_on_the_way_get_503() {
    let house = House::answering();
    let announced = post(framing::MAX_BODY, "Expect: 100-continue\r\n");
    let mut waiting: Vec<_> = (0..16).map(|_| house.client()).collect();
    for client in &mut waiting {
        assert_eq!(client.ask(&announced).status, 100);
    }
    assert_eq!(house.client().ask(&announced).status, 503);
    assert_eq!(house.client().ask(post(5, "") + "hello").status, 200);
    drop(waiting);
    house.wait_until("a large body to be let in", |house| {
        house.client().ask(&announced).status == 100
    });
}
