//! `messenger-simulator`: the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use messenger_simulator::Options;

fn main() -> ExitCode {
    let program = "messenger-simulator";
    let options = Options::read(program, &mut lexopt::Parser::from_env(), None);
    let (error, code) = match options.map(|options| options.run()) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => (error.to_string(), 1),
        Err(error) => (format!("{error}; try {program} --help"), 2),
    };
    let _ = writeln!(io::stderr(), "{program}: {error}");
    ExitCode::from(code)
}
