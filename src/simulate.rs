//! `echobot simulate`: the simulator, with this bot behind it.

use echobot::echo::{self, Echo};
use echobot::simulator::{self, Options, OwnBots};
use echobot::{config, event};
use serde_json::Value;

use super::{Failure, other, serve};

/// The settings that name the bot's own directories.
const DIRECTORIES: [&str; 2] = ["TMPDIR", "DATA_DIR"];

pub(crate) fn simulate(arguments: &mut lexopt::Parser) -> Result<(), Failure> {
    if arguments.raw_args()?.peek() == Some("--own-bot".as_ref()) {
        simulator::end_with_simulator(&DIRECTORIES);
        return serve();
    }
    let options = Options::read("echobot simulate", arguments, Some(own_bots()))?;
    options.run().map_err(other)
}

/// One bot with a data directory, or, where `REDIS_URL` is set, two with one outbox.
fn own_bots() -> OwnBots {
    let mut settings = config::shared_outbox_texts();
    let is_shared = !settings.is_empty();
    // The page's real bots may use the same server.
    let prefix = format!("echobot-simulate-{}", std::process::id());
    settings.push(("REDIS_PREFIX", prefix));
    settings.extend(config::log_level_text().map(|level| ("RUST_LOG", level)));
    let [temporary, data] = DIRECTORIES;
    // A Unix socket's path is short: where its own directory would have a longer one, TMPDIR stays what it is.
    let is_short = std::env::temp_dir().as_os_str().len() <= 38;
    let directories = [is_short.then_some(temporary), (!is_shared).then_some(data)];
    OwnBots {
        count: if is_shared { 2 } else { 1 },
        arguments: &["simulate", "--own-bot"],
        settings,
        directories: directories.into_iter().flatten().collect(),
        owes: |webhook: &Value| {
            let events = event::read(webhook.to_string().as_bytes()).ok()?;
            let answer = |event| Echo::answering(event, echo::reply);
            Some(events.iter().find_map(answer)?.text)
        },
    }
}
