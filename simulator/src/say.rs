//! Conversations for scripts and tests: texts and events in, what the bot sends back out.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::delivery::{CALLED_WITHIN, not_called};
use super::options::Options;
use super::platform::{self, Platform};
use super::{PERSON, SimulatorError, failed_to};

/// What is waited for arrives within this time, even when a call failed twice (1 s and 10 s), or something is wrong. A bot
/// that is not up yet is waited for as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has the person do these events (their names, and what they are to have), one after the other, and writes each message
/// that the bot sends back on a line of its own; or, `as_json`, a line of JSON for each event, with times. What happens
/// on the way is printed on stderr.
///
/// # Errors
/// When anything is not as it would be with Meta: handshake, webhook or Send API call.
pub(crate) fn say(
    options: &Options,
    all: &[(String, Value)],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), SimulatorError> {
    let platform = Platform::set_up(options)?;
    platform.shake_hands(Some(PATIENCE))?;
    platform::say("handshake: accepted");
    let until = Until {
        quiet: options.quiet,
        count: options.wait,
        // Somebody who tries a bot for the first time learns why nothing comes.
        is_first: options.other_bot.is_some(),
    };
    for (name, with) in all {
        let before = platform.log.version();
        let message = platform.send(PERSON, name, with).map_err(SimulatorError)?;
        let heard = converse(&platform, PERSON, before, message, until);
        let mut heard = heard.map_err(|error| with_log(error, &platform))?;
        heard["said"] = with["text"].as_str().unwrap_or(name).into();
        let (status, took) = (&heard["webhook_status"], &heard["webhook_ms"]);
        platform::say(&format!("webhook: answered {status} in {took} ms"));
        for refused in list(&heard["refused"]) {
            platform::say(&format!("the Send API refused: {}", words(refused)));
        }
        let lines = match as_json {
            true => vec![heard.to_string()],
            false => list(&heard["heard"]).map(words).collect(),
        };
        for line in lines {
            writeln!(out, "{line}").map_err(failed_to("print the echo"))?;
        }
    }
    Ok(())
}

/// When a conversation is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    /// The bot has been silent for so long,
    pub(crate) quiet: Duration,
    /// or has sent so many messages.
    pub(crate) count: Option<usize>,
    /// A bot that has never called must call.
    pub(crate) is_first: bool,
}

/// What came to this person after this version of the log, until it is over, with times. `message` is what they said last.
///
/// # Errors
/// When the bot does not do what Meta expects, or what is waited for does not come; in words.
pub(crate) fn converse(
    platform: &Platform,
    person: &str,
    before: u64,
    message: Option<u64>,
    until: Until,
) -> Result<Value, String> {
    let log = &platform.log;
    let (begun, mut last, mut changed) = (Instant::now(), Value::Null, Instant::now());
    loop {
        let version = log.version();
        let now = Conversation::of(&log.since(before), person, message)?;
        if now.state != last {
            (last, changed) = (now.state, Instant::now());
        }
        let count = list(&now.heard["heard"]).count();
        let must_call = until.is_first && message.is_some() && !log.is_called();
        let quiet = if must_call {
            CALLED_WITHIN
        } else {
            until.quiet
        };
        let is_quiet = now.is_idle && changed.elapsed() >= quiet;
        let refused = list(&now.heard["refused"]).next();
        if let (Some(refused), true, 0) = (refused, is_quiet, count) {
            let refused = words(refused);
            return Err(format!("the Send API refuses what the bot sent: {refused}"));
        }
        let is_over = match until.count {
            Some(wanted) => count >= wanted && now.is_answered,
            None => now.is_complete || is_quiet,
        };
        if is_quiet && must_call {
            return Err(not_called(&platform.graph_api.url()));
        }
        if is_over && !now.owes {
            return Ok(now.heard);
        }
        if begun.elapsed() >= PATIENCE {
            let (seconds, wanted) = (PATIENCE.as_secs(), until.count.unwrap_or(1));
            return Err(match now.owes {
                true => format!("no echo within {seconds} s"),
                false => format!("{count} of {wanted} messages came within {seconds} s"),
            });
        }
        let left = quiet.saturating_sub(changed.elapsed()).as_millis();
        log.wait(version, Duration::from_millis(left.clamp(5, 500) as u64));
    }
}

