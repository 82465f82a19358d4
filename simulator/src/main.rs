//! `messenger-simulator`: the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use messenger_simulator::{CommandError, run};

fn main() -> ExitCode {
    let Err(error) = run("messenger-simulator", &mut lexopt::Parser::from_env(), None) else {
        return ExitCode::SUCCESS;
    };
    let _ = match &error {
        CommandError::Usage(error) => writeln!(
            io::stderr(),
            "messenger-simulator: {error}; try messenger-simulator --help"
        ),
        CommandError::Failed(error) => writeln!(io::stderr(), "messenger-simulator: {error}"),
    };
    ExitCode::from(error.exit_code())
}
