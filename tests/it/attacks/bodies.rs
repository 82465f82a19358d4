//! Large bodies of strangers.

use std::collections::HashSet;
use std::fs;
use std::thread;

use super::client::{Client, post};
use crate::support::World;

/// 64 MiB of bodies may be arriving at once. A container of 256 MB has room for them.
#[test]
fn bodies_of_strangers_take_hardly_more_memory_than_they_have_bytes() {
    let world = World::new();
    let request = post("", &vec![b'x'; 4 * 1024 * 1024]);
    for (clients, at_first) in [(15, request.len() - 1), (80, 700_000)] {
        let mut clients: Vec<Client> = (0..clients)
            .map(|_| Client::connect(&world.bot).expect("the bot listens"))
            .collect();
        for part in [&request[..at_first], &request[at_first..]] {
            thread::scope(|scope| {
                for client in &mut clients {
                    // It may have been told that there is no room.
                    scope.spawn(|| _ = client.send(part));
                }
            });
        }
        let statuses = clients.iter_mut().filter_map(Client::answer);
        let statuses: HashSet<u16> = statuses.map(|answer| answer.status).collect();
        assert!(statuses.contains(&403), "{statuses:?}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", world.bot.process.id()));
    let status = status.expect("the bot lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    let peak = peak.expect("Linux tells it") / 1024;
    println!("{peak} MiB at the peak");
    assert!(peak < 192, "{peak} MiB at the peak");
}