struct Conversation {
    heard: Value,
    /// What the bot has done; something is going on while it changes.
    state: Value,
    /// The bot has answered the webhook.
    is_answered: bool,
    /// No request is on its way, and the bot does not type.
    is_idle: bool,
    /// A reply is known to be owed.
    owes: bool,
    /// All that was owed has come.
    is_complete: bool,
}

impl Conversation {
    /// What has come back to this person, and to nobody else.
    ///
    /// # Errors
    /// When the bot did not take the webhook; in words.
    fn of(news: &Value, person: &str, message: Option<u64>) -> Result<Conversation, String> {
        let of_person = |one: &&Value| one["person"] == person;
        let (answered, in_flight): (Vec<_>, Vec<_>) = list(&news["exchanges"])
            .filter(of_person)
            .partition(|one| !one["took"].is_null());
        // Of this message; an event that nobody sees has none.
        let is_webhook =
            |one: &&&Value| one["what"] == "webhook" && one["message"].as_u64() == message;
        let webhook = answered.iter().find(is_webhook);
        let mut webhooks = answered.iter().filter(is_webhook);
        if let Some(failed) = webhooks.find(|one| one["status"] != 200) {
            let (status, remark) = (&failed["status"], words(&failed["remark"]));
            let answer = body(&failed["answer"]);
            let failure = format!("the bot answered the webhook with {status}: {answer} {remark}");
            return Err(failure.trim_end().to_string());
        }
        let calls = answered.iter().filter(|one| one["what"] == "call");
        let refused = calls.filter(|call| call["status"] == 400);
        let refused: Vec<String> = refused.map(|call| body(&call["answer"])).collect();
        let messages = list(&news["messages"]).filter(of_person);
        let (from_bot, said): (Vec<_>, Vec<_>) = messages.partition(|one| one["bot"] == true);
        let said = said.into_iter().find(|one| one["id"].as_u64() == message);
        let said = said.unwrap_or(&Value::Null);
        let at = |one: &Value| one["at"].as_u64();
        let first = from_bot.first().and_then(|first| at(first));
        let is_typing = news["shown"][person]["typing"] == true;
        let of_all = |name: &str| {
            from_bot
                .iter()
                .map(|one| one[name].clone())
                .collect::<Value>()
        };
        let (status, took) = webhook.map(|one| (&one["status"], &one["took"])).unzip();
        let is_echoed = said["rest"] == "" && !said["echoed"].is_null();
        Ok(Conversation {
            state: json!([answered.len(), in_flight.len(), from_bot.len(), is_typing]),
            is_answered: webhook.is_some(),
            is_idle: webhook.is_some() && in_flight.is_empty() && !is_typing,
            owes: said["rest"].as_str().is_some_and(|rest| !rest.is_empty()),
            is_complete: webhook.is_some() && is_echoed,
            heard: json!({
                "heard": of_all("text"), "messages": of_all("content"), "files": of_all("files"),
                "refused": refused, "webhook_status": status, "webhook_ms": took,
                "echo_ms": first.zip(at(said)).map(|(first, at)| first.saturating_sub(at)),
            }),
        })
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// An answer without its headers.
fn body(answer: &Value) -> String {
    let answer = words(answer);
    let (_, body) = answer.split_once("\n\n").unwrap_or(("", &answer));
    body.trim_start_matches('\n').to_string()
}

fn with_log(error: String, platform: &Platform) -> SimulatorError {
    match platform.bot_log() {
        log if log.is_empty() => SimulatorError(error),
        log => SimulatorError(format!("{error}\nwhat the bot logged:\n{log}")),
    }
}
