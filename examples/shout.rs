//! A bot that shouts: each text comes back in upper case.

use std::error::Error;
use std::process::ExitCode;

use echobot::server::ServeError;
use echobot::{Config, Event, EventKind, Reply, serve};

/// What an event is answered with; none is silence.
fn shout(event: &Event) -> Option<Reply> {
    match &event.kind {
        EventKind::Text(text) => Some(Reply::text(text.to_uppercase())),
        EventKind::Attachments => Some(Reply::text("I SHOUT TEXTS ONLY")),
        EventKind::Postback | EventKind::Other(_) => None,
    }
}

fn main() -> ExitCode {
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    match serve(&config, shout) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Store(_)) => fail(&error, 2),
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &dyn Error, code: u8) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(code)
}
