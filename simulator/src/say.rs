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

/// What a person does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Writes this text.
    Text(String),
    /// The event with this name.
    Event(String),
}

/// Says these texts to the bot and sends these events, one after the other, and writes each message that the bot sends
/// back on a line of its own; or, `as_json`, a line of JSON for each text, with times. What happens
/// on the way is printed on stderr.
///
/// # Errors
/// When anything is not as it would be with Meta: handshake, webhook or Send API call.
pub fn say(
    options: &Options,
    all: &[Said],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), SimulatorError> {
    let platform = Platform::set_up(options)?;
    platform.shake_hands(Some(PATIENCE))?;
    platform::say("handshake: accepted");
    for said in all {
        let (name, with) = match said {
            Said::Text(text) => ("text", json!({ "text": text })),
            Said::Event(name) => (name.as_str(), json!({})),
        };
        let before = platform.log.version();
        let message = platform.send(PERSON, name, &with).flatten();
        let mut until = Until {
            quiet: options.quiet,
            count: options.wait,
        };
        if message.is_some() && options.other_bot.is_some() && !platform.log.is_called() {
            // Somebody who tries a bot for the first time learns why nothing comes.
            wait_for_call(&platform, message);
            until.quiet = until.quiet.max(Duration::from_millis(1));
        }
        let heard = converse(&platform, PERSON, before, message, until);
        let heard = heard.map_err(|error| with_log(error, &platform))?;
        if message.is_some() && options.other_bot.is_some() && !platform.log.is_called() {
            return Err(SimulatorError(not_called(&platform.graph_url())));
        }
        let (status, took) = (&heard["webhook_status"], &heard["webhook_ms"]);
        platform::say(&format!("webhook: answered {status} in {took} ms"));
        list(&heard["refused"]).for_each(|refused| {
            platform::say(&format!("the Send API refused: {}", words(refused)))
        });
        let lines = if as_json {
            let mut heard = heard;
            heard["said"] = with["text"].as_str().unwrap_or(name).into();
            vec![heard.to_string()]
        } else {
            list(&heard["heard"]).map(words).collect()
        };
        for line in lines {
            writeln!(out, "{line}").map_err(failed_to("print the echo"))?;
        }
    }
    Ok(())
}

/// Until the bot calls the Graph API for the first time, or fails, or could have.
fn wait_for_call(platform: &Platform, message: Option<u64>) {
    let deadline = Instant::now() + CALLED_WITHIN;
    let log = &platform.log;
    while !log.is_called() && Instant::now() < deadline {
        let version = log.version();
        let has_failed = |one: &Value| {
            one["message"].as_u64() == message && !one["took"].is_null() && one["status"] != 200
        };
        if list(&log.since(0)["exchanges"]).any(has_failed) {
            return;
        }
        log.wait(version, Duration::from_millis(100));
    }
}

/// When a conversation is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    /// The bot has been silent for so long,
    pub(crate) quiet: Duration,
    /// or has sent so many messages.
    pub(crate) count: Option<usize>,
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
        let now = Conversation::of(&log.since(before), person, message);
        if let Some(failure) = now.failure {
            return Err(failure);
        }
        if now.state != last {
            (last, changed) = (now.state, Instant::now());
        }
        let count = list(&now.heard["heard"]).count();
        let is_over = match until.count {
            Some(wanted) => count >= wanted,
            None => now.is_complete || (now.is_idle && changed.elapsed() >= until.quiet),
        };
        let is_quiet = now.is_idle && changed.elapsed() >= until.quiet;
        let refused = list(&now.heard["refused"]).next().filter(|_| count == 0);
        if let Some(refused) = refused.filter(|_| is_quiet) {
            let refused = words(refused);
            return Err(format!("the Send API refuses what the bot sent: {refused}"));
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
        let left = until.quiet.saturating_sub(changed.elapsed());
        log.wait(
            version,
            left.clamp(Duration::from_millis(5), Duration::from_millis(500)),
        );
    }
}

struct Conversation {
    heard: Value,
    /// What the bot has done; something is going on while it changes.
    state: Value,
    /// No request is on its way, and the bot does not type.
    is_idle: bool,
    /// A reply is known to be owed.
    owes: bool,
    /// All that was owed has come.
    is_complete: bool,
    failure: Option<String>,
}

impl Conversation {
    /// What has come back to this person, and to nobody else.
    fn of(news: &Value, person: &str, message: Option<u64>) -> Conversation {
        let of_person = |one: &&Value| one["person"] == person;
        let exchanges = |what: &'static str| {
            let all = list(&news["exchanges"]).filter(of_person);
            all.filter(move |one| one["what"] == what)
        };
        let is_answered = |one: &&Value| !one["took"].is_null();
        // Of this message; an event that nobody sees has none.
        let webhooks = || exchanges("webhook").filter(|one| one["message"].as_u64() == message);
        let webhook = webhooks().find(is_answered);
        let failure = webhooks()
            .filter(is_answered)
            .find(|one| one["status"] != 200)
            .map(|one| {
                let (status, answer, remark) =
                    (&one["status"], body(&one["answer"]), words(&one["remark"]));
                let words =
                    format!("the bot answered the webhook with {status}: {answer} {remark}");
                words.trim_end().to_string()
            });
        let refused = exchanges("call").filter(|call| call["status"] == 400);
        let refused: Vec<String> = refused.map(|call| body(&call["answer"])).collect();
        let messages = list(&news["messages"]).filter(of_person);
        let (from_bot, said): (Vec<_>, Vec<_>) =
            messages.partition(|message| message["bot"] == true);
        let said = said.into_iter().find(|one| one["id"].as_u64() == message);
        let rest = said.map_or("", |said| said["rest"].as_str().unwrap_or_default());
        let at = said.and_then(|said| said["at"].as_u64());
        let first = from_bot.first().and_then(|first| first["at"].as_u64());
        let is_typing = news["shown"][person]["typing"] == true;
        let answered = list(&news["exchanges"])
            .filter(of_person)
            .filter(is_answered)
            .count();
        let in_flight = list(&news["exchanges"]).filter(of_person).count() - answered;
        let of_all = |name: &str| {
            from_bot
                .iter()
                .map(|message| message[name].clone())
                .collect::<Vec<_>>()
        };
        Conversation {
            state: json!([answered, in_flight, from_bot.len(), is_typing]),
            is_idle: webhook.is_some() && in_flight == 0 && !is_typing,
            owes: !rest.is_empty(),
            is_complete: webhook.is_some()
                && said.is_some_and(|said| said["rest"] == "" && !said["echoed"].is_null()),
            failure,
            heard: json!({
                "heard": of_all("text"), "messages": of_all("content"), "files": of_all("files"), "refused": refused,
                "webhook_status": webhook.map(|webhook| &webhook["status"]),
                "webhook_ms": webhook.map(|webhook| &webhook["took"]),
                "echo_ms": first.zip(at).map(|(first, at)| first.saturating_sub(at)),
            }),
        }
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
    let body = answer.split_once("\n\n").map(|(_, body)| body.to_string());
    body.or_else(|| answer.strip_prefix('\n').map(str::to_string))
        .unwrap_or(answer)
}

fn with_log(error: String, platform: &Platform) -> SimulatorError {
    match platform.bot_log() {
        log if log.is_empty() => SimulatorError(error),
        log => SimulatorError(format!("{error}\nwhat the bot logged:\n{log}")),
    }
}
