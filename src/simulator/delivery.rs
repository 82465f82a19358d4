//! Delivery of webhooks: each person's over the same connection, again until it is answered 200.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::Messenger;
use super::event_log::EventLog;

/// Connections over which webhooks are delivered.
const CONNECTIONS: usize = 8;

/// The pause before a redelivery, and how many there are.
const REDELIVERY: Duration = Duration::from_secs(1);
const REDELIVERIES: u32 = 30;

/// The bot calls within this time, or the log says that it has not.
const CALLED_WITHIN: Duration = Duration::from_secs(5);

/// A webhook on its way, and the message in it.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) body: Vec<u8>,
    pub(super) message: Option<u64>,
    pub(super) is_signed: bool,
    /// The exchange that it repeats.
    pub(super) group: Option<u64>,
}

/// The connections. They end when this is dropped.
pub(super) struct Connections(Vec<Sender<Delivery>>);

/// What the connections share.
pub(super) struct Route {
    pub(super) messenger: Arc<Messenger>,
    pub(super) log: Arc<EventLog>,
    /// Where the Graph API is, if another bot has to be told.
    pub(super) graph_url: Option<String>,
    /// Whether the bot has called it.
    pub(super) is_called: Arc<AtomicBool>,
}

impl Connections {
    pub(super) fn open(route: &Arc<Route>) -> Connections {
        let connect = || {
            let (sender, deliveries) = mpsc::channel();
            let route = Arc::clone(route);
            thread::spawn(move || route.deliver_all(&deliveries));
            sender
        };
        Connections(std::iter::repeat_with(connect).take(CONNECTIONS).collect())
    }

    pub(super) fn send(&self, person: &str, delivery: Delivery) {
        let number = person.bytes().map(usize::from).sum::<usize>() % CONNECTIONS;
        // It fails only when the connection's thread has panicked.
        let _ = self.0[number].send(delivery);
    }
}

impl Route {
    /// Delivers webhooks one after the other. An unsigned one is not Messenger's and comes once.
    fn deliver_all(self: &Arc<Route>, deliveries: &Receiver<Delivery>) {
        for mut delivery in deliveries {
            let mut left = if delivery.is_signed { REDELIVERIES } else { 0 };
            let mut failure = self.deliver(&mut delivery);
            while failure.is_some() && left > 0 {
                left -= 1;
                thread::sleep(REDELIVERY);
                failure = self.deliver(&mut delivery);
            }
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
        let mut request = format!("POST {} HTTP/1.1\n", messenger.target());
        for (name, value) in &headers {
            request += &format!("{name}: {value}\n");
        }
        request = request + "\n" + &String::from_utf8_lossy(&delivery.body);
        let exchange = log.requested("webhook", delivery.message, delivery.group, &request);
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
        if status == Some(200) {
            self.look_for_call(exchange, delivery);
        }
        (status != Some(200)).then_some(failure)
    }

    /// A bot that answers and never calls probably talks to the real Graph API.
    fn look_for_call(self: &Arc<Route>, exchange: u64, delivery: &Delivery) {
        let is_heard = self.is_called.load(Ordering::Relaxed);
        let Some(url) = self
            .graph_url
            .clone()
            .filter(|_| !is_heard && delivery.message.is_some())
        else {
            return;
        };
        let route = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(CALLED_WITHIN);
            if !route.is_called.load(Ordering::Relaxed) {
                route.log.remark(exchange, &not_called(&url));
            }
        });
    }
}

/// What is to be said of a bot that answers and does not call.
pub(super) fn not_called(url: &str) -> String {
    format!(
        "the bot answered 200, but has not called {url}: does it still talk to graph.facebook.com?"
    )
}
