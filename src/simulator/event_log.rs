//! The event log: who wrote what, and what went over the wires for it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lock;
use crate::echo::CANNOT_ECHO;

/// Messages and exchanges that are kept, each. A page that is open for days must not grow.
const KEPT: usize = 2000;

/// The entries as the page gets them. Many threads may write and read at once.
pub(super) struct EventLog {
    entries: Mutex<Entries>,
    changed: Condvar,
    start: Instant,
    any_bot: bool,
}

#[derive(Default)]
struct Entries {
    /// Counts changes. An entry has the count at its last change, and that at its first as its id.
    version: u64,
    /// Bubbles of the chat. `rest` is what the bot has not yet sent of its reply.
    messages: VecDeque<Value>,
    /// Requests with their answers.
    exchanges: VecDeque<Value>,
}

impl EventLog {
    /// An empty log. `any_bot`: whatever the bot sends is its reply.
    pub(super) fn new(any_bot: bool) -> EventLog {
        EventLog {
            entries: Mutex::default(),
            changed: Condvar::new(),
            start: Instant::now(),
            any_bot,
        }
    }

    /// A person writes a text, or sends an attachment. Returns the message's id.
    pub(super) fn written(&self, person: &str, text: &str, is_attachment: bool) -> u64 {
        let reply = if is_attachment { CANNOT_ECHO } else { text };
        self.change(|entries, now| entries.add_message(now, person, text, Some(reply)))
    }

    /// A request goes out or comes in, for a message if it is known for which one. Returns the
    /// exchange's id.
    pub(super) fn requested(&self, what: &str, message: Option<u64>, request: &str) -> u64 {
        self.change(|entries, now| {
            let exchange = json!({
                "what": what, "message": message, "at": now, "request": request,
                "answer": null, "status": null, "took": null,
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

    /// The message that a call of the Send API with this text answers, as far as one can tell.
    pub(super) fn answers(&self, person: &str, text: &str) -> Option<u64> {
        let entries = lock(&self.entries);
        let messages = entries.messages.iter();
        let mut owed = messages.filter(|message| message["person"] == person && is_owed(message));
        let answered = owed.find(|message| self.any_bot || rest(message).starts_with(text));
        answered?["id"].as_u64()
    }

    /// The bot's message has reached the person, as the answer to this message if it is known.
    pub(super) fn reached(&self, person: &str, text: &str, answered: Option<u64>) {
        self.change(|entries, now| {
            let version = entries.version;
            if let Some(id) = answered
                && let Some(message) = entry(&mut entries.messages, id, version)
                && is_owed(message)
            {
                message["rest"] = rest(message).strip_prefix(text).unwrap_or_default().into();
                if !is_owed(message) {
                    message["echoed"] = now.into();
                }
            }
            entries.version += 1;
            entries.add_message(now, person, text, None);
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
        })
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

    /// Makes one change, at this many milliseconds after the start.
    fn change<T>(&self, change: impl FnOnce(&mut Entries, u64) -> T) -> T {
        let mut entries = lock(&self.entries);
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        entries.version += 1;
        let result = change(&mut entries, now);
        drop(entries);
        self.changed.notify_all();
        result
    }
}

impl Entries {
    /// Adds a bubble: of a person who is owed a reply, or else of the bot.
    fn add_message(&mut self, now: u64, person: &str, text: &str, reply: Option<&str>) -> u64 {
        let message = json!({
            "person": person, "bot": reply.is_none(), "text": text, "at": now,
            "acknowledged": null, "echoed": null, "rest": reply.unwrap_or_default(),
        });
        add(&mut self.messages, message, self.version)
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
mod tests {
    use super::{CANNOT_ECHO, EventLog};

    #[test]
    fn a_message_is_owed_until_all_of_its_reply_has_come() {
        let log = EventLog::new(false);
        let message = log.written("7", "ab", false);
        assert_eq!(log.since(0)["owed"], 1);
        assert_eq!(log.answers("7", "a"), Some(message));
        log.reached("7", "a", Some(message));
        assert_eq!(log.answers("7", "a"), None, "that part has come");
        assert_eq!(log.answers("7", "b"), Some(message));
        log.reached("7", "b", Some(message));
        let all = log.since(0);
        assert_eq!(all["owed"], 0);
        assert_eq!(all["messages"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_reply_belongs_to_the_person_and_to_the_oldest_message_that_it_fits() {
        let log = EventLog::new(false);
        let [first, second] = [(); 2].map(|()| log.written("7", "same", false));
        let image = log.written("7", "image", true);
        assert_eq!(log.answers("8", "same"), None);
        assert_eq!(log.answers("7", "same"), Some(first));
        log.reached("7", "same", Some(first));
        assert_eq!(log.answers("7", "same"), Some(second));
        assert_eq!(log.answers("7", CANNOT_ECHO), Some(image));
        assert_eq!(log.answers("7", "something else"), None);
    }

    #[test]
    fn only_what_has_changed_is_sent_again() {
        let log = EventLog::new(false);
        let message = log.written("7", "hello", false);
        let webhook = log.requested("webhook", Some(message), "POST /");
        let version = log.version();
        log.answered(webhook, Some(200), "ok");
        let news = log.since(version);
        assert_eq!(news["messages"][0]["id"], message);
        assert!(news["messages"][0]["acknowledged"].is_u64());
        assert_eq!(news["exchanges"][0]["status"], 200);
        assert_eq!(log.since(log.version())["messages"], serde_json::json!([]));
    }
}
