//! The event log: who wrote what, and what went over the wires for it.
//!
//! Its entries are JSON, as the page and tests of bots get them: see README.md.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::messenger::milliseconds_since_1970;
use super::{PEOPLE, lock};

/// Messages and exchanges that are kept, each. A page that is open for days must not grow.
const KEPT: usize = 2000;

/// The entries. Many threads may write and read at once.
pub(crate) struct EventLog {
    entries: Mutex<Entries>,
    changed: Condvar,
    start: Instant,
    started: u64,
}

#[derive(Default)]
struct Entries {
    /// Counts changes. An entry has the count at its last change, and that at its first as its id.
    version: u64,
    /// Bubbles of the chat. `rest` is what the bot has not yet sent of its reply, where one knows what it owes.
    messages: VecDeque<Value>,
    /// Requests with their answers, and notes.
    exchanges: VecDeque<Value>,
    /// Person -> whether the bot types, and when it has seen the last message.
    people: Map<String, Value>,
    /// Who has written, ever, in this order.
    known: Vec<String>,
    /// `user_ref` -> who opted in with it.
    user_refs: HashMap<String, String>,
    /// Whether a bot has called the Graph API.
    is_called: bool,
}

impl EventLog {
    pub(crate) fn new() -> EventLog {
        EventLog {
            entries: Mutex::default(),
            changed: Condvar::new(),
            start: Instant::now(),
            started: milliseconds_since_1970(),
        }
    }

    /// A person writes something: `bubble` has what [`message`] says; `owed` is the text that the bot is to reply. Returns
    /// the message's id.
    pub(crate) fn written(&self, bubble: Value, owed: Option<String>) -> u64 {
        self.change(|entries, now| {
            entries.know(bubble["person"].as_str().unwrap_or_default());
            entries.add_message(now, bubble, owed)
        })
    }

    /// A person opts in with this `user_ref`, and can be answered by it.
    pub(crate) fn opted_in(&self, user_ref: &str, person: &str) {
        self.change(|entries, _| {
            entries.know(person);
            let (user_ref, person) = (user_ref.to_string(), person.to_string());
            entries.user_refs.insert(user_ref, person);
        });
    }

    /// A request goes out or comes in: for a message, as a repetition of an exchange, where there is one. Returns the
    /// exchange's id.
    pub(crate) fn requested(
        &self,
        what: &str,
        person: &str,
        message: Option<u64>,
        group: Option<u64>,
        request: &str,
    ) -> u64 {
        self.change(|entries, now| {
            entries.is_called |= what == "call" || what == "other";
            let exchange = json!({
                "what": what, "person": person, "message": message, "group": group, "at": now, "request": request,
                "answer": null, "status": null, "took": null, "remark": null,
            });
            add(&mut entries.exchanges, exchange, entries.version)
        })
    }

    /// A request was answered. A webhook that was answered 200 is acknowledged; else its message tells of it.
    pub(crate) fn answered(&self, id: u64, status: Option<u16>, answer: &str) {
        self.change(|entries, now| {
            let version = entries.version;
            let Some(exchange) = entry(&mut entries.exchanges, id, version) else {
                return;
            };
            exchange["status"] = status.into();
            exchange["answer"] = answer.into();
            exchange["took"] = now
                .saturating_sub(exchange["at"].as_u64().unwrap_or(now))
                .into();
            let of = exchange["message"]
                .as_u64()
                .filter(|_| exchange["what"] == "webhook");
            let Some(message) = of.and_then(|id| entry(&mut entries.messages, id, version)) else {
                return;
            };
            if status == Some(200) && message["acknowledged"].is_null() {
                message["acknowledged"] = now.into();
                message["waits"] = Value::Null;
            } else if status != Some(200) {
                message["failures"] = (message["failures"].as_u64().unwrap_or(0) + 1).into();
                let first = answer.lines().next().unwrap_or_default();
                message["failure"] = status.map_or(first.into(), Value::from);
            }
        });
    }

    /// Something to be said about an exchange.
    pub(crate) fn remark(&self, id: u64, remark: &str) {
        self.change(|entries, _| {
            let version = entries.version;
            if let Some(exchange) = entry(&mut entries.exchanges, id, version) {
                exchange["remark"] = remark.into();
            }
        });
    }

    /// What keeps a message back.
    pub(crate) fn waits(&self, id: u64, why: &str) {
        self.change(|entries, _| {
            let version = entries.version;
            if let Some(message) = entry(&mut entries.messages, id, version) {
                message["waits"] = why.into();
            }
        });
    }

    /// Something that a person should know.
    pub(crate) fn note(&self, text: &str) {
        let id = self.requested("note", "", None, None, text);
        self.answered(id, None, "");
    }

