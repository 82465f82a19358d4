//! `echobot simulate`: the simulator, with this bot behind it.

use std::process::ExitCode;

use echobot::simulator::{self, Options, OwnBots};
use echobot::{config, echo, event};
use log::LevelFilter;
use serde_json::Value;

use super::{Failure, other, serve};

/// The settings that name the bot's own directories.
const DIRECTORIES: [&str; 2] = ["TMPDIR", "DATA_DIR"];

pub(crate) fn simulate(arguments: &mut lexopt::Parser) -> Result<ExitCode, Failure> {
    let is_own_bot = arguments
        .raw_args()?
        .peek()
        .is_some_and(|first| first == "--own-bot");
    if is_own_bot {
        simulator::end_with_simulator(&DIRECTORIES);
        return serve();
    }
    let options = Options::read("echobot simulate", arguments, Some(own_bots()))?;
    options.run().map_err(other)?;
    Ok(ExitCode::SUCCESS)
}

/// One bot with a data directory, or, where `REDIS_URL` is set, two with one outbox.
fn own_bots() -> OwnBots {
    let mut settings = config::shared_outbox_texts();
    let is_shared = !settings.is_empty();
    if is_shared {
        // The page's real bots may use the same server.
        settings.push((
            "REDIS_PREFIX",
            format!("echobot-simulate-{}", std::process::id()),
        ));
    }
    settings.extend(log_level().map(|level| ("RUST_LOG", level)));
    OwnBots {
        count: if is_shared { 2 } else { 1 },
        arguments: &["simulate", "--own-bot"],
        settings,
        directories: directories(is_shared),
        owes: |webhook: &Value| {
            let events = event::read(webhook.to_string().as_bytes()).ok()?;
            let mut echoes = events
                .iter()
                .filter_map(|event| echo::Echo::answering(event, echo::reply));
            echoes.next().map(|echo| echo.text)
        },
    }
}

/// A Unix socket's path is short, so a temporary directory with a long one stays what it is.
fn directories(is_shared: bool) -> Vec<&'static str> {
    let [temporary, data] = DIRECTORIES;
    let is_short = std::env::temp_dir().as_os_str().len() <= 40;
    let names = [(temporary, is_short), (data, !is_shared)];
    names
        .into_iter()
        .filter(|(_, is_wanted)| *is_wanted)
        .map(|(name, _)| name)
        .collect()
}

/// The simulator's own log level; none when the bot would not log its address at that level.
fn log_level() -> Option<String> {
    let level = config::log_level_text()?.to_string_lossy().into_owned();
    let parsed = level.trim().parse();
    let is_too_quiet = parsed.is_ok_and(|level: LevelFilter| level < LevelFilter::Info);
    (!is_too_quiet).then_some(level)
}
