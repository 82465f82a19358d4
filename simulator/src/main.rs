//! `messenger-simulator`: the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use messenger_simulator::{CommandError, run};

fn main() -> ExitCode {
    let program = "messenger-simulator";
    let (error, code) = match run(program, &mut lexopt::Parser::from_env(), None) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(CommandError::Usage(error)) => (format!("{error}; try {program} --help"), 2),
        Err(CommandError::Failed(error)) => (error.to_string(), 1),
    };
    let _ = writeln!(io::stderr(), "{program}: {error}");
    ExitCode::from(code)
}
