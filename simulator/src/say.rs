//! Conversations for scripts and tests: texts and events in, what the bot sends back out.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::delivery::{CALLED_WITHIN, not_called};
use super::options::Options;
use super::parameters::text;
use super::platform::{self, Platform, Refusal};
use super::{PERSON, SimulatorError, failed_to};

/// What is waited for arrives within this time, even when a call failed twice (1 s and 10 s), or something is wrong. A bot
/// that is not up yet is waited for as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has the person do the events of the options, one after the other, and writes each message that the bot sends back on a
/// line of its own; or, where JSON is wanted, a line of it for each event, with times. What happens on the way is printed
/// on stderr.
///
/// # Errors
/// When anything is not as it would be with Meta: handshake, webhook or Send API call.
pub(crate) fn say(options: &Options) -> Result<(), SimulatorError> {
    let platform = Platform::set_up(options)?;
    platform.shake_hands(Some(PATIENCE))?;
    platform::say("handshake: accepted");
    // Somebody who tries a bot for the first time learns why nothing comes.
    let is_first = options.other_bot.is_some();
    for (name, with) in &options.said {
        let heard = converse(&platform, PERSON, name, with, is_first);
        let heard = heard.map_err(|(_, error)| with_log(error, &platform))?;
        let (status, took) = (&heard["webhook_status"], &heard["webhook_ms"]);
        platform::say(&format!("webhook: answered {status} in {took} ms"));
        for refused in list(&heard["refused"]) {
            platform::say(&format!("the Send API refused: {}", text(refused)));
        }
        let lines = match options.as_json {
            true => vec![heard.to_string()],
            false => list(&heard["heard"]).map(text).collect(),
        };
        for line in lines {
            writeln!(io::stdout(), "{line}").map_err(failed_to("print the echo"))?;
        }
    }
    Ok(())
}

/// Has the person do this event, and tells what came back to them, with times. It is over when the bot has been silent for
/// so long as `quiet` says, or, where `wait` is a number, has sent so many messages; the options tell where `with` does not.
/// `is_first`: a bot that has never called must call.
///
/// # Errors
/// When there is no such event, the bot does not do what Meta expects, or what is waited for does not come.
pub(crate) fn converse(
    platform: &Platform,
    person: &str,
    name: &str,
    with: &Value,
    is_first: bool,
) -> Result<Value, Refusal> {
    let (log, before) = (&platform.log, platform.log.version());
    let message = platform.send(person, name, with)?;
    let failed = |words: String| (502, words);
    let usual = platform.options.quiet;
    let quiet = with["quiet"].as_u64().map(|quiet| quiet.min(60_000));
    let quiet = quiet.map_or(usual, Duration::from_millis);
    let wanted = with["wait"].as_u64().or(platform.options.wait);
    let (begun, mut last, mut changed) = (Instant::now(), None, Instant::now());
    loop {
        let version = log.version();
        let now = Conversation::of(&log.since(before), person, &message.into());
        let now = now.map_err(failed)?;
        if last.as_ref() != Some(&now) {
            changed = Instant::now();
        }
        let now = last.insert(now);
        let count = list(&now.heard["heard"]).count() as u64;
        let rest = now.said["rest"].as_str();
        let must_call = is_first && message.is_some() && !log.is_called();
        let quiet = if must_call { CALLED_WITHIN } else { quiet };
        let is_answered = !now.heard["webhook_status"].is_null();
        let is_idle = is_answered && now.in_flight == 0 && !now.is_typing;
        let is_quiet = is_idle && changed.elapsed() >= quiet;
        let refused = list(&now.heard["refused"]).next();
        if let (Some(refused), true, 0) = (refused, is_quiet, count) {
            let refused = text(refused);
            let words = format!("the Send API refuses what the bot sent: {refused}");
            return Err(failed(words));
        }
        if is_quiet && must_call {
            return Err(failed(not_called(&platform.graph_api.url())));
        }
        let is_over = match wanted {
            Some(wanted) => is_answered && count >= wanted,
            None => is_quiet || is_answered && rest == Some("") && now.said["echoed"].is_u64(),
        };
        let owes = rest.is_some_and(|rest| !rest.is_empty());
        if is_over && !owes {
            now.heard["said"] = with["text"].as_str().unwrap_or(name).into();
            return Ok(now.heard.take());
        }
        if begun.elapsed() >= PATIENCE {
            let (seconds, wanted) = (PATIENCE.as_secs(), wanted.unwrap_or(1));
            return Err(failed(match owes {
                true => format!("no echo within {seconds} s"),
                false => format!("{count} of {wanted} messages came within {seconds} s"),
            }));
        }
        let left = quiet.saturating_sub(changed.elapsed()).as_millis();
        log.wait(version, Duration::from_millis(left.clamp(5, 500) as u64));
    }
}

