//! The command line. See the library for everything it calls.

use std::io::Write as _;
use std::process::ExitCode;

use echobot::config::Config;
use echobot::server::{self, ServeError};
use echobot::{logger, simulator};
use lexopt::prelude::{Long, Short, Value, ValueExt as _};

const HELP: &str = "\
echobot: a Facebook Messenger echo bot

  echobot                          serve; the settings come from the environment
  echobot simulate --say TEXT      try it without a Meta account: a Messenger on this
                                   machine says TEXT to the bot (repeatable) and prints
                                   what the bot sends back

  -h, --help                       print this
  -V, --version                    print the version

Settings: PAGE_ACCESS_TOKEN, VERIFY_TOKEN and APP_SECRET are required; the README lists all.
Exit codes: 0 done, 1 something failed, 2 the command line or a setting is wrong.
";

/// What the command line asks for.
enum Command {
    Serve,
    Simulate { say: Vec<String> },
    Help,
    Version,
}

fn main() -> ExitCode {
    match command() {
        Ok(Command::Serve) => serve(),
        Ok(Command::Simulate { say }) => finish(simulator::say(&say, &mut std::io::stdout())),
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(concat!("echobot ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "echobot: {error}; try echobot --help");
            ExitCode::from(2)
        }
    }
}

fn command() -> Result<Command, lexopt::Error> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next()? {
        None => Ok(Command::Serve),
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(Short('V') | Long("version")) => Ok(Command::Version),
        Some(Value(word)) if word == "simulate" => simulate(&mut arguments),
        Some(other) => Err(other.unexpected()),
    }
}

fn simulate(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut say = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("say") => match arguments.value()?.string()? {
                text if text.is_empty() => {
                    return Err("--say wants a text: Messenger sends no empty ones".into());
                }
                text => say.push(text),
            },
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    if say.is_empty() {
        return Err("simulate needs something to say: --say TEXT".into());
    }
    Ok(Command::Simulate { say })
}

fn serve() -> ExitCode {
    match Config::from_environment() {
        Ok(config) => {
            logger::start(config.log_level);
            match server::serve(&config) {
                Err(ServeError::Store(error)) => refuse(&error),
                served => finish(served),
            }
        }
        Err(error) => refuse(&error),
    }
}

/// A setting is wrong.
fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(2)
}

fn finish<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "echobot: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints; a reader that has left (as `head` does) is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
