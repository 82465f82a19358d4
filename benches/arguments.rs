//! The command line: `cargo bench -- a c --rounds 3`.

use std::net::SocketAddr;

use lexopt::prelude::{Long, Short, Value, ValueExt as _};

pub(crate) const HELP: &str = "\
cargo bench -- [SCENARIO]...   measures these scenarios (default: all)
  --rounds N                   how often, for the medians (default: 5)
  --quick                      one round with small counts: does everything run?
  --tutorial                   with the Flask tutorial beside (installs it into target/)
  --help                       print this and the scenarios
The shared outbox is one of them with cargo bench --features redis, and wants redis-server.
";

/// What this process is to do.
pub(crate) enum Errand {
    Measure(Plan),
    Help,
    /// Be the floor, for this Graph API.
    Floor(SocketAddr),
    /// Be the bare tiny_http.
    Bare,
    /// Call the hot function of this name so many times.
    Hot(String, u32),
}

/// How to measure.
pub(crate) struct Plan {
    /// The names of the scenarios; none: all.
    pub(crate) scenarios: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) tutorial: bool,
}

impl Plan {
    /// This many, or when it is to be quick that many.
    pub(crate) fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

pub(crate) fn read() -> Result<Errand, lexopt::Error> {
    let mut plan = Plan {
        scenarios: Vec::new(),
        rounds: 5,
        quick: false,
        tutorial: false,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(name) => plan.scenarios.push(name.string()?),
            Long("rounds") => plan.rounds = arguments.value()?.parse_with(at_least_one)?,
            Long("quick") => plan.quick = true,
            Long("tutorial") => plan.tutorial = true,
            Long("help") | Short('h') => return Ok(Errand::Help),
            // cargo says so to every benchmark.
            Long("bench") => {}
            Long("be-floor") => return Ok(Errand::Floor(arguments.value()?.parse()?)),
            Long("be-bare") => return Ok(Errand::Bare),
            Long("be-hot") => return hot(&mut arguments),
            other => return Err(other.unexpected()),
        }
    }
    if plan.quick {
        plan.rounds = 1;
    }
    Ok(Errand::Measure(plan))
}

fn hot(arguments: &mut lexopt::Parser) -> Result<Errand, lexopt::Error> {
    let name = arguments.value()?.string()?;
    Ok(Errand::Hot(name, arguments.value()?.parse()?))
}

fn at_least_one(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("it is a number from 1 on")
}
