//! The event log: who wrote what, and what went over the wires for it.
//!
//! Its entries are JSON, as the page and tests of bots get them: see README.md.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::messenger::milliseconds_since_1970;
use super::parameters::text;
use super::{PEOPLE, lock};

/// Messages and exchanges that are kept, each. A page that is open for days must not grow.
const KEPT: usize = 2000;

/// The entries. Many threads may write and read at once.
#[derive(Default)]
pub(crate) struct EventLog {
    entries: Mutex<Entries>,
    changed: Condvar,
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
    shown: Map<String, Value>,
    /// Who may be answered: those with names, and who has written, ever, by their id; and by their `user_ref`.
    known: Vec<(String, String)>,
}

impl EventLog {
    /// A person can be answered by this name: their id, or a `user_ref`.
    pub(crate) fn know(&self, name: &str, person: &str) {
        self.change(|entries, _| {
            if entries.known.iter().all(|(known, _)| known != name) {
                let known = (name.to_string(), person.to_string());
                entries.known.push(known);
            }
        });
    }

    /// A person writes something: `bubble` is what [`message`] makes, and its `rest` the text that the bot is to reply.
    /// Returns the message's id.
    pub(crate) fn written(&self, bubble: Value) -> u64 {
        let person = text(&bubble["person"]);
        self.know(&person, &person);
        self.change(|entries, now| add(&mut entries.messages, bubble, entries.version, now))
    }

    /// A request goes out or comes in, for a message, and as a repetition of another exchange, if there are such. Returns
    /// the exchange's id.
    pub(crate) fn requested(
        &self,
        what: &str,
        person: &str,
        request: &str,
        message: Option<u64>,
        group: Option<u64>,
    ) -> u64 {
        self.change(|entries, now| {
            let exchange = json!({
                "what": what, "person": person, "message": message, "group": group, "request": request,
                "answer": null, "status": null, "took": null, "remark": null,
            });
            add(&mut entries.exchanges, exchange, entries.version, now)
        })
    }

    /// A request was answered. A webhook that was answered 200 is acknowledged; else its message tells of it.
    pub(crate) fn answered(&self, id: u64, status: Option<u16>, answer: &str) {
        self.change(|entries, now| {
            let exchange = entries.entry(id)?;
            let took = now.saturating_sub(exchange["at"].as_u64().unwrap_or(now));
            exchange["status"] = status.into();
            exchange["answer"] = answer.into();
            exchange["took"] = took.into();
            let message = exchange["message"].as_u64()?;
            let message = entries.entry(message)?;
            if status != Some(200) {
                let failures = message["failures"].as_u64().unwrap_or(0) + 1;
                message["failures"] = failures.into();
                message["failure"] = status.map_or(answer.into(), Value::from);
            } else if message["acknowledged"].is_null() {
                message["acknowledged"] = now.into();
                message["waits"] = Value::Null;
            }
            Some(())
        });
    }

    /// Something to be said about an exchange (`remark`) or a message (`waits`).
    pub(crate) fn tell(&self, id: u64, name: &str, what: &str) {
        self.change(|entries, _| {
            entries.entry(id)?[name] = what.into();
            Some(())
        });
    }

    /// Something that a person should know.
    pub(crate) fn note(&self, text: &str) {
        let id = self.requested("note", "", text, None, None);
        self.answered(id, None, "");
    }

    /// The bot's message has reached the person. It is a part of what is owed, where something is, and else the answer to
    /// all that the person wrote before.
    pub(crate) fn reached(&self, bubble: Value) {
        self.change(|entries, now| {
            let (person, sent) = (text(&bubble["person"]), text(&bubble["text"]));
            let (version, mut is_found) = (entries.version, false);
            // Of somebody who has never written nothing can be owed.
            let has_written = entries.known.iter().any(|(_, known)| *known == person);
            let is_theirs =
                |one: &&mut Value| has_written && one["person"] == person && one["bot"] == false;
            for message in entries.messages.iter_mut().filter(is_theirs) {
                let rest = match message["rest"].as_str() {
                    None if message["echoed"].is_null() => Value::Null,
                    Some(rest) if !is_found && !rest.is_empty() && rest.starts_with(&sent) => {
                        is_found = true;
                        rest[sent.len()..].into()
                    }
                    _ => continue,
                };
                if rest.is_null() || rest == "" {
                    message["echoed"] = now.into();
                }
                message["rest"] = rest;
                message["changed"] = version.into();
            }
            entries.shown(&person)["typing"] = false.into();
            add(&mut entries.messages, bubble, version, now);
        });
    }

