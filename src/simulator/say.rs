//! A conversation for scripts: texts in, what the bot sends back out.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::{Options, Stage};
use super::{PERSON, SimulatorError};

/// An echo arrives within this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says these texts to the bot, one after the other, and writes each message that the bot sends
/// back on a line of its own; or, `as_json`, a line of JSON for each text, with times. What happens
/// on the way is told on stderr.
///
/// # Errors
/// When anything is not as it would be with Meta: handshake, webhook or Send API call.
pub fn say(
    options: &Options,
    texts: &[String],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), SimulatorError> {
    let stage = Stage::set_up(options)?;
    let mut narrate = io::stderr();
    let _ = writeln!(narrate, "handshake: accepted");
    for text in texts {
        let heard = converse(&stage, text).map_err(|error| with_log(error, &stage))?;
        let webhook = &heard.webhook;
        let _ = writeln!(
            narrate,
            "webhook: answered {} in {} ms",
            webhook["status"], webhook["took"]
        );
        let line = if as_json {
            json!({
                "said": text,
                "heard": heard.texts,
                "webhook_status": webhook["status"],
                "webhook_ms": webhook["took"],
                "echo_ms": heard.took_ms,
            })
            .to_string()
        } else {
            heard.texts.join("\n")
        };
        writeln!(out, "{line}").map_err(|error| SimulatorError::io("print the echo", &error))?;
    }
    Ok(())
}

/// What came back for a text.
struct Heard {
    texts: Vec<String>,
    webhook: Value,
    took_ms: u64,
}

fn converse(stage: &Stage, text: &str) -> Result<Heard, SimulatorError> {
    let before = stage.story.version();
    stage.say(PERSON, text);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let version = stage.story.version();
        let news = stage.story.since(before);
        if let Some(heard) = understand(&news)? {
            return Ok(heard);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if stage.story.wait(version, left) == version {
            return Err(SimulatorError(format!(
                "no echo within {} s",
                PATIENCE.as_secs()
            )));
        }
    }
}

/// What has come back, when it has come back whole.
fn understand(news: &Value) -> Result<Option<Heard>, SimulatorError> {
    let happenings = news["happenings"].as_array().into_iter().flatten();
    let answered = |what: &'static str| {
        happenings
            .clone()
            .filter(move |h| h["what"] == what && h["took"].is_u64())
    };
    if let Some(refused) = answered("call").find(|call| call["status"] == 400) {
        return Err(SimulatorError(format!(
            "the Send API refuses what the bot sent: {}",
            refused["answer"].as_str().unwrap_or_default()
        )));
    }
    if let Some(webhook) = answered("webhook").find(|webhook| webhook["status"] != 200) {
        return Err(SimulatorError(format!(
            "the bot answered the webhook with {}: {}",
            webhook["status"],
            webhook["answer"].as_str().unwrap_or_default()
        )));
    }
    let messages = news["messages"].as_array().into_iter().flatten();
    let from_bot = messages.clone().filter(|message| message["bot"] == true);
    let said = messages.clone().find(|message| message["bot"] == false);
    let took = said.and_then(|said| said["echoed"].as_u64()?.checked_sub(said["at"].as_u64()?));
    let texts = from_bot.filter_map(|message| message["text"].as_str().map(str::to_string));
    Ok(match (took, answered("webhook").next()) {
        (Some(took_ms), Some(webhook)) => Some(Heard {
            texts: texts.collect(),
            webhook: webhook.clone(),
            took_ms,
        }),
        _ => None,
    })
}

fn with_log(error: SimulatorError, stage: &Stage) -> SimulatorError {
    match stage.log() {
        log if log.is_empty() => error,
        log => SimulatorError(format!("{error}\nwhat the bot logged:\n{log}")),
    }
}
