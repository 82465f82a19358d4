//! The event log: who wrote what, and what went over the wires for it.
//!
//! Its entries are JSON, as the page and tests of other bots get them: see README.md beside this file.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::messenger::milliseconds_since_1970;
use super::{PEOPLE, lock};

/// Messages and exchanges that are kept, each. A page that is open for days must not grow.
const KEPT: usize = 2000;

/// The entries. Many threads may write and read at once.
pub(super) struct EventLog {
    entries: Mutex<Entries>,
    changed: Condvar,
    start: Instant,
    started: u64,
    any_bot: bool,
}

#[derive(Default)]
struct Entries {
    /// Counts changes. An entry has the count at its last change, and that at its first as its id.
    version: u64,
    /// Bubbles of the chat. `rest` is what the bot has not yet sent of its reply.
    messages: VecDeque<Value>,
    /// Requests with their answers, and notes.
    exchanges: VecDeque<Value>,
    /// Person -> whether the bot types, and when it has seen the last message.
    people: Map<String, Value>,
    /// Who has written, ever.
    known: HashSet<String>,
}

/// What somebody has written, as a bubble.
#[derive(Default)]
pub(super) struct Bubble<'a> {
    pub(super) person: &'a str,
    /// In words.
    pub(super) text: &'a str,
    /// As JSON: the message of the event, or of the call.
    pub(super) content: Value,
    pub(super) mid: &'a str,
    /// What the bot is to reply; empty: nothing, or nobody knows.
    pub(super) reply: &'a str,
}

impl EventLog {
    /// An empty log. `any_bot`: whatever the bot sends is its reply.
    pub(super) fn new(any_bot: bool) -> EventLog {
        EventLog {
            entries: Mutex::default(),
            changed: Condvar::new(),
            start: Instant::now(),
            started: milliseconds_since_1970(),
            any_bot,
        }
    }

    /// A person writes something. Returns the message's id.
    pub(super) fn written(&self, bubble: &Bubble<'_>) -> u64 {
        self.change(|entries, now| entries.add_message(now, bubble, false, None))
    }

    /// A request goes out or comes in, for a message if it is known for which one; `group` is the exchange that it
    /// repeats. Returns the exchange's id.
    pub(super) fn requested(
        &self,
        what: &str,
        message: Option<u64>,
        group: Option<u64>,
        request: &str,
    ) -> u64 {
        self.change(|entries, now| {
            let exchange = json!({
                "what": what, "message": message, "group": group, "at": now, "request": request,
                "answer": null, "status": null, "took": null, "remark": null,
            });
            add(&mut entries.exchanges, exchange, entries.version)
        })
    }

    /// A request was answered. A webhook that was answered 200 is acknowledged.
    pub(super) fn answered(&self, id: u64, status: Option<u16>, answer: &str) {
        self.change(|entries, now| {
            let version = entries.version;
            let Some(exchange) = entry(&mut entries.exchanges, id, version) else {
                return;
            };
            let at = exchange["at"].as_u64().unwrap_or(now);
            exchange["status"] = status.into();
            exchange["answer"] = answer.into();
            exchange["took"] = (now - at).into();
            if exchange["what"] == "webhook"
                && status == Some(200)
                && let Some(message) = exchange["message"].as_u64()
                && let Some(message) = entry(&mut entries.messages, message, version)
                && message["acknowledged"].is_null()
            {
                message["acknowledged"] = now.into();
            }
        });
    }

    /// Something to be said about an exchange.
    pub(super) fn remark(&self, id: u64, remark: &str) {
        self.change(|entries, _| {
            let version = entries.version;
            if let Some(exchange) = entry(&mut entries.exchanges, id, version) {
                exchange["remark"] = remark.into();
            }
        });
    }

    /// Something that a person should know.
    pub(super) fn note(&self, text: &str) {
        let id = self.requested("note", None, None, text);
        self.answered(id, None, "");
    }

    /// The message that a call of the Send API with this text answers, as far as one can tell: one that it answers
    /// exactly, else the oldest that it may.
    pub(super) fn answers(&self, person: &str, text: &str) -> Option<u64> {
        let entries = lock(&self.entries);
        let messages = entries.messages.iter();
        let owed = messages.filter(|message| message["person"] == person && is_owed(message));
        let owed: Vec<&Value> = owed.collect();
        let exact = owed.iter().find(|message| rest(message) == text);
        let oldest = owed
            .iter()
            .find(|message| self.any_bot || rest(message).starts_with(text));
        exact.or(oldest)?["id"].as_u64()
    }

    /// The bot's message has reached the person, by this call and as the answer to this message if it is known.
    pub(super) fn reached(&self, bubble: &Bubble<'_>, answered: Option<u64>, exchange: u64) {
        self.change(|entries, now| {
            let version = entries.version;
            if let Some(id) = answered
                && let Some(message) = entry(&mut entries.messages, id, version)
                && is_owed(message)
            {
                let rest = rest(message).strip_prefix(bubble.text).unwrap_or_default();
                let is_all = self.any_bot || rest.is_empty();
                message["rest"] = if is_all { "" } else { rest }.into();
                if is_all {
                    message["echoed"] = now.into();
                }
            }
            entries.version += 1;
            entries.person(bubble.person)["typing"] = false.into();
            entries.add_message(now, bubble, true, Some(exchange));
        });
    }

