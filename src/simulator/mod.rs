//! A Messenger Platform on this machine: to try the bot without a Meta account, and to test it.
//!
//! [`Messenger`] sends webhooks exactly as Meta does, [`GraphApi`] receives and checks the calls
//! of the Send API, and [`Bot`] is the real program, as a process of its own. The bot knows
//! nothing of this room.

mod bot;
mod courier;
mod graph_api;
mod later;
mod messenger;
mod reply;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use ring::hmac;

pub use self::bot::Bot;
pub use self::courier::{Acknowledged, Courier};
pub use self::graph_api::{Call, GraphApi};
pub use self::messenger::{Messenger, Received, event, text_message, webhook};
pub use self::reply::{Reply, Trouble, TroubleMaker};
use crate::config;
use crate::hex;

/// The made-up page access token.
pub const PAGE_ACCESS_TOKEN: &str = "EAASimulatedPageAccessToken0123456789";
/// The made-up verify token.
pub const VERIFY_TOKEN: &str = "simulated-verify-token";
/// The made-up app secret.
pub const APP_SECRET: &str = "51mu1a7edapp5ecre70123456789abcdef";
/// The id of the page.
pub const PAGE: &str = "100200300400500";
/// The page-scoped id of the person who chats.
pub const PERSON: &str = "7100200300400500";

/// An echo arrives within this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// What went wrong, in words.
#[derive(Debug)]
pub struct SimulatorError(String);

impl fmt::Display for SimulatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SimulatorError {}

impl SimulatorError {
    fn io(what: &str, cause: &io::Error) -> SimulatorError {
        SimulatorError(format!("failed to {what}: {cause}"))
    }
}

/// Says these texts to a bot of its own, one after the other, and writes each message that the
/// bot sends back on a line of its own. What happens on the way is told on stderr.
///
/// # Errors
/// When anything is not as it would be with Meta: handshake, webhook or Send API call.
pub fn say(texts: &[String], echoes: &mut dyn Write) -> Result<(), SimulatorError> {
    let graph_api = GraphApi::start(|_| Reply::deliver())
        .map_err(|e| SimulatorError::io("start the Graph API", &e))?;
    let mut settings = vec![("GRAPH_URL", graph_api.url())];
    // A level below info would hide where the bot listens.
    let is_quiet = |level: &OsString| {
        let level = level.to_str().and_then(|text| text.trim().parse().ok());
        level.is_some_and(|level: LevelFilter| level < LevelFilter::Info)
    };
    if let Some(level) = config::log_level_text().filter(|level| !is_quiet(level)) {
        settings.push(("RUST_LOG", level.to_string_lossy().into_owned()));
    }
    let bot = Bot::start(&program()?, &settings)?;
    let messenger = Messenger::new(&bot.url());
    let outcome = converse(texts, &messenger, &graph_api, echoes);
    outcome.map_err(|error| {
        let log = bot.log();
        SimulatorError(format!("{error}\nwhat the bot logged:\n{log}"))
    })
}

/// This very program: the bot is another process of it.
fn program() -> Result<PathBuf, SimulatorError> {
    // Without /proc only the command line knows.
    let named = || {
        std::env::args_os()
            .next()
            .map(PathBuf::from)
            .ok_or(io::ErrorKind::NotFound.into())
    };
    std::env::current_exe()
        .or_else(|_| named())
        .map_err(|e| SimulatorError::io("find this program", &e))
}

fn converse(
    texts: &[String],
    messenger: &Messenger,
    graph_api: &GraphApi,
    echoes: &mut dyn Write,
) -> Result<(), SimulatorError> {
    let mut narrate = io::stderr();
    messenger.handshake()?;
    let _ = writeln!(narrate, "handshake: accepted");
    let mut heard = 0;
    for (n, text) in texts.iter().enumerate() {
        let message = text_message(PERSON, &format!("m_simulated_{n}"), text);
        let answer = messenger.deliver(&webhook("page", &[message]))?;
        let _ = writeln!(
            narrate,
            "webhook: answered {} in {} ms",
            answer.status,
            answer.took.as_millis()
        );
        if answer.status != 200 {
            return Err(SimulatorError(format!(
                "the bot answered the webhook with {}: {}",
                answer.status, answer.body
            )));
        }
        heard = hear(text, heard, graph_api, echoes)?;
    }
    Ok(())
}

/// Waits for the echo of a text, which may come in parts, and writes it down. Returns how many
/// calls the Send API has had.
fn hear(
    text: &str,
    mut heard: usize,
    graph_api: &GraphApi,
    echoes: &mut dyn Write,
) -> Result<usize, SimulatorError> {
    let mut rest = text;
    while !rest.is_empty() {
        let calls = graph_api.wait_for_calls(heard + 1, PATIENCE);
        let Some(call) = calls.get(heard) else {
            return Err(SimulatorError(format!(
                "no echo within {} s",
                PATIENCE.as_secs()
            )));
        };
        if let Some(mistake) = &call.mistake {
            return Err(SimulatorError(format!(
                "the Send API refuses what the bot sent: {mistake}"
            )));
        }
        rest = rest
            .strip_prefix(&call.text)
            .filter(|_| !call.text.is_empty())
            .ok_or_else(|| {
                SimulatorError(format!("this is no echo of what was said: {:?}", call.text))
            })?;
        writeln!(echoes, "{}", call.text).map_err(|e| SimulatorError::io("print the echo", &e))?;
        heard += 1;
    }
    Ok(heard)
}

/// HMAC-SHA256 in hex: what Meta's signatures and `appsecret_proof` are.
pub fn hmac_hex(key: &str, bytes: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::hmac_hex;

    #[test]
    fn signatures_are_those_that_others_compute() {
        assert_eq!(
            hmac_hex("sesame", b"hello world"),
            "f39034b29165ec6a5104d9aef27266484ab26c8caa7bca8bcb2dd02e8be61b17"
        );
    }
}
