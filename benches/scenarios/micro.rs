//! The functions that every message passes through: time, and instructions where there is valgrind.

use std::process::{Command, Stdio};

use echobot::simulator::{APP_SECRET, PAGE_ACCESS_TOKEN, VERIFY_TOKEN};

use super::Round;
use crate::hot::{HOT, Hot};
use crate::results::Measured;

/// Between these counts of calls lie instructions of nothing but calls.
const FEW_AND_MANY: [u32; 2] = [100, 600];

pub(super) fn run(round: &mut Round<'_>) -> Vec<Measured> {
    let milliseconds = round.plan.count(200, 5);
    // Hardly ever another number: once is enough.
    let instructions_too = round.number == 1 && !round.plan.quick;
    let mut found = Vec::new();
    for hot in HOT {
        let time = nanoseconds(hot, milliseconds as f64);
        found.push(Measured::new(hot.name, time, "ns"));
        if instructions_too {
            found.push(counted(hot));
        }
    }
    found
}

fn counted(hot: &Hot) -> Measured {
    let name = hot.name;
    match instructions(hot) {
        Some(count) => Measured::new(format!("{name}: instructions"), count, ""),
        None => Measured::new(
            format!("{name}: instructions (valgrind does not run)"),
            f64::NAN,
            "",
        ),
    }
}

/// Of one call, on average over about so many milliseconds.
fn nanoseconds(hot: &Hot, milliseconds: f64) -> f64 {
    let time = |calls: u32| {
        let output = said(own(hot, calls)).unwrap_or_default();
        let nanoseconds: f64 = output.trim().parse().expect("it prints the time");
        nanoseconds / f64::from(calls)
    };
    time((milliseconds * 1e6 / time(1_000)).max(1.0) as u32)
}

/// Of one call. Under valgrind the processor has not all of its own instructions: no SHA, for example.
fn instructions(hot: &Hot) -> Option<f64> {
    let [few, many] = FEW_AND_MANY.map(|calls| {
        let own = own(hot, calls);
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(own.get_program())
            .args(own.get_args())
            .envs(
                own.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        let said = said(valgrind)?;
        let collected = said
            .lines()
            .find_map(|line| line.split_once("Collected : "))?
            .1;
        collected.trim().parse::<f64>().ok()
    });
    Some((many? - few?) / f64::from(FEW_AND_MANY[1] - FEW_AND_MANY[0]))
}

/// The command that calls this function so many times.
fn own(hot: &Hot, calls: u32) -> Command {
    let own = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(own);
    command
        .args(["--be-hot", hot.name, &calls.to_string()])
        .env("PAGE_ACCESS_TOKEN", PAGE_ACCESS_TOKEN)
        .env("VERIFY_TOKEN", VERIFY_TOKEN)
        .env("APP_SECRET", APP_SECRET);
    command
}

/// What a command says on stdout and stderr; none when it does not exist or fails.
fn said(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&said).into_owned())
}