    /// The bot types, or has seen what the person wrote.
    pub(super) fn acted(&self, person: &str, action: &str) {
        self.change(|entries, now| {
            let shown = entries.person(person);
            match action {
                "mark_seen" => shown["seen"] = now.into(),
                "typing_on" => shown["typing"] = true.into(),
                "typing_off" => shown["typing"] = false.into(),
                _ => {}
            }
        });
    }

    /// The entries that have changed after this version, and how many replies are owed.
    pub(super) fn since(&self, version: u64) -> Value {
        let entries = lock(&self.entries);
        let news = |kept: &VecDeque<Value>| -> Vec<Value> {
            let is_new = |entry: &&Value| entry["changed"].as_u64() > Some(version);
            kept.iter().filter(is_new).cloned().collect()
        };
        json!({
            "version": entries.version,
            "owed": entries.messages.iter().filter(|message| is_owed(message)).count(),
            "messages": news(&entries.messages),
            "exchanges": news(&entries.exchanges),
            "shown": entries.people,
        })
    }

    /// Whether the bot may write to this person.
    pub(super) fn knows(&self, person: &str) -> bool {
        PEOPLE.iter().any(|(known, ..)| *known == person)
            || lock(&self.entries).known.contains(person)
    }

    /// The mid of the last message to or from this person.
    pub(super) fn last_mid(&self, person: &str, of_bot: bool) -> Option<String> {
        let entries = lock(&self.entries);
        let mut messages = entries.messages.iter().rev();
        let is_it = |message: &&Value| message["person"] == person && message["bot"] == of_bot;
        Some(messages.find(is_it)?["mid"].as_str()?.to_string())
    }

    /// The body and the message of a webhook that was sent.
    pub(super) fn webhook(&self, id: u64) -> Option<(Vec<u8>, Option<u64>)> {
        let entries = lock(&self.entries);
        let mut exchanges = entries.exchanges.iter();
        let exchange = exchanges.find(|one| one["id"] == id && one["what"] == "webhook")?;
        let (_, body) = exchange["request"].as_str()?.split_once("\n\n")?;
        Some((body.as_bytes().to_vec(), exchange["message"].as_u64()))
    }

    /// Something that is not in the log has changed: pages are to look again.
    pub(super) fn touch(&self) {
        self.change(|_, _| ());
    }

    /// The number of changes up to now.
    pub(super) fn version(&self) -> u64 {
        lock(&self.entries).version
    }

    /// Waits for a change after this version; the version then, or the same in vain.
    pub(super) fn wait(&self, version: u64, at_most: Duration) -> u64 {
        let entries = lock(&self.entries);
        let is_old = |entries: &mut Entries| entries.version <= version;
        let waited = self.changed.wait_timeout_while(entries, at_most, is_old);
        waited.unwrap_or_else(PoisonError::into_inner).0.version
    }

    /// Makes one change, at this time in milliseconds since 1970.
    fn change<T>(&self, change: impl FnOnce(&mut Entries, u64) -> T) -> T {
        let mut entries = lock(&self.entries);
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        entries.version += 1;
        let result = change(&mut entries, self.started.saturating_add(passed));
        drop(entries);
        self.changed.notify_all();
        result
    }
}

impl Entries {
    fn add_message(
        &mut self,
        now: u64,
        bubble: &Bubble<'_>,
        of_bot: bool,
        exchange: Option<u64>,
    ) -> u64 {
        self.known.insert(bubble.person.to_string());
        let message = json!({
            "person": bubble.person, "bot": of_bot, "text": bubble.text, "content": bubble.content, "mid": bubble.mid,
            "at": now, "acknowledged": null, "echoed": null, "rest": bubble.reply, "exchange": exchange,
        });
        add(&mut self.messages, message, self.version)
    }

    fn person(&mut self, person: &str) -> &mut Value {
        let nothing = || json!({"typing": false, "seen": null});
        self.people.entry(person).or_insert_with(nothing)
    }
}

fn add(kept: &mut VecDeque<Value>, mut entry: Value, version: u64) -> u64 {
    entry["id"] = version.into();
    entry["changed"] = version.into();
    if kept.len() >= KEPT {
        kept.pop_front();
    }
    kept.push_back(entry);
    version
}

/// The entry with this id, to be changed in this version.
fn entry(kept: &mut VecDeque<Value>, id: u64, version: u64) -> Option<&mut Value> {
    let entry = kept.iter_mut().find(|entry| entry["id"] == id)?;
    entry["changed"] = version.into();
    Some(entry)
}

fn rest(message: &Value) -> &str {
    message["rest"].as_str().unwrap_or_default()
}

fn is_owed(message: &Value) -> bool {
    !rest(message).is_empty()
}

#[cfg(test)]
mod tests;
