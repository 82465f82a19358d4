//! The command line. The library has everything that it calls.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use echobot::account;
use echobot::config::{self, Config};
use echobot::echo;
use lexopt::prelude::{Long, Short, Value, ValueExt as _};

#[cfg(feature = "simulator")]
use self::simulate::simulate;

#[cfg(feature = "simulator")]
mod simulate;

/// One heap for all threads. glibc gives each thread a heap of its own, and those fill up one by
/// one: at saturation 15.5 MiB, with this one 11.7 MiB (`cargo bench -- a`, peak memory).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: rustix_dlmalloc::GlobalDlmalloc = rustix_dlmalloc::GlobalDlmalloc;

const HELP: &str = include_str!("help.txt");

fn main() -> ExitCode {
    let Err(Failure(message, code)) = run() else {
        return ExitCode::SUCCESS;
    };
    // The journal takes a line for an error when it begins like this (sd-daemon(3)).
    let is_journal = config::goes_to_journal(io::stderr());
    let mark = if is_journal { "<3>" } else { "" };
    let lines = message.lines().map(|line| format!("{mark}{line}\n"));
    tell(lines.collect());
    ExitCode::from(code)
}

/// Writes to stderr. If nobody reads it, the process still ends, after a second.
fn tell(text: String) {
    let (done, is_done) = mpsc::channel();
    let line = text.clone();
    let write = move || done.send(io::stderr().write_all(line.as_bytes()));
    match thread::Builder::new().spawn(write) {
        Ok(_) => _ = is_done.recv_timeout(Duration::from_secs(1)),
        // What there is to tell may be that there are no threads.
        Err(_) => _ = io::stderr().write_all(text.as_bytes()),
    }
}

/// What is written to stderr, perhaps nothing, and the exit code. The lines of a wrong setting name it themselves.
struct Failure(String, u8);

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Failure {
        Failure(format!("echobot: {error}; try echobot --help"), 2)
    }
}

fn other(error: impl Display) -> Failure {
    Failure(format!("echobot: {error}"), 1)
}

fn run() -> Result<(), Failure> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next()? {
        None => serve(),
        Some(Short('h') | Long("help")) => print(HELP),
        Some(Short('V') | Long("version")) => {
            print(concat!("echobot ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Some(Value(word)) if word == "simulate" => simulate(&mut arguments),
        Some(Value(word)) if word == "check" => check(false, &mut arguments),
        Some(Value(word)) if word == "setup" => check(true, &mut arguments),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn serve() -> Result<(), Failure> {
    let config = Config::from_environment().map_err(|lines| Failure(lines, 2))?;
    echobot::serve(&config, echo::reply).map_err(|error| match error.exit_code() {
        1 => other(error),
        code => Failure(error.to_string(), code),
    })
}

#[cfg(not(feature = "simulator"))]
fn simulate(_: &mut lexopt::Parser) -> Result<(), Failure> {
    let why = "this echobot is built without the simulator: build it with its default features";
    Err(lexopt::Error::from(why).into())
}

/// `check`, and `setup`, which ends with it.
fn check(is_setup: bool, arguments: &mut lexopt::Parser) -> Result<(), Failure> {
    let (mut as_json, mut callback_url) = (false, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("json") if !is_setup => as_json = true,
            Long("callback-url") if is_setup => {
                callback_url = Some(arguments.value()?.string()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if is_setup {
        let missing = lexopt::Error::from("setup needs --callback-url https://…");
        let url = callback_url.ok_or(missing)?;
        let config = Config::from_environment().map_err(|lines| Failure(lines, 2))?;
        account::setup(&config, &url).map_err(other)?;
    }
    match account::check(as_json) {
        // The findings have told it.
        Ok(false) => Err(Failure(String::new(), 1)),
        // `| head` is not a failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(other(error)),
        _ => Ok(()),
    }
}

/// Prints the text. A closed pipe (`| head`) is not a failure.
fn print(text: &str) -> Result<(), Failure> {
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}
