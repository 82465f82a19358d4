//! Another bot: it shouts back. Everything else is echobot's: signatures, retries, order, the outbox.

use std::process::ExitCode;

use echobot::{Config, Event, EventKind, Reply, serve};

fn main() -> ExitCode {
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = serve(&config, shout) {
        eprintln!("shout: {error}");
        return ExitCode::from(error.exit_code());
    }
    ExitCode::SUCCESS
}

fn shout(event: &Event) -> Option<Reply> {
    match &event.kind {
        EventKind::Text(text) => Some(Reply::text(text.to_uppercase())),
        EventKind::Attachments => Some(Reply::text("WHAT A PICTURE!")),
        _ => None,
    }
}
