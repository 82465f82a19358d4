//! What is too much.

use super::*;

#[test]
fn where_connections_run_out_the_longest_idle_one_makes_room() {
    let shielded = Shielded::open(Limits {
        connections: 2,
        ..ROOMY
    })
    .answer_all();
    let mut first = shielded.client();
    assert_eq!(first.ask(GET).status, 200);
    shielded.wait_until("the first to be idle", |shielded| {
        shielded.idle_connections() == 1
    });
    let mut second = shielded.client();
    assert_eq!(second.ask(GET).status, 200);
    shielded.wait_until("both to be idle", |shielded| {
        shielded.idle_connections() == 2
    });
    assert_eq!(shielded.client().ask(GET).status, 200);
    first.assert_closed();
}

#[test]
fn a_connection_on_which_a_request_has_begun_to_arrive_makes_no_room() {
    let shielded = Shielded::answering();
    let mut client = shielded.client();
    shielded.wait_until("it to be idle", |shielded| shielded.idle_connections() == 1);
    let mut state = shielded.shield.shared.registry.state();
    // Its thread cannot say so meanwhile.
    client.send(&GET[..5]);
    thread::sleep(Duration::from_millis(50));
    assert!(!state.evict());
    drop(state);
    assert_eq!(client.ask(&GET[5..]).status, 200);
}

#[test]
fn where_all_connections_are_busy_the_next_is_rejected() {
    let shielded = Shielded::open(Limits {
        connections: 2,
        ..ROOMY
    });
    let inside = shielded.fill(2);
    let mut late = shielded.client();
    let reply = late.reply();
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("Retry-After: 1\r\n"));
    late.assert_closed();
    shielded.empty(inside);
}

#[test]
fn too_many_large_bodies_on_the_way_get_503() {
    let deadlines = Deadlines {
        request: PATIENCE,
        ..DEADLINES
    };
    let shielded = Shielded::open(with(deadlines)).answer_all();
    let almost = framing::MAX_BODY - 1;
    let mut waiting: Vec<_> = (0..16).map(|_| shielded.client()).collect();
    for client in &mut waiting {
        client.send(post(framing::MAX_BODY, "") + &"x".repeat(almost));
    }
    // Another one before that would take the place of one of these.
    shielded.wait_until("all of them have arrived", |shielded| {
        shielded.shield.shared.registry.state().held() >= 16 * almost
    });
    let large = post(100_000, "") + &"x".repeat(100_000);
    assert_eq!(shielded.client().ask(&large).status, 503);
    assert_eq!(shielded.client().ask(post(5, "") + "hello").status, 200);
    drop(waiting);
    shielded.wait_until("a large body is let in", |shielded| {
        shielded.client().ask(&large).status == 200
    });
}

#[test]
fn bodies_that_are_only_announced_take_no_room() {
    let shielded = Shielded::answering();
    let announced = post(framing::MAX_BODY, "Expect: 100-continue\r\n");
    let mut waiting: Vec<_> = (0..64).map(|_| shielded.client()).collect();
    for client in &mut waiting {
        assert_eq!(client.ask(&announced).status, 100);
    }
    let large = post(100_000, "") + &"x".repeat(100_000);
    assert_eq!(shielded.client().ask(large).status, 200);
}
