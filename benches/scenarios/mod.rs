//! What is measured. Each function runs one round of a scenario, yardsticks included.

mod burst;
mod ceiling;
mod handshakes;
mod micro;
mod recovery;
mod saturation;
#[cfg(feature = "redis")]
mod shared;
mod size;
mod start;

use crate::arguments::Plan;
use crate::results::Measured;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Of a long one there are not more rounds.
    pub(crate) most_rounds: usize,
    pub(crate) run: fn(&mut Round<'_>) -> Vec<Measured>,
}

/// What the scenarios of one round share.
pub(crate) struct Round<'a> {
    plan: &'a Plan,
    /// Counted from 1.
    number: usize,
    /// What an echo costs without a disk, in microseconds, once it is known.
    cpu_in_memory: Option<f64>,
}

impl Round<'_> {
    pub(crate) fn new(plan: &Plan, number: usize) -> Round<'_> {
        Round {
            plan,
            number,
            cpu_in_memory: None,
        }
    }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a",
        what: "saturation in memory: 64 connections, a message a webhook, an instant Graph API",
        most_rounds: usize::MAX,
        run: saturation::in_memory,
    },
    Scenario {
        name: "b",
        what: "saturation on disk: the same, and a webhook is answered when it is synced to disk",
        most_rounds: usize::MAX,
        run: saturation::on_disk,
    },
    Scenario {
        name: "c",
        what: "Messenger's ceiling: 300 webhooks a second, a Graph API that takes 200 ms, on disk",
        most_rounds: usize::MAX,
        run: ceiling::run,
    },
    Scenario {
        name: "d",
        what: "a burst: one webhook with 1,000 messages of 1,000 people, a Graph API that takes 200 ms, on disk",
        most_rounds: usize::MAX,
        run: burst::run,
    },
    Scenario {
        name: "e",
        what: "the start: from the program's start to the answer to a handshake, on disk",
        most_rounds: usize::MAX,
        run: start::run,
    },
    Scenario {
        name: "f",
        what: "cost against size: so many echoes owed at once while the Graph API hangs, then all sent, on disk",
        most_rounds: 3,
        run: size::run,
    },
    Scenario {
        name: "g",
        what: "handshakes: 16 connections, beside bare tiny_http",
        most_rounds: usize::MAX,
        run: handshakes::run,
    },
    Scenario {
        name: "recovery",
        what: "the way back: 10,000 owed to 2,000 people when an outage ends, calls of 50 ms, on disk",
        most_rounds: 3,
        run: recovery::run,
    },
    #[cfg(feature = "redis")]
    Scenario {
        name: "shared",
        what: "the shared outbox: c with an outbox in memory, on disk, and in redis-server with appendfsync always",
        most_rounds: 3,
        run: shared::run,
    },
    Scenario {
        name: "micro",
        what: "one call of each function that every message passes through",
        most_rounds: usize::MAX,
        run: micro::run,
    },
];
