//! The command line. See the library for everything it calls.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use echobot::config::Config;
use echobot::server::{self, ServeError};
use echobot::simulator::{Options, OtherBot};
use echobot::{echo, setup, simulator};
use lexopt::prelude::{Long, Short, Value, ValueExt as _};

const HELP: &str = "\
echobot: a Facebook Messenger echo bot

  echobot                          serve; the settings come from the environment
  echobot simulate                 try it without a Meta account: a Messenger on this
                                   machine, with a page to chat on
    --port PORT                    the page's port (default: 8080, or the next free one)
    --say TEXT                     no page: say TEXT (repeatable), and print what comes back
    --json                         with --say: a line of JSON for each text, with times
    --latency MS                   the Graph API takes so many milliseconds
    --errors PERCENT               so many calls of the Send API fail for the moment
    --hanging                      the Graph API never answers
    --outage                       the Graph API is down
    --webhook URL --verify-token TOKEN --app-secret SECRET
                                   play Messenger for another bot, written in anything

  echobot check [--json]           look at settings, token and subscriptions: what is wrong,
                                   and what to do; exit code 1 if something is
  echobot setup --callback-url URL subscribe app and page to the bot at this https address
                                   (needs APP_ID), then check

  -h, --help                       print this
  -V, --version                    print the version

Settings: PAGE_ACCESS_TOKEN, VERIFY_TOKEN and APP_SECRET are required; the README lists all.
Exit codes: 0 done, 1 something failed, 2 the command line is wrong, or a setting at the start.
";

/// What the command line asks for.
enum Command {
    Serve,
    Simulate(Simulate),
    Check { json: bool },
    Setup { callback_url: String },
    Help,
    Version,
}

#[derive(Default)]
struct Simulate {
    options: Options,
    say: Vec<String>,
    json: bool,
    port: Option<u16>,
}

fn main() -> ExitCode {
    match command() {
        Ok(Command::Serve) => serve(),
        Ok(Command::Simulate(Simulate {
            options, say, json, ..
        })) if !say.is_empty() => {
            finish(simulator::say(&options, &say, json, &mut std::io::stdout()))
        }
        Ok(Command::Simulate(Simulate { options, port, .. })) => {
            finish(simulator::serve(&options, port))
        }
        Ok(Command::Check { json }) => check(json),
        Ok(Command::Setup { callback_url }) => setup(&callback_url),
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
        Some(Value(word)) if word == "check" => check_arguments(&mut arguments),
        Some(Value(word)) if word == "setup" => setup_arguments(&mut arguments),
        Some(other) => Err(other.unexpected()),
    }
}

fn check_arguments(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut json = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("json") => json = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Check { json })
}

fn setup_arguments(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut callback_url = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("callback-url") => callback_url = Some(arguments.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let callback_url = callback_url.ok_or("setup needs --callback-url https://…")?;
    Ok(Command::Setup { callback_url })
}

fn simulate(arguments: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut simulate = Simulate::default();
    let mut other_bot = [const { None }; 3];
    while let Some(argument) = arguments.next()? {
        let trouble = &mut simulate.options.trouble;
        match argument {
            Long("say") => simulate.say.push(arguments.value()?.string()?),
            Long("json") => simulate.json = true,
            Long("port") => simulate.port = Some(arguments.value()?.parse()?),
            Long("latency") => trouble.latency = Duration::from_millis(arguments.value()?.parse()?),
            Long("errors") => trouble.transient = arguments.value()?.parse_with(percent)?,
            Long("hanging") => trouble.hanging = 1.0,
            Long("outage") => trouble.outage = true,
            Long("webhook") => other_bot[0] = Some(arguments.value()?.string()?),
            Long("verify-token") => other_bot[1] = Some(arguments.value()?.string()?),
            Long("app-secret") => other_bot[2] = Some(arguments.value()?.string()?),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    if simulate.say.iter().any(String::is_empty) {
        return Err("--say wants a text: Messenger sends no empty ones".into());
    }
    if simulate.json && simulate.say.is_empty() {
        return Err("--json goes with --say".into());
    }
    simulate.options.other_bot = match other_bot {
        [None, None, None] => None,
        [Some(webhook), Some(verify_token), Some(app_secret)] => Some(OtherBot {
            webhook,
            verify_token,
            app_secret,
        }),
        _ => return Err("--webhook, --verify-token and --app-secret go together".into()),
    };
    Ok(Command::Simulate(simulate))
}

fn percent(text: &str) -> Result<f64, &'static str> {
    let percent = text
        .parse()
        .ok()
        .filter(|percent| (0.0..=100.0).contains(percent));
    percent
        .map(|percent: f64| percent / 100.0)
        .ok_or("it is a number from 0 to 100")
}

fn check(json: bool) -> ExitCode {
    let findings = setup::check(&Config::from_environment());
    match setup::report(&findings, json, &mut std::io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => finish(Err(error)),
    }
}

fn setup(callback_url: &str) -> ExitCode {
    match Config::from_environment() {
        Ok(config) => match setup::setup(&config, callback_url, &mut std::io::stdout()) {
            Ok(()) => check(false),
            Err(error) => finish(Err(error)),
        },
        Err(error) => refuse(&error),
    }
}

fn serve() -> ExitCode {
    match Config::from_environment() {
        Ok(config) => match server::serve(&config, echo::reply) {
            Err(ServeError::Store(error)) => refuse(&error),
            served => finish(served),
        },
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
