//! The way through shield and tiny_http alone, beside the server library.

use std::time::Instant;

use super::Round;
use crate::load;
use crate::messages::handshake;
use crate::program::Program;
use crate::results::Measured;

const CONNECTIONS: usize = 16;

struct Cost {
    per_second: f64,
    /// Of one handshake, in microseconds.
    cpu: f64,
}

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let count = round.plan.count(50_000, 2_000);
    let nobody = ([127, 0, 0, 1], 9).into();
    let bot = saturate(&Program::echobot(nobody, &[]), count);
    let bare = saturate(&Program::part(&["--be-bare"]), count);
    let ratio = bot.per_second / bare.per_second;
    vec![
        Measured::new("handshakes per second", bot.per_second, ""),
        Measured::new("CPU per handshake", bot.cpu, "µs"),
        Measured::new("bare tiny_http: handshakes per second", bare.per_second, ""),
        Measured::new("bare tiny_http: CPU per handshake", bare.cpu, "µs"),
        Measured::new("handshakes, bare tiny_http = 1", ratio, "").at_least(0.5),
    ]
}

fn saturate(program: &Program, count: usize) -> Cost {
    let requests = vec![handshake(); count];
    let mut lines = load::lines(program.address(), CONNECTIONS);
    // One after the other: bare tiny_http can miss connections that are opened at once.
    for line in &mut lines {
        line.deliver(&requests[0]);
    }
    let (begun, cpu) = (Instant::now(), program.cpu());
    load::closed_loop(&mut lines, &requests);
    let (took, cpu) = (begun.elapsed(), program.cpu() - cpu);
    Cost {
        per_second: count as f64 / took.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / count as f64,
    }
}