    /// The bot's message has reached the person. It is a part of what is owed, where something is, and else the answer to
    /// all that the person wrote before.
    pub(crate) fn reached(&self, bubble: Value) {
        self.change(|entries, now| {
            let (person, text) = (
                bubble["person"].clone(),
                bubble["text"].as_str().unwrap_or(""),
            );
            entries.version += 1;
            let version = entries.version;
            let mut is_found = false;
            let of_person =
                |message: &&mut Value| message["person"] == person && message["bot"] == false;
            for message in entries.messages.iter_mut().filter(of_person) {
                let rest = match message["rest"].as_str() {
                    None if message["echoed"].is_null() => Value::Null,
                    Some(rest) if !is_found && !rest.is_empty() && rest.starts_with(text) => {
                        is_found = true;
                        rest[text.len()..].into()
                    }
                    _ => continue,
                };
                if rest.is_null() || rest == "" {
                    message["echoed"] = now.into();
                }
                message["rest"] = rest;
                message["changed"] = version.into();
            }
            entries.version += 1;
            entries.person(person.as_str().unwrap_or_default())["typing"] = false.into();
            entries.add_message(now, bubble, None);
        });
    }

    /// The bot types, or has seen what the person wrote.
    pub(crate) fn acted(&self, person: &str, action: &str) {
        self.change(|entries, now| match action {
            "mark_seen" => entries.person(person)["seen"] = now.into(),
            "typing_on" => entries.person(person)["typing"] = true.into(),
            "typing_off" => entries.person(person)["typing"] = false.into(),
            _ => {}
        });
    }

    /// The entries that have changed after this version, and how many replies are owed.
    pub(crate) fn since(&self, version: u64) -> Value {
        let entries = lock(&self.entries);
        let news = |kept: &VecDeque<Value>| -> Vec<Value> {
            let is_new = |entry: &&Value| entry["changed"].as_u64() > Some(version);
            kept.iter().filter(is_new).cloned().collect()
        };
        let is_made_up = |id: &&String| PEOPLE.iter().all(|(known, ..)| known != id);
        json!({
            "version": entries.version,
            "owed": entries.messages.iter().filter(|message| is_owed(message)).count(),
            "messages": news(&entries.messages),
            "exchanges": news(&entries.exchanges),
            "shown": entries.people,
            "made_up": entries.known.iter().filter(is_made_up).collect::<Vec<_>>(),
        })
    }

    /// Who is meant by an id or a `user_ref`; none when the bot may not write to them.
    pub(crate) fn person(&self, name: &str) -> Option<String> {
        let entries = lock(&self.entries);
        let mut people = PEOPLE
            .iter()
            .map(|(id, ..)| *id)
            .chain(entries.known.iter().map(String::as_str));
        let found = people.find(|id| *id == name).map(str::to_string);
        found.or_else(|| entries.user_refs.get(name).cloned())
    }

    /// The mid of the last message to or from this person.
    pub(crate) fn last_mid(&self, person: &str, of_bot: bool) -> Option<String> {
        let entries = lock(&self.entries);
        let is_it = |message: &&Value| message["person"] == person && message["bot"] == of_bot;
        Some(
            entries.messages.iter().rev().find(is_it)?["mid"]
                .as_str()?
                .to_string(),
        )
    }

    /// A webhook that was sent: the request, the person and the message.
    pub(crate) fn webhook(&self, id: u64) -> Option<(String, String, Option<u64>)> {
        let entries = lock(&self.entries);
        let is_it = |one: &&Value| one["id"] == id && one["what"] == "webhook";
        let exchange = entries.exchanges.iter().find(is_it)?;
        let text = |name: &str| Some(exchange[name].as_str()?.to_string());
        Some((
            text("request")?,
            text("person")?,
            exchange["message"].as_u64(),
        ))
    }

    /// Whether a bot has called the Graph API.
    pub(crate) fn is_called(&self) -> bool {
        lock(&self.entries).is_called
    }

    /// Something that is not in the log has changed: pages are to look again.
    pub(crate) fn touch(&self) {
        self.change(|_, _| ());
    }

    /// The number of changes up to now.
    pub(crate) fn version(&self) -> u64 {
        lock(&self.entries).version
    }

    /// Waits for a change after this version; the version then, or the same in vain.
    pub(crate) fn wait(&self, version: u64, at_most: Duration) -> u64 {
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
    fn know(&mut self, person: &str) {
        if !self.known.iter().any(|known| known == person) {
            self.known.push(person.to_string());
        }
    }

    fn add_message(&mut self, now: u64, mut message: Value, owed: Option<String>) -> u64 {
        message["at"] = now.into();
        message["rest"] = owed.into();
        for name in ["acknowledged", "echoed", "waits", "failure"] {
            message[name] = Value::Null;
        }
        add(&mut self.messages, message, self.version)
    }

    fn person(&mut self, person: &str) -> &mut Value {
        let nothing = || json!({"typing": false, "seen": null});
        self.people.entry(person).or_insert_with(nothing)
    }
}

/// A bubble: what somebody wrote, in words, and the message of the event or of the call.
pub(crate) fn message(
    person: &str,
    of_bot: bool,
    text: &str,
    content: &Value,
    mid: &Value,
) -> Value {
    json!({
        "person": person, "bot": of_bot, "text": text, "content": content, "mid": mid.as_str().unwrap_or_default(),
        "persona": null, "files": {}, "exchange": null,
    })
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
    let at = kept
        .binary_search_by_key(&Some(id), |entry| entry["id"].as_u64())
        .ok()?;
    let entry = kept.get_mut(at)?;
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
