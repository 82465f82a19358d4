//! Many messages at once, in one webhook.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Round;
use crate::echo_log::EchoLog;
use crate::graph_api::GraphApi;
use crate::load::Line;
use crate::messages::Messages;
use crate::program::{Directory, Program};
use crate::results::Measured;

const LATENCY: Duration = Duration::from_millis(200);

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let count = round.plan.count(1_000, 100);
    let messages = Messages {
        count,
        people: count,
        per_webhook: count,
    };
    let echo_log = Arc::new(EchoLog::new(&messages));
    let graph = GraphApi::open(&echo_log, LATENCY);
    let directory = Directory::new();
    let settings = [("SEND_RATE", "0".to_string()), directory.setting()];
    let program = Program::echobot(graph.address(), &settings);
    let webhooks = messages.requests();

    let begun = Instant::now();
    for webhook in &webhooks {
        Line::new(program.address()).deliver(webhook);
    }
    let acknowledged = begun.elapsed();
    echo_log.wait_for(count);
    let echoed = begun.elapsed();

    echo_log.check(program);
    vec![
        Measured::new("acknowledged", acknowledged.as_secs_f64() * 1e3, "ms"),
        Measured::new("the last one echoed", echoed.as_secs_f64(), "s").at_most(4.5),
    ]
}
