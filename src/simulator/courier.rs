//! Messenger's delivery: from many connections at once, again and again until it is answered 200.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Messenger;

/// The pause before a redelivery. Messenger's own is not documented ("immediately").
const PAUSE: Duration = Duration::from_millis(50);

/// Delivers webhooks over so many connections at once.
#[derive(Debug, Clone, Copy)]
pub struct Courier {
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

impl Courier {
    /// Delivers these webhooks. Those with the same `lane` go over the same connection, one after
    /// the other; a connection begins with the next one when the one before is answered 200, or
    /// given up. Returns those that were answered, in the order in which they were.
    pub fn deliver(
        &self,
        messenger: &Messenger,
        webhooks: &[(usize, Vec<u8>)],
    ) -> Vec<Acknowledged> {
        let answered = Mutex::new(Vec::new());
        let begun = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for connection in 0..self.connections {
                let (answered, begun) = (&answered, &begun);
                scope.spawn(move || {
                    let mine = webhooks.iter().enumerate();
                    for (number, (_, body)) in
                        mine.filter(|(_, (lane, _))| lane % self.connections == connection)
                    {
                        self.wait_for_turn(start, begun.fetch_add(1, Ordering::Relaxed));
                        if let Some(acknowledged) = self.deliver_one(messenger, number, body) {
                            answered
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(acknowledged);
                        }
                    }
                });
            }
        });
        let mut answered = answered
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        answered.sort_by_key(|acknowledged: &Acknowledged| acknowledged.at);
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
