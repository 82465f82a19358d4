//! As much as Meta lets a page send, through a Graph API as slow as the real one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Round;
use crate::echo_log::EchoLog;
use crate::graph_api::GraphApi;
use crate::messages::Messages;
use crate::open_loop::open_loop;
use crate::program::{Directory, Program};
use crate::results::Measured;

/// Meta's limit for a page (Send API, "Rate Limits").
const PER_SECOND: u32 = 300;
const LATENCY: Duration = Duration::from_millis(200);

/// What became of the webhooks; times in milliseconds, sorted.
pub(super) struct Outcome {
    pub(super) acknowledged: Vec<f64>,
    pub(super) echoed: Vec<f64>,
    /// Of one echo, in microseconds.
    pub(super) cpu: f64,
    peak_memory: f64,
    again: usize,
    connections: usize,
}

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let seconds = round.plan.count(10, 1);
    let directory = Directory::new();
    let bot = run_through(seconds, |graph| {
        Program::echobot(graph, &[directory.setting()])
    });
    let floor = run_through(seconds, |graph| {
        Program::part(&["--be-floor", &graph.to_string()])
    });
    vec![
        Measured::new("acknowledged: median", at(&bot.acknowledged, 0.5), "ms"),
        Measured::new("acknowledged: p99", at(&bot.acknowledged, 0.99), "ms").at_most(25.0),
        Measured::new("acknowledged: longest", at(&bot.acknowledged, 1.0), "ms"),
        Measured::new("echoed: median", at(&bot.echoed, 0.5), "ms"),
        Measured::new("echoed: p99", at(&bot.echoed, 0.99), "ms").at_most(240.0),
        Measured::new("echoed: longest", at(&bot.echoed, 1.0), "ms"),
        Measured::new("CPU per echo", bot.cpu, "µs"),
        Measured::new("peak memory", bot.peak_memory, "MiB").at_most(14.0),
        Measured::new("webhooks sent again", bot.again as f64, ""),
        Measured::new("connections", bot.connections as f64, ""),
        Measured::new("the floor: echoed: p99", at(&floor.echoed, 0.99), "ms"),
        Measured::new("the floor: CPU per echo", floor.cpu, "µs"),
        Measured::new("the floor: connections", floor.connections as f64, ""),
        Measured::new("CPU, the floor = 1", bot.cpu / floor.cpu, ""),
    ]
}

pub(super) fn run_through(seconds: usize, start: impl FnOnce(SocketAddr) -> Program) -> Outcome {
    let messages = Messages {
        count: seconds * PER_SECOND as usize,
        people: PER_SECOND as usize,
        per_webhook: 1,
    };
    let echo_log = Arc::new(EchoLog::new(&messages));
    let graph = GraphApi::open(&echo_log, LATENCY);
    let requests = messages.requests();
    let program = start(graph.address());

    let cpu = program.cpu();
    let delivered = open_loop(program.address(), requests, PER_SECOND);
    echo_log.wait_for(messages.count);
    let cpu = program.cpu() - cpu;

    let peak_memory = program.peak_memory();
    echo_log.check_but(program, |number| {
        let later = (number + messages.people..messages.count).step_by(messages.people);
        later
            .into_iter()
            .any(|later| delivered.was_underway(number, later))
    });
    let due = delivered.due.iter().enumerate();
    let echoed = due.map(|(number, due)| echo_log.answered_at(number) - *due);
    Outcome {
        echoed: in_order(echoed),
        acknowledged: in_order(delivered.acknowledged.into_iter()),
        cpu: cpu.as_secs_f64() * 1e6 / messages.count as f64,
        peak_memory,
        again: delivered.again,
        connections: delivered.connections,
    }
}

fn in_order(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The time that this share of all do not exceed.
pub(super) fn at(times: &[f64], share: f64) -> f64 {
    let place = (times.len() as f64 * share).ceil() as usize;
    times[place.max(1) - 1]
}
