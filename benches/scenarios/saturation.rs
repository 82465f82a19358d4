//! As much as it can: with and without a disk, beside the floor and the tutorial.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Round;
use crate::echo_log::EchoLog;
use crate::graph_api::GraphApi;
use crate::load;
use crate::messages::Messages;
use crate::program::{Directory, Program};
use crate::results::Measured;
use crate::tutorial;

const CONNECTIONS: usize = 64;
/// A multiple of the connections: each person's messages go over the same one, and keep their order.
const PEOPLE: usize = 16 * CONNECTIONS;

/// What saturation costs.
struct Cost {
    echoes_per_second: f64,
    /// Of one echo, in microseconds.
    cpu: f64,
    peak_memory: f64,
    again: usize,
}

pub(super) fn in_memory(round: &mut Round<'_>) -> Vec<Measured> {
    let bot = of_bot_in_memory(round);
    let floor = saturate(round.plan.count(50_000, 5_000), |graph| {
        Program::part(&["--be-floor", &graph.to_string()])
    });
    let mut found = vec![
        Measured::new("echoes per second", bot.echoes_per_second, ""),
        Measured::new("CPU per echo", bot.cpu, "µs"),
        Measured::new("peak memory", bot.peak_memory, "MiB").at_most(14.0),
        Measured::new("webhooks sent again", bot.again as f64, ""),
        Measured::new("the floor: echoes per second", floor.echoes_per_second, ""),
        Measured::new("the floor: CPU per echo", floor.cpu, "µs"),
        Measured::new("CPU, the floor = 1", bot.cpu / floor.cpu, "").at_most(3.6),
    ];
    if round.plan.tutorial {
        found.extend(beside_tutorial(&bot, round.plan.count(1_000, 100)));
    }
    found
}

fn beside_tutorial(bot: &Cost, count: usize) -> [Measured; 4] {
    let tutorial = saturate(count, tutorial::start);
    let per_second = tutorial.echoes_per_second;
    [
        Measured::new("the tutorial: echoes per second", per_second, ""),
        Measured::new("the tutorial: CPU per echo", tutorial.cpu, "µs"),
        Measured::new("the tutorial: peak memory", tutorial.peak_memory, "MiB"),
        Measured::new("CPU, the tutorial = 1", bot.cpu / tutorial.cpu, "").at_most(1.0 / 15.0),
    ]
}

pub(super) fn on_disk(round: &mut Round<'_>) -> Vec<Measured> {
    let in_memory = match round.cpu_in_memory {
        Some(cpu) => cpu,
        None => of_bot_in_memory(round).cpu,
    };
    let directory = Directory::new();
    let bot = saturate(round.plan.count(20_000, 1_000), |graph| {
        Program::echobot(
            graph,
            &[("SEND_RATE", "0".to_string()), directory.setting()],
        )
    });
    vec![
        Measured::new("echoes per second", bot.echoes_per_second, ""),
        Measured::new("CPU per echo", bot.cpu, "µs"),
        Measured::new("peak memory", bot.peak_memory, "MiB"),
        Measured::new("CPU, in memory = 1", bot.cpu / in_memory, "").at_most(1.5),
        Measured::new("webhooks sent again", bot.again as f64, ""),
    ]
}

fn of_bot_in_memory(round: &mut Round<'_>) -> Cost {
    let bot = saturate(round.plan.count(20_000, 2_000), |graph| {
        Program::echobot(graph, &[("SEND_RATE", "0".to_string())])
    });
    round.cpu_in_memory = Some(bot.cpu);
    bot
}

/// Sends a tenth to warm up, and then so many messages as fast as they are answered.
fn saturate(count: usize, start: impl FnOnce(SocketAddr) -> Program) -> Cost {
    let warm_up = count / 10;
    let messages = Messages {
        count: warm_up + count,
        people: PEOPLE,
        per_webhook: 1,
    };
    let echo_log = Arc::new(EchoLog::new(&messages));
    let graph = GraphApi::open(&echo_log, Duration::ZERO);
    let requests = messages.requests();
    let program = start(graph.address());
    let mut lines = load::lines(program.address(), CONNECTIONS);
    load::closed_loop(&mut lines, &requests[..warm_up]);
    echo_log.wait_for(warm_up);

    let (begun, cpu) = (Instant::now(), program.cpu());
    let again = load::closed_loop(&mut lines, &requests[warm_up..]);
    echo_log.wait_for(messages.count);
    let (took, cpu) = (begun.elapsed(), program.cpu() - cpu);

    let peak_memory = program.peak_memory();
    echo_log.check(program);
    Cost {
        echoes_per_second: count as f64 / took.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / count as f64,
        peak_memory,
        again,
    }
}
