//! `cargo bench`: what an echo costs, beside what it must cost at least.
//!
//! The bot is the real program in a process of its own, so its processor time and memory are its own; Messenger and
//! the Graph API are played by this process, with as little work as possible. Yardsticks ([`floor`], [`bare`], the
//! tutorial) are processes too and are measured in the same rounds: the ratios hold on a noisy machine, the
//! numbers only on this one.

#![allow(clippy::print_stdout, reason = "it prints a table")]

mod arguments;
mod bare;
mod echo_log;
mod floor;
mod graph_api;
mod hot;
mod http;
mod load;
mod messages;
mod open_loop;
mod program;
mod results;
mod scenarios;
mod tutorial;

use std::fs;
use std::process::ExitCode;

use serde_json::{Value, json};

use self::arguments::{Errand, Plan};
use self::scenarios::{Round, SCENARIOS, Scenario};

fn main() -> ExitCode {
    match arguments::read() {
        Ok(Errand::Measure(plan)) => finish(measure(&plan)),
        Ok(Errand::Help) => {
            println!("{}\n{}", arguments::HELP, scenario_list());
            ExitCode::SUCCESS
        }
        Ok(Errand::Floor(graph)) => finish(floor::run(graph).map_err(|error| error.to_string())),
        Ok(Errand::Bare) => finish(bare::run().map_err(|error| error.to_string())),
        Ok(Errand::Hot(name, calls)) => finish(hot::run(&name, calls)),
        Err(error) => finish(Err(format!("{error}; try cargo bench -- --help"))),
    }
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(plan: &Plan) -> Result<(), String> {
    let chosen = choose(&plan.scenarios)?;
    if plan.tutorial {
        tutorial::install()?;
    }
    let mut found: Vec<Vec<_>> = chosen.iter().map(|_| Vec::new()).collect();
    for number in 1..=plan.rounds {
        let mut round = Round::new(plan, number);
        for (scenario, found) in chosen.iter().zip(&mut found) {
            if number <= scenario.most_rounds {
                eprintln!("round {number} of {}: {}", plan.rounds, scenario.name);
                found.push((scenario.run)(&mut round));
            }
        }
    }
    if plan.quick {
        println!(
            "\nquick: everything runs, but the counts are too small for the numbers to mean anything"
        );
    }
    let reports = chosen.iter().zip(found);
    let reports =
        reports.map(|(scenario, found)| results::report(scenario.name, scenario.what, found));
    conclude(plan, reports.collect())
}

fn choose(names: &[String]) -> Result<Vec<&'static Scenario>, String> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let find = |name: &String| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| {
            format!(
                "there is no scenario {name}; there are\n{}",
                scenario_list()
            )
        })
    };
    names.iter().map(find).collect()
}

fn scenario_list() -> String {
    let line = |scenario: &Scenario| format!("  {}  {}\n", scenario.name, scenario.what);
    SCENARIOS.iter().map(line).collect()
}

fn conclude(plan: &Plan, scenarios: Vec<Value>) -> Result<(), String> {
    let program = fs::metadata(program::ECHOBOT).map_err(|error| error.to_string())?;
    println!(
        "\nthe program: {} bytes (wanted: ≤ 3,500,000)",
        program.len()
    );
    let results = json!({"rounds": plan.rounds, "quick": plan.quick, "program_bytes": program.len(), "scenarios": scenarios});
    let path = results::write(&results)
        .map_err(|error| format!("failed to write the results: {error}"))?;
    println!("the same as JSON: {}", path.display());
    Ok(())
}
