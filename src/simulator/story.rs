//! What has happened, for the page to show: who wrote what, and what went over the wires for it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::echo::CANNOT_ECHO;

/// Messages and happenings that are kept, each. A page that is open for days must not grow.
const KEPT: usize = 2000;

/// A story that is told while it happens. Many threads may tell and read it at once.
pub(super) struct Story {
    told: Mutex<Told>,
    changed: Condvar,
    start: Instant,
    /// Whether the bot may be any bot, which says what it likes.
    any_bot: bool,
}

#[derive(Default)]
struct Told {
    /// Counts up with every change; what has changed since a number is what a page has missed.
    version: u64,
    messages: VecDeque<Message>,
    happenings: VecDeque<Happening>,
}

/// A bubble of the chat.
struct Message {
    id: u64,
    changed: u64,
    person: String,
    from_bot: bool,
    text: String,
    is_attachment: bool,
    at: Duration,
    /// When the webhook was answered 200.
    acknowledged: Option<Duration>,
    /// How much of the reply the bot has sent, in bytes, and when it was complete.
    replied: usize,
    echoed: Option<Duration>,
}

/// Something that went over a wire: a request, and its answer.
struct Happening {
    id: u64,
    changed: u64,
    what: &'static str,
    message: Option<u64>,
    at: Duration,
    request: String,
    answer: Option<String>,
    status: Option<u16>,
    took: Option<Duration>,
}

impl Message {
    /// What the bot is to send back.
    fn reply(&self) -> &str {
        if self.is_attachment {
            CANNOT_ECHO
        } else {
            &self.text
        }
    }

    /// What is left of it.
    fn rest(&self) -> &str {
        &self.reply()[self.replied..]
    }

    fn is_owed(&self) -> bool {
        !self.from_bot && self.echoed.is_none()
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id, "person": self.person, "bot": self.from_bot, "text": self.text,
            "attachment": self.is_attachment, "at": milliseconds(self.at),
            "acknowledged": self.acknowledged.map(milliseconds),
            "echoed": self.echoed.map(milliseconds),
        })
    }
}

impl Happening {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id, "what": self.what, "message": self.message, "at": milliseconds(self.at),
            "request": self.request, "answer": self.answer, "status": self.status,
            "took": self.took.map(milliseconds),
        })
    }
}

impl Story {
    /// A story in which nothing has happened. `any_bot`: whatever the bot says is its reply.
    pub(super) fn new(any_bot: bool) -> Story {
        Story {
            told: Mutex::default(),
            changed: Condvar::new(),
            start: Instant::now(),
            any_bot,
        }
    }

    /// A person writes a text, or sends an attachment. Returns the message's number.
    pub(super) fn written(&self, person: &str, text: &str, is_attachment: bool) -> u64 {
        let at = self.start.elapsed();
        self.tell(|told| told.add_message(person, text, false, is_attachment, at))
    }

    /// A request goes out or comes in, for a message if it is known for which one. Returns its
    /// number.
    pub(super) fn requested(
        &self,
        what: &'static str,
        message: Option<u64>,
        request: String,
    ) -> u64 {
        let at = self.start.elapsed();
        self.tell(|told| {
            let id = told.version;
            let happening = Happening {
                id,
                changed: id,
                what,
                message,
                at,
                request,
                answer: None,
                status: None,
                took: None,
            };
            keep(&mut told.happenings, happening);
            id
        })
    }

    /// A request was answered. A webhook that was answered 200 is acknowledged.
    pub(super) fn answered(&self, id: u64, status: Option<u16>, answer: &str) {
        let now = self.start.elapsed();
        self.tell(|told| {
            let version = told.version;
            let Some(happening) = told
                .happenings
                .iter_mut()
                .find(|happening| happening.id == id)
            else {
                return;
            };
            happening.changed = version;
            happening.status = status;
            happening.answer = Some(answer.to_string());
            happening.took = Some(now.saturating_sub(happening.at));
            let (what, message) = (happening.what, happening.message);
            if what == "webhook" && status == Some(200) {
                told.change(message, |message| {
                    message.acknowledged.get_or_insert(now);
                });
            }
        });
    }

    /// The message that a call of the Send API with this text answers, as far as one can tell.
    pub(super) fn answers(&self, person: &str, text: &str) -> Option<u64> {
        let told = self.lock();
        let is_theirs = |message: &&Message| message.is_owed() && message.person == person;
        let mut owed = told.messages.iter().filter(is_theirs);
        let answered = owed.find(|message| self.any_bot || message.rest().starts_with(text));
        answered.map(|message| message.id)
    }

