//! How soon after its start the program answers.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Round;
use crate::load::Line;
use crate::messages::handshake;
use crate::program::{Directory, Program, echobot};
use crate::results::{Measured, median};

/// A program that does not listen after so long never will.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let directory = Directory::new();
    // The first start makes the outbox.
    start(&directory);
    let starts = (0..round.plan.count(10, 3)).map(|_| start(&directory));
    let mut times: Vec<f64> = starts.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    vec![
        Measured::new("handshake answered: median", median(&times), "ms").at_most(30.0),
        Measured::new("handshake answered: longest", times[times.len() - 1], "ms"),
    ]
}

fn start(directory: &Directory) -> Duration {
    let (address, nobody) = (free_address(), free_address());
    let settings = [directory.setting(), ("BIND", address.to_string())];
    let mut command = echobot(nobody, &settings);
    let begun = Instant::now();
    // Not by what it says, but by what it does is it known to have started.
    let program = thread::spawn(move || Program::start(&mut command));
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nothing listens at {address}");
        thread::sleep(Duration::from_micros(200));
    }
    Line::new(address).deliver(&handshake());
    let took = begun.elapsed();
    program.join().expect("it said that it listens").stop();
    took
}

/// Free a moment ago, at least.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("the socket is bound")
}
