//! A conversation for scripts: texts in, what the bot sends back out.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::platform::{Options, Platform};
use super::{PERSON, SimulatorError, failed_to};

/// An echo arrives within this time, even when its call failed twice (1 s and 10 s), or something is
/// wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says these texts to the bot, one after the other, and writes each message that the bot sends
/// back on a line of its own; or, `as_json`, a line of JSON for each text, with times. What happens
/// on the way is printed on stderr.
///
/// # Errors
/// When anything is not as it would be with Meta: handshake, webhook or Send API call.
pub fn say(
    options: &Options,
    texts: &[String],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), SimulatorError> {
    let platform = Platform::set_up(options)?;
    let mut err = io::stderr();
    let _ = writeln!(err, "handshake: accepted");
    for text in texts {
        let heard = converse(&platform, text).map_err(|error| with_log(error, &platform))?;
        let (status, took) = (&heard["webhook_status"], &heard["webhook_ms"]);
        let _ = writeln!(err, "webhook: answered {status} in {took} ms");
        let heard = if as_json {
            vec![heard.to_string()]
        } else {
            list(&heard["heard"]).map(words).collect()
        };
        writeln!(out, "{}", heard.join("\n")).map_err(failed_to("print the echo"))?;
    }
    Ok(())
}

/// Says a text; what came back, with times.
fn converse(platform: &Platform, text: &str) -> Result<Value, String> {
    let log = &platform.log;
    let before = log.version();
    platform.say(PERSON, text);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let version = log.version();
        if let Some(heard) = understand(text, &log.since(before))? {
            return Ok(heard);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if log.wait(version, left) == version {
            let seconds = PATIENCE.as_secs();
            return Err(format!("no echo within {seconds} s"));
        }
    }
}

/// What has come back, when it has come back whole.
fn understand(text: &str, news: &Value) -> Result<Option<Value>, String> {
    let answered = |what: &'static str| {
        let exchanges = list(&news["exchanges"]);
        exchanges.filter(move |entry| entry["what"] == what && entry["took"].is_u64())
    };
    if let Some(refused) = answered("call").find(|call| call["status"] == 400) {
        let answer = words(&refused["answer"]);
        return Err(format!("the Send API refuses what the bot sent: {answer}"));
    }
    if let Some(webhook) = answered("webhook").find(|webhook| webhook["status"] != 200) {
        let (status, answer) = (&webhook["status"], words(&webhook["answer"]));
        return Err(format!(
            "the bot answered the webhook with {status}: {answer}"
        ));
    }
    let (from_bot, said): (Vec<_>, Vec<_>) =
        list(&news["messages"]).partition(|message| message["bot"] == true);
    let time = |name: &str| said.first()?[name].as_u64();
    let (Some(at), Some(echoed), Some(webhook)) =
        (time("at"), time("echoed"), answered("webhook").next())
    else {
        return Ok(None);
    };
    Ok(Some(json!({
        "said": text,
        "heard": from_bot.iter().map(|message| &message["text"]).collect::<Vec<_>>(),
        "webhook_status": webhook["status"],
        "webhook_ms": webhook["took"],
        "echo_ms": echoed - at,
    })))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn with_log(error: String, platform: &Platform) -> SimulatorError {
    match platform.bot_log() {
        log if log.is_empty() => SimulatorError(error),
        log => SimulatorError(format!("{error}\nwhat the bot logged:\n{log}")),
    }
}