    /// The bot's message has reached the person, as the answer to this message if it is known.
    pub(super) fn reached(&self, person: &str, text: &str, answered: Option<u64>) {
        let now = self.start.elapsed();
        self.tell(|told| {
            told.change(answered, |message| {
                let fits = message.rest().starts_with(text);
                message.replied = if fits {
                    message.replied + text.len()
                } else {
                    message.reply().len()
                };
                if message.replied == message.reply().len() {
                    message.echoed.get_or_insert(now);
                }
            });
            told.version += 1;
            told.add_message(person, text, true, false, now);
        });
    }

    /// All that has changed after this version, and what there is to know besides.
    pub(super) fn since(&self, version: u64) -> Value {
        let told = self.lock();
        let messages = told
            .messages
            .iter()
            .filter(|message| message.changed > version);
        let happenings = told
            .happenings
            .iter()
            .filter(|happening| happening.changed > version);
        json!({
            "version": told.version,
            "owed": told.messages.iter().filter(|message| message.is_owed()).count(),
            "messages": messages.map(Message::to_json).collect::<Vec<_>>(),
            "happenings": happenings.map(Happening::to_json).collect::<Vec<_>>(),
        })
    }

    /// Something that is not in the story has changed: pages are to look again.
    pub(super) fn touch(&self) {
        self.tell(|_| ());
    }

    /// The number of changes up to now.
    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Waits for a change after this version; the version then, or the same in vain.
    pub(super) fn wait(&self, version: u64, at_most: Duration) -> u64 {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), at_most, |told| told.version <= version);
        waited.unwrap_or_else(PoisonError::into_inner).0.version
    }

    fn tell<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        let mut told = self.lock();
        told.version += 1;
        let result = change(&mut told);
        drop(told);
        self.changed.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn add_message(
        &mut self,
        person: &str,
        text: &str,
        from_bot: bool,
        is_attachment: bool,
        at: Duration,
    ) -> u64 {
        let id = self.version;
        let message = Message {
            id,
            changed: id,
            person: person.to_string(),
            from_bot,
            text: text.to_string(),
            is_attachment,
            at,
            acknowledged: None,
            replied: 0,
            echoed: None,
        };
        keep(&mut self.messages, message);
        id
    }

    fn change(&mut self, id: Option<u64>, change: impl FnOnce(&mut Message)) {
        let version = self.version;
        let mut messages = self.messages.iter_mut();
        if let Some(message) = messages.find(|message| Some(message.id) == id) {
            message.changed = version;
            change(message);
        }
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() >= KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{CANNOT_ECHO, Story};

    #[test]
    fn a_message_is_owed_until_all_of_its_reply_has_come() {
        let story = Story::new(false);
        let message = story.written("7", "ab", false);
        assert_eq!(story.since(0)["owed"], 1);
        assert_eq!(story.answers("7", "a"), Some(message));
        story.reached("7", "a", Some(message));
        assert_eq!(story.answers("7", "a"), None, "that part has come");
        assert_eq!(story.answers("7", "b"), Some(message));
        story.reached("7", "b", Some(message));
        let all = story.since(0);
        assert_eq!(all["owed"], 0);
        assert_eq!(all["messages"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_reply_belongs_to_the_person_and_to_the_oldest_message_that_it_fits() {
        let story = Story::new(false);
        let [first, second] = [(); 2].map(|()| story.written("7", "same", false));
        let image = story.written("7", "image", true);
        assert_eq!(story.answers("8", "same"), None);
        assert_eq!(story.answers("7", "same"), Some(first));
        story.reached("7", "same", Some(first));
        assert_eq!(story.answers("7", "same"), Some(second));
        assert_eq!(story.answers("7", CANNOT_ECHO), Some(image));
        assert_eq!(story.answers("7", "something else"), None);
    }

    #[test]
    fn only_what_has_changed_is_told_again() {
        let story = Story::new(false);
        let message = story.written("7", "hello", false);
        let webhook = story.requested("webhook", Some(message), "POST /".to_string());
        let version = story.version();
        story.answered(webhook, Some(200), "ok");
        let news = story.since(version);
        assert_eq!(news["messages"][0]["id"], message);
        assert!(news["messages"][0]["acknowledged"].is_u64());
        assert_eq!(news["happenings"][0]["status"], 200);
        assert_eq!(
            story.since(story.version())["messages"],
            serde_json::json!([])
        );
    }
}
