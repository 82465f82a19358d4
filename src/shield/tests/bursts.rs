//! Many connections at once.

use super::*;

#[test]
fn a_cold_burst_of_256_requests_is_received_whole() {
    let shielded = Shielded::holding();
    shielded.empty(shielded.fill(256));
    shielded.empty(shielded.fill(256));
}

#[test]
fn sixty_four_connections_opened_at_once_are_served_three_times() {
    let shielded = Shielded::answering();
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..64).map(|_| shielded.client()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| client.send(GET));
            for client in &mut clients {
                assert_eq!(client.reply().status, 200);
            }
        }
    }
}
