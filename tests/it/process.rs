//! Processes whose end, output or log is looked at.

use std::io::PipeWriter;
use std::process::Command;

pub use self::shared::*;

#[path = "../../simulator/tests/it/process.rs"]
mod shared;

/// The program with these arguments and an empty environment.
pub fn echobot(arguments: &[&str]) -> Command {
    command(arguments)
}

/// A pipe that nobody reads any more.
pub fn closed_pipe() -> PipeWriter {
    let (reader, writer) = std::io::pipe().expect("the system has a pipe");
    drop(reader);
    writer
}
