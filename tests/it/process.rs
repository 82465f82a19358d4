//! Processes whose end, output or log is looked at.

use std::process::Command;

pub use self::shared::*;

#[path = "../../simulator/tests/it/process.rs"]
mod shared;

/// The program with these arguments and an empty environment.
pub fn echobot(arguments: &[&str]) -> Command {
    command(arguments)
}