    /// The bot types, or has seen what the person wrote.
    pub(crate) fn acted(&self, person: &str, action: &str) {
        self.change(|entries, now| match action {
            "mark_seen" => entries.shown(person)["seen"] = now.into(),
            "typing_on" => entries.shown(person)["typing"] = true.into(),
            "typing_off" => entries.shown(person)["typing"] = false.into(),
            _ => {}
        });
    }

    /// The entries that have changed after this version, how many replies are owed, and who has written.
    pub(crate) fn since(&self, version: u64) -> Value {
        let entries = lock(&self.entries);
        let news = |kept: &VecDeque<Value>| -> Vec<Value> {
            let is_new = |entry: &&Value| entry["changed"].as_u64() > Some(version);
            kept.iter().filter(is_new).cloned().collect()
        };
        let people = entries.known.iter().filter(|(name, id)| name == id);
        let people: Value = people.map(|(_, id)| person(id)).collect();
        let is_owed = |one: &&Value| one["rest"].is_string() && one["rest"] != "";
        let owed = entries.messages.iter().filter(is_owed);
        json!({
            "version": entries.version, "owed": owed.count(), "shown": entries.shown, "people": people,
            "messages": news(&entries.messages), "exchanges": news(&entries.exchanges),
        })
    }

    /// Who is meant by an id or a `user_ref`; none when the bot may not write to them.
    pub(crate) fn person(&self, name: &str) -> Option<String> {
        let entries = lock(&self.entries);
        let mut known = entries.known.iter();
        Some(known.find(|(known, _)| known == name)?.1.clone())
    }

    /// The last message or exchange that is so.
    pub(crate) fn last(&self, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        let entries = lock(&self.entries);
        let mut all = entries.exchanges.iter().chain(&entries.messages).rev();
        all.find(|one| is_it(one)).cloned()
    }

    /// Whether a bot has called the Graph API.
    pub(crate) fn is_called(&self) -> bool {
        let is_call = |one: &Value| one["what"] == "call" || one["what"] == "other";
        self.last(is_call).is_some()
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

    /// Makes one change, at this time.
    fn change<T>(&self, change: impl FnOnce(&mut Entries, u64) -> T) -> T {
        let mut entries = lock(&self.entries);
        entries.version += 1;
        let result = change(&mut entries, milliseconds_since_1970());
        drop(entries);
        self.changed.notify_all();
        result
    }
}

impl Entries {
    /// The entry with this id, to be changed.
    fn entry(&mut self, id: u64) -> Option<&mut Value> {
        for kept in [&mut self.messages, &mut self.exchanges] {
            if let Ok(at) = kept.binary_search_by_key(&Some(id), |one| one["id"].as_u64()) {
                kept[at]["changed"] = self.version.into();
                return kept.get_mut(at);
            }
        }
        None
    }

    fn shown(&mut self, person: &str) -> &mut Value {
        let nothing = || json!({"typing": false, "seen": null});
        self.shown.entry(person).or_insert_with(nothing)
    }
}

/// A bubble: what somebody wrote, in words, and the message of the event or of the call.
pub(crate) fn message(person: &str, of_bot: bool, text: &str, content: &Value) -> Value {
    json!({
        "person": person, "bot": of_bot, "text": text, "content": content, "mid": content["mid"], "persona": null,
        "files": {}, "exchange": null, "acknowledged": null, "echoed": null, "waits": null, "failure": null, "rest": null,
    })
}

fn person(id: &str) -> Value {
    let named = PEOPLE.iter().find(|(named, ..)| *named == id);
    let (_, first, last) = named.copied().unwrap_or((id, id, ""));
    json!({"id": id, "name": first, "last_name": last})
}

fn add(kept: &mut VecDeque<Value>, mut entry: Value, version: u64, now: u64) -> u64 {
    (entry["id"], entry["changed"]) = (version.into(), version.into());
    entry["at"] = now.into();
    if kept.len() >= KEPT {
        kept.pop_front();
    }
    kept.push_back(entry);
    version
}

#[cfg(test)]
mod tests;
