//! Many connections at once.

use super::*;

#[test]
fn a_cold_burst_of_256_requests_is_received_whole() {
    let house = House::holding();
    house.empty(house.fill(256));
    house.empty(house.fill(256));
}

#[test]
fn a_burst_of_256_requests_after_a_quiet_time_is_received_whole() {
    let house = House::holding();
    house.empty(house.fill(64));
    house.door.shared.backend.end_idle_connections();
    // tiny_http's free threads give up after 5 s: the burst comes while some of them do.
    thread::sleep(Duration::from_millis(4995));
    house.empty(house.fill(256));
}

#[test]
fn bursts_while_the_pools_threads_come_and_go_are_received_whole() {
    let house = House::holding();
    for _ in 0..30 {
        house.empty(house.fill(16));
        house.door.shared.backend.end_idle_connections();
    }
}

#[test]
fn sixty_four_connections_opened_at_once_are_served_three_times() {
    let house = House::answering();
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..64).map(|_| house.client()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| client.send(GET));
            for client in &mut clients {
                assert_eq!(client.reply().status, 200);
            }
        }
    }
}
