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

/// Delivers each person's webhooks in a thread of its own, so that nobody waits for somebody else.
pub(crate) struct Deliveries {
    route: Arc<Route>,
    people: Mutex<HashMap<String, Arc<Person>>>,
}

/// What the threads share.
pub(crate) struct Route {
    pub(crate) messenger: Arc<Messenger>,
    pub(crate) log: Arc<EventLog>,
    /// Where the Graph API is, if another bot has to be told.
    pub(crate) graph_url: Option<String>,
}

struct Person {
    queue: Sender<Delivery>,
    /// What the bot answered to the webhook that keeps the others back.
    failure: Mutex<Option<String>>,
}

impl Deliveries {
    pub(crate) fn new(route: Route) -> Deliveries {
        Deliveries {
            route: Arc::new(route),
            people: Mutex::default(),
        }
    }

    /// Delivers a webhook behind those of the same person; a repetition overtakes them.
    pub(crate) fn send(&self, delivery: Delivery) {
        let name = delivery
            .group
            .map_or(delivery.person.clone(), |_| String::new());
        let mut people = lock(&self.people);
        let person = people.entry(name).or_insert_with(|| self.person());
        if let (Some(failure), Some(message)) = (&*lock(&person.failure), delivery.message) {
            let why = format!("waits behind a message whose webhook failed: {failure}");
            self.route.log.waits(message, &why);
        }
        // It fails only when the thread has panicked.
        let _ = person.queue.send(delivery);
    }

    fn person(&self) -> Arc<Person> {
        let (queue, deliveries) = mpsc::channel();
        let person = Arc::new(Person {
            queue,
            failure: Mutex::default(),
        });
        let (route, weak) = (Arc::clone(&self.route), Arc::downgrade(&person));
        thread::spawn(move || {
            route.deliver_all(&deliveries, |failure| {
                let _ = weak
                    .upgrade()
                    .map(|person| *lock(&person.failure) = failure);
            });
        });
        person
    }
}

impl Route {
    /// Delivers webhooks one after the other. An unsigned one is not Messenger's and comes once.
    fn deliver_all(
        self: &Arc<Route>,
        deliveries: &Receiver<Delivery>,
        tell: impl Fn(Option<String>),
    ) {
        for mut delivery in deliveries {
            let mut left = if delivery.is_signed { REDELIVERIES } else { 0 };
            let mut failure = self.deliver(&mut delivery);
            while failure.is_some() && left > 0 {
                tell(failure);
                left -= 1;
                thread::sleep(REDELIVERY);
                failure = self.deliver(&mut delivery);
            }
            tell(None);
            if let Some(failure) = failure.filter(|_| delivery.is_signed) {
                self.log.note(&format!(
                    "a webhook is given up after {REDELIVERIES} redeliveries: {failure}; what was written behind it by \
                     the same person has waited"
                ));
            }
        }
    }

    /// Delivers a webhook once; why it was not answered 200, if it was not.
    fn deliver(self: &Arc<Route>, delivery: &mut Delivery) -> Option<String> {
        let (messenger, log) = (&self.messenger, &self.log);
        let mut headers = messenger.headers(&delivery.body);
        if !delivery.is_signed {
            headers.retain(|(name, _)| !name.starts_with("X-Hub-Signature"));
        }
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        let (target, lines) = (messenger.target(), lines.collect::<String>());
        let body = String::from_utf8_lossy(&delivery.body);
        let request = format!("POST {target} HTTP/1.1\n{lines}\n{body}");
        let Delivery {
            person,
            message,
            group,
            ..
        } = &*delivery;
        let exchange = log.requested("webhook", person, *message, *group, &request);
        delivery.group.get_or_insert(exchange);
        let (status, answer, failure) = match messenger.post(&headers, &delivery.body) {
            Ok(answer) => {
                let text = format!("{}\n{}", answer.headers, answer.body);
                let failure = format!("the bot answered {}: {}", answer.status, answer.body);
                (Some(answer.status), text, failure)
            }
            Err(error) => (None, error.to_string(), error.to_string()),
        };
        if let (Some(401 | 403), true) = (status, delivery.is_signed) {
            log.remark(
                exchange,
                "the bot refused a signed webhook: is --app-secret the bot's?",
            );
        }
        log.answered(exchange, status, &answer);
        if status == Some(200) && delivery.message.is_some() {
            self.look_for_call(exchange);
        }
        (status != Some(200)).then_some(failure)
    }

    /// A bot that answers and never calls probably talks to the real Graph API.
    fn look_for_call(self: &Arc<Route>, exchange: u64) {
        let Some(url) = self.graph_url.clone().filter(|_| !self.log.is_called()) else {
            return;
        };
        let log = Arc::clone(&self.log);
        thread::spawn(move || {
            thread::sleep(CALLED_WITHIN);
            if !log.is_called() {
                log.remark(exchange, &not_called(&url));
            }
        });
    }
}

/// What is to be said of a bot that answers and does not call.
pub(crate) fn not_called(url: &str) -> String {
    format!(
        "the bot answered 200, but has not called {url}: does it still talk to graph.facebook.com?"
    )
}
