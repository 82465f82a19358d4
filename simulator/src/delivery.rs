//! Delivery of webhooks: each person's one after the other, again until it is answered 200.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::event_log::EventLog;
use super::{Messenger, lock};

/// The pause before a redelivery, and how many there are.
const REDELIVERY: Duration = Duration::from_secs(1);
const REDELIVERIES: u32 = 30;

/// A bot calls within this time, or the log says that it has not.
pub(crate) const CALLED_WITHIN: Duration = Duration::from_secs(5);

/// A webhook on its way.
#[derive(Clone, Default)]
pub(crate) struct Delivery {
    pub(crate) body: Vec<u8>,
    pub(crate) person: String,
    /// The message in it.
    pub(crate) message: Option<u64>,
    pub(crate) is_signed: bool,
    /// The exchange that it repeats.
    pub(crate) group: Option<u64>,
}

/// What waits, and what the bot answered to the webhook that keeps the others back.
type Queue = (Sender<Delivery>, Arc<Mutex<Option<String>>>);

/// Delivers each person's webhooks in a thread of its own, so that nobody waits for somebody else.
#[derive(Clone)]
pub(crate) struct Deliveries {
    pub(crate) messenger: Arc<Messenger>,
    pub(crate) log: Arc<EventLog>,
    /// Where the Graph API is, if another bot has to be told.
    pub(crate) graph_url: Option<String>,
    /// By the person.
    pub(crate) queues: Arc<Mutex<HashMap<String, Queue>>>,
}

impl Deliveries {
    /// Delivers a webhook behind those of the same person; a repetition overtakes them.
    pub(crate) fn send(&self, delivery: Delivery) {
        let is_repeated = delivery.group.is_some();
        let person = if is_repeated { "" } else { &delivery.person }.to_string();
        let mut queues = lock(&self.queues);
        let (queue, failure) = queues.entry(person).or_insert_with(|| {
            let (queue, deliveries) = mpsc::channel();
            let (all, failure) = (self.clone(), Arc::default());
            let kept = Arc::clone(&failure);
            thread::spawn(move || all.deliver_all(&deliveries, &kept));
            (queue, failure)
        });
        let failure = lock(failure).clone();
        if let (Some(failure), Some(message), false) = (failure, delivery.message, is_repeated) {
            let why = format!("waits behind a message whose webhook failed: {failure}");
            self.log.tell(message, "waits", &why);
        }
        // It fails only when the thread has panicked.
        let _ = queue.send(delivery);
    }

    /// Delivers a queue's webhooks one after the other. An unsigned one is not Messenger's and comes once.
    fn deliver_all(&self, deliveries: &Receiver<Delivery>, kept: &Mutex<Option<String>>) {
        for mut delivery in deliveries {
            let mut failure = self.deliver(&mut delivery);
            if !delivery.is_signed {
                continue;
            }
            for _ in 0..REDELIVERIES {
                if failure.is_none() {
                    break;
                }
                *lock(kept) = failure;
                thread::sleep(REDELIVERY);
                failure = self.deliver(&mut delivery);
            }
            *lock(kept) = None;
            if let Some(failure) = failure {
                self.log.note(&format!(
                    "a webhook is given up after {REDELIVERIES} redeliveries: {failure}; what was written behind it by \
                     the same person has waited"
                ));
            }
        }
    }

    /// Delivers a webhook once; why it was not answered 200, if it was not.
    fn deliver(&self, delivery: &mut Delivery) -> Option<String> {
        let (messenger, log) = (&self.messenger, &self.log);
        let (url, body) = (messenger.url(), String::from_utf8_lossy(&delivery.body));
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        let mut headers = messenger.headers(&delivery.body);
        headers.retain(|(name, _)| delivery.is_signed || !name.starts_with("X-Hub-Signature"));
        let line = |(name, value): &(_, String)| format!("{name}: {value}\n");
        let lines: String = headers.iter().map(line).collect();
        let request = format!("POST /{path} HTTP/1.1\n{lines}\n{body}");
        let (person, message) = (&delivery.person, delivery.message);
        let exchange = log.requested("webhook", person, &request, message, delivery.group);
        delivery.group.get_or_insert(exchange);
        let (status, answer, failure) = match messenger.post(&url, &headers, &delivery.body) {
            Ok(answer) => {
                let text = format!("{}\n{}", answer.headers, answer.body);
                let failure = format!("the bot answered {}: {}", answer.status, answer.body);
                (Some(answer.status), text, failure)
            }
            Err(error) => (None, error.to_string(), error.to_string()),
        };
        if let (Some(401 | 403), true) = (status, delivery.is_signed) {
            let words = "the bot refused a signed webhook: is --app-secret the bot's?";
            log.tell(exchange, "remark", words);
        }
        log.answered(exchange, status, &answer);
        if status != Some(200) {
            return Some(failure);
        }
        if let (Some(url), Some(_), false) = (&self.graph_url, message, log.is_called()) {
            // A bot that answers and never calls probably talks to the real Graph API.
            let (log, remark) = (Arc::clone(log), not_called(url));
            thread::spawn(move || {
                thread::sleep(CALLED_WITHIN);
                if !log.is_called() {
                    log.tell(exchange, "remark", &remark);
                }
            });
        }
        None
    }
}

/// What is to be said of a bot that answers and does not call.
pub(crate) fn not_called(url: &str) -> String {
    format!(
        "the bot answered 200, but has not called {url}: does it still talk to graph.facebook.com?"
    )
}
