//! A conversation for scripts: texts and events in, what the bot sends back out.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::delivery::not_called;
use super::options::Options;
use super::page::Ports;
use super::platform::{self, Platform};
use super::proxy::Proxy;
use super::{PERSON, SimulatorError, failed_to};

/// An echo arrives within this time, even when its call failed twice (1 s and 10 s), or something is
/// wrong. A bot that is not up yet is waited for as long.
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
    ports: Ports,
    all: &[Said],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), SimulatorError> {
    let platform = Platform::set_up(options)?;
    let proxy = ports
        .proxy
        .map(|port| Proxy::start(port, platform.graph_handler()));
    let _proxy = proxy.transpose()?;
    platform.shake_hands(PATIENCE)?;
    platform::say("handshake: accepted");
    for said in all {
        let (name, with) = match said {
            Said::Text(text) => ("text", json!({ "text": text })),
            Said::Event(name) => (name.as_str(), json!({})),
        };
        let heard = converse(&platform, PERSON, name, &with, options.quiet);
        let heard = heard.map_err(|error| with_log(error, &platform))?;
        let (status, took) = (&heard["webhook_status"], &heard["webhook_ms"]);
        platform::say(&format!("webhook: answered {status} in {took} ms"));
        let heard = if as_json {
            vec![heard.to_string()]
        } else {
            list(&heard["heard"]).map(words).collect()
        };
        for line in heard {
            writeln!(out, "{line}").map_err(failed_to("print the echo"))?;
        }
    }
    Ok(())
}

/// A person does something; what came back until the bot was quiet for so long, with times.
///
/// # Errors
/// When the bot does not do what Meta expects, or a reply does not come; in words.
pub(super) fn converse(
    platform: &Platform,
    person: &str,
    name: &str,
    with: &Value,
    quiet: Duration,
) -> Result<Value, String> {
    let log = &platform.log;
    let before = log.version();
    let message = platform.send(person, name, with);
    let message = message.ok_or_else(|| format!("there is no event {name}"))?;
    let deadline = Instant::now() + PATIENCE;
    let mut changed = Instant::now();
    let mut version = log.version();
    loop {
        let news = log.since(before);
        let conversation = understand(&news, person, message, platform.own_bots() > 0)?;
        let is_quiet = changed.elapsed() >= quiet;
        if conversation.is_complete || (conversation.may_be_over && is_quiet) {
            let mut heard = conversation.heard;
            heard["said"] = with["text"].as_str().unwrap_or(name).into();
            return Ok(heard);
        }
        if Instant::now() >= deadline {
            return Err(silence(platform));
        }
        let left = quiet
            .saturating_sub(changed.elapsed())
            .max(Duration::from_millis(5));
        let next = log.wait(version, left.min(Duration::from_millis(500)));
        if next != version {
            changed = Instant::now();
            version = next;
        }
    }
}

fn silence(platform: &Platform) -> String {
    if !platform.is_called() && platform.options.other_bot.is_some() {
        return not_called(&platform.graph_url());
    }
    format!("no echo within {} s", PATIENCE.as_secs())
}

struct Conversation {
    heard: Value,
    /// All that was to come has come: of echobot one knows it.
    is_complete: bool,
    /// Nothing more need come.
    may_be_over: bool,
}

/// What has come back.
fn understand(
    news: &Value,
    person: &str,
    message: Option<u64>,
    is_own: bool,
) -> Result<Conversation, String> {
    let answered = |what: &'static str| {
        let exchanges = list(&news["exchanges"]);
        exchanges.filter(move |entry| entry["what"] == what && entry["took"].is_u64())
    };
    // Of this message; an event that nobody sees has none.
    let webhooks = || answered("webhook").filter(|one| one["message"].as_u64() == message);
    if let Some(refused) = answered("call").find(|call| call["status"] == 400) {
        let answer = body(&refused["answer"]);
        return Err(format!("the Send API refuses what the bot sent: {answer}"));
    }
    if let Some(webhook) = webhooks().find(|webhook| webhook["status"] != 200) {
        let (status, answer, remark) = (
            &webhook["status"],
            body(&webhook["answer"]),
            words(&webhook["remark"]),
        );
        return Err(
            format!("the bot answered the webhook with {status}: {answer} {remark}")
                .trim_end()
                .to_string(),
        );
    }
    let of_person = list(&news["messages"]).filter(|message| message["person"] == person);
    let (from_bot, said): (Vec<_>, Vec<_>) = of_person.partition(|message| message["bot"] == true);
    let said = said
        .into_iter()
        .find(|one| message.is_some_and(|id| one["id"] == id));
    let webhook = webhooks().next();
    let time = |name: &str| said?[name].as_u64();
    let expects = said.is_some_and(|said| said["rest"] != "" || said["echoed"].is_u64());
    let echoed = time("echoed");
    Ok(Conversation {
        is_complete: is_own && webhook.is_some() && echoed.is_some(),
        may_be_over: webhook.is_some() && (echoed.is_some() || !expects),
        heard: json!({
            "heard": from_bot.iter().map(|message| &message["text"]).collect::<Vec<_>>(),
            "messages": from_bot.iter().map(|message| &message["content"]).collect::<Vec<_>>(),
            "webhook_status": webhook.map(|webhook| &webhook["status"]),
            "webhook_ms": webhook.map(|webhook| &webhook["took"]),
            "echo_ms": echoed.zip(time("at")).map(|(echoed, at)| echoed - at),
        }),
    })
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
