//! Messenger's delivery: over many connections at once, again and again until the answer is 200.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::Messenger;

/// The pause before a redelivery. Messenger's own is not documented ("immediately").
const PAUSE: Duration = Duration::from_millis(50);

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// Connections at once.
    pub connections: usize,
    /// Webhooks a second at most, all connections together; none: as fast as they are answered.
    pub rate: Option<u32>,
    /// How long a webhook is delivered again and again.
    pub patience: Duration,
}

/// A webhook that was answered 200.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// Its place among the webhooks.
    pub number: usize,
    /// When it was answered.
    pub at: Instant,
    /// How long the answer took, the last time it was delivered.
    pub took: Duration,
    /// How often it was delivered.
    pub deliveries: u32,
}

impl Delivery {
    /// Delivers these webhooks, each with the number of its person. One person's webhooks go over
    /// the same connection, one after the other: the next when the one before is answered 200, or
    /// given up. Returns those that were answered, in the order in which they were.
    pub fn deliver(
        &self,
        messenger: &Messenger,
        webhooks: &[(usize, Vec<u8>)],
    ) -> Vec<Acknowledged> {
        let begun = AtomicUsize::new(0);
        let start = Instant::now();
        let deliver = |connection: usize| -> Vec<Acknowledged> {
            let webhooks = webhooks.iter().enumerate();
            let own = webhooks.filter(|(_, (person, _))| person % self.connections == connection);
            let answered = own.filter_map(|(number, (_, body))| {
                self.wait_for_turn(start, begun.fetch_add(1, Ordering::Relaxed));
                self.deliver_one(messenger, number, body)
            });
            answered.collect()
        };
        let mut answered: Vec<Acknowledged> = thread::scope(|scope| {
            let deliver = &deliver;
            let connections: Vec<_> = (0..self.connections)
                .map(|connection| scope.spawn(move || deliver(connection)))
                .collect();
            let answered = connections.into_iter();
            answered
                .flat_map(|connection| connection.join().expect("it only delivers"))
                .collect()
        });
        answered.sort_by_key(|acknowledged| acknowledged.at);
        answered
    }

    fn wait_for_turn(&self, start: Instant, turn: usize) {
        if let Some(rate) = self.rate {
            let at = start + Duration::from_secs_f64(turn as f64 / f64::from(rate));
            thread::sleep(at.saturating_duration_since(Instant::now()));
        }
    }

    fn deliver_one(
        &self,
        messenger: &Messenger,
        number: usize,
        body: &[u8],
    ) -> Option<Acknowledged> {
        let begun = Instant::now();
        let mut deliveries = 0;
        while begun.elapsed() < self.patience {
            deliveries += 1;
            if let Ok(answer) = messenger.deliver(body)
                && answer.status == 200
            {
                return Some(Acknowledged {
                    number,
                    at: Instant::now(),
                    took: answer.took,
                    deliveries,
                });
            }
            thread::sleep(PAUSE);
        }
        None
    }
}
