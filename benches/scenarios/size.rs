//! What an echo costs when few are owed, and when many are.

use std::sync::Arc;
use std::time::Duration;

use super::Round;
use crate::echo_log::EchoLog;
use crate::graph_api::GraphApi;
use crate::load;
use crate::messages::Messages;
use crate::program::{Directory, Program};
use crate::results::Measured;

const SIZES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
/// From this size on the cost is to be the same.
const FIRST_FLAT: usize = 100;
const CONNECTIONS: usize = 4;

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let largest = round.plan.count(100_000, 1_000);
    // So many echoes at least, that the clock's ticks of 10 ms do not matter.
    let least = round.plan.count(15_000, 200);
    let sizes = SIZES.into_iter().filter(|size| *size <= largest);
    let costs: Vec<_> = sizes
        .map(|size| (size, cost(size, least.div_ceil(size))))
        .collect();

    let flat = costs.iter().filter(|(size, _)| *size >= FIRST_FLAT);
    let (lowest, highest) = flat.fold((f64::MAX, f64::MIN), |(low, high), (_, cost)| {
        (low.min(*cost), high.max(*cost))
    });
    let row =
        |(size, cost): &(usize, f64)| Measured::new(format!("CPU per echo at {size}"), *cost, "µs");
    let mut rows: Vec<_> = costs.iter().map(row).collect();
    rows.push(Measured::new("highest, lowest = 1, from 100 on", highest / lowest, "").at_most(1.2));
    rows
}

/// The processor time of an echo, in microseconds, when so many are owed at once, so many times.
fn cost(size: usize, cycles: usize) -> f64 {
    let messages = Messages {
        count: size * cycles,
        people: size,
        per_webhook: size.min(100),
    };
    let echo_log = Arc::new(EchoLog::new(&messages));
    let graph = GraphApi::open(&echo_log, Duration::ZERO);
    let requests = messages.requests();
    let directory = Directory::new();
    let settings = [
        ("SEND_RATE", "0".to_string()),
        ("MAX_PENDING", "200000".to_string()),
        directory.setting(),
    ];
    let program = Program::echobot(graph.address(), &settings);
    let mut lines = load::lines(program.address(), CONNECTIONS);

    let cpu = program.cpu();
    for (cycle, requests) in requests.chunks(requests.len() / cycles).enumerate() {
        graph.move_gate(false);
        load::closed_loop(&mut lines, requests);
        graph.move_gate(true);
        echo_log.wait_for((cycle + 1) * size);
    }
    let cpu = program.cpu() - cpu;

    echo_log.check(program);
    cpu.as_secs_f64() * 1e6 / messages.count as f64
}
