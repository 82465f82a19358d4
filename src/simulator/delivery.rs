//! Delivery of webhooks: each person's over the same connection, again until it is answered 200.

use std::sync::Arc;
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

/// A webhook on its way, and the message in it.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) body: Vec<u8>,
    pub(super) message: Option<u64>,
    pub(super) is_signed: bool,
}

/// The connections. They end when this is dropped.
pub(super) struct Connections(Vec<Sender<Delivery>>);

impl Connections {
    pub(super) fn open(messenger: &Arc<Messenger>, log: &Arc<EventLog>) -> Connections {
        let connect = || {
            let (sender, deliveries) = mpsc::channel();
            let (messenger, log) = (Arc::clone(messenger), Arc::clone(log));
            thread::spawn(move || deliver_all(&deliveries, &messenger, &log));
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

/// Delivers webhooks one after the other. An unsigned one is not Messenger's and comes once.
fn deliver_all(deliveries: &Receiver<Delivery>, messenger: &Messenger, log: &EventLog) {
    for delivery in deliveries {
        let mut left = if delivery.is_signed { REDELIVERIES } else { 0 };
        while !deliver(&delivery, messenger, log) && left > 0 {
            left -= 1;
            thread::sleep(REDELIVERY);
        }
    }
}

/// Delivers a webhook once; whether it was answered 200.
fn deliver(delivery: &Delivery, messenger: &Messenger, log: &EventLog) -> bool {
    let mut headers = messenger.headers(&delivery.body);
    if !delivery.is_signed {
        headers.retain(|(name, _)| *name != "X-Hub-Signature-256");
    }
    let mut request = format!("POST {} HTTP/1.1\n", messenger.target());
    for (name, value) in &headers {
        request += &format!("{name}: {value}\n");
    }
    request = request + "\n" + &String::from_utf8_lossy(&delivery.body);
    let exchange = log.requested("webhook", delivery.message, &request);
    let (status, answer) = match messenger.post(&headers, &delivery.body) {
        Ok(answer) => (Some(answer.status), answer.body),
        Err(error) => (None, error.to_string()),
    };
    log.answered(exchange, status, &answer);
    status == Some(200)
}