/// What a conversation has come to; something is going on while it changes.
#[derive(PartialEq)]
struct Conversation {
    /// What is told of it in the end.
    heard: Value,
    /// The person's message, as it stands in the log.
    said: Value,
    /// Requests that have been answered, and that have not.
    answered: usize,
    in_flight: usize,
    is_typing: bool,
}

impl Conversation {
    /// What has come back to this person, and to nobody else.
    ///
    /// # Errors
    /// When the bot did not take the webhook; in words.
    fn of(news: &Value, person: &str, message: &Value) -> Result<Conversation, String> {
        let of_person = |one: &&Value| one["person"] == person;
        let (answered, in_flight): (Vec<_>, Vec<_>) = list(&news["exchanges"])
            .filter(of_person)
            .partition(|one| !one["took"].is_null());
        // Of this message; an event that nobody sees has none.
        let is_webhook = |one: &&&Value| one["what"] == "webhook" && one["message"] == *message;
        let mut webhooks = answered.iter().filter(is_webhook);
        if let Some(failed) = webhooks.clone().find(|one| one["status"] != 200) {
            let (status, remark) = (&failed["status"], text(&failed["remark"]));
            let answer = body(&failed["answer"]);
            let failure = format!("the bot answered the webhook with {status}: {answer} {remark}");
            return Err(failure.trim_end().to_string());
        }
        let webhook = webhooks.next().copied().unwrap_or(&Value::Null);
        let calls = answered.iter().filter(|one| one["what"] == "call");
        let refused = calls.filter(|call| call["status"] == 400);
        let refused: Vec<String> = refused.map(|call| body(&call["answer"])).collect();
        let said = list(&news["messages"]).find(|one| one["id"] == *message);
        let said = said.unwrap_or(&Value::Null);
        let messages = list(&news["messages"]).filter(of_person);
        let from_bot: Vec<_> = messages.filter(|one| one["bot"] == true).collect();
        let first = from_bot.first().and_then(|first| first["at"].as_u64());
        let of_all = |name: &str| -> Value {
            let all = from_bot.iter();
            all.map(|one| one[name].clone()).collect()
        };
        Ok(Conversation {
            heard: json!({
                "heard": of_all("text"), "messages": of_all("content"), "files": of_all("files"), "refused": refused,
                "webhook_status": webhook["status"], "webhook_ms": webhook["took"],
                "echo_ms": first.zip(said["at"].as_u64()).map(|(first, at)| first.saturating_sub(at)),
            }),
            said: said.clone(),
            answered: answered.len(),
            in_flight: in_flight.len(),
            is_typing: news["shown"][person]["typing"] == true,
        })
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// An answer without its headers.
fn body(answer: &Value) -> String {
    let answer = text(answer);
    let (_, body) = answer.split_once("\n\n").unwrap_or(("", &answer));
    body.trim_start_matches('\n').to_string()
}

fn with_log(error: String, platform: &Platform) -> SimulatorError {
    match platform.bot_log() {
        log if log.is_empty() => SimulatorError(error),
        log => SimulatorError(format!("{error}\nwhat the bot logged:\n{log}")),
    }
}
