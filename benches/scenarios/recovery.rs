//! The way back: how long after the end of an outage all that is owed is echoed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Round;
use crate::echo_log::EchoLog;
use crate::graph_api::GraphApi;
use crate::load;
use crate::messages::Messages;
use crate::program::{Directory, Program};
use crate::results::Measured;

/// What the bot does by default, because Meta lets a page do no more.
const SEND_RATE: f64 = 300.0;
const LATENCY: Duration = Duration::from_millis(50);
const MESSAGES_EACH: usize = 5;
const CONNECTIONS: usize = 4;

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let people = round.plan.count(2_000, 120);
    let messages = Messages {
        count: people * MESSAGES_EACH,
        people,
        per_webhook: 1,
    };
    let echo_log = Arc::new(EchoLog::new(&messages));
    let graph = GraphApi::open(&echo_log, LATENCY);
    let requests = messages.requests();
    let directory = Directory::new();
    let program = Program::echobot(graph.address(), &[directory.setting()]);
    graph.set_outage(true);
    let mut connections = load::lines(program.address(), CONNECTIONS);
    let again = load::closed_loop(&mut connections, &requests);

    let (ended, cpu) = (Instant::now(), program.cpu());
    graph.set_outage(false);
    echo_log.wait_for(messages.count);
    let (last, cpu) = (Instant::now(), program.cpu() - cpu);
    let first = (0..messages.count).map(|number| echo_log.answered_at(number));
    let first = first.min().expect("there are messages");
    echo_log.check(program);
    let noticed = (first - ended).as_secs_f64();
    let took = (last - first).as_secs_f64();

    let least = messages.count as f64 / SEND_RATE;
    vec![
        // A probe finds out that it has ended.
        Measured::new("the first echo after", noticed, "s").at_most(8.5),
        Measured::new("from the first to the last", took, "s"),
        Measured::new("owed / SEND_RATE", least, "s"),
        Measured::new("the same, owed / SEND_RATE = 1", took / least, "").at_most(1.1),
        Measured::new(
            "CPU per echo",
            cpu.as_secs_f64() * 1e6 / messages.count as f64,
            "µs",
        ),
        Measured::new("webhooks sent again", again as f64, ""),
    ]
}
