//! An outbox with a few senders and a Graph API, on a clock of its own: hours pass in microseconds.

use std::collections::HashMap;

use super::*;

/// A call, as the Graph API sees it.
pub(super) struct Call {
    pub(super) at: Duration,
    pub(super) person: String,
    pub(super) text: String,
}

/// How the Graph API answers a call.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Whether the person sees the message, whatever is answered.
    pub(super) is_shown: bool,
    pub(super) after: Duration,
}

pub(super) fn answer(outcome: Outcome) -> Answer {
    Answer {
        outcome,
        is_shown: outcome == Outcome::Delivered,
        after: Duration::from_millis(50),
    }
}

pub(super) const REFUSED: Outcome = Outcome::Refused { is_passing: false };
pub(super) const REFUSED_FOR_NOW: Outcome = Outcome::Refused { is_passing: true };

pub(super) struct World {
    pub(super) outbox: Outbox<u32>,
    start: Instant,
    now: Instant,
    api: Box<dyn FnMut(&Call) -> Answer>,
    in_flight: Vec<(Instant, Due, Outcome)>,
    pub(super) calls: Vec<Call>,
    /// When each text was written.
    written: HashMap<String, Duration>,
    /// What people see, in order.
    pub(super) shown: Vec<(Duration, String, String)>,
    pub(super) dropped: Vec<String>,
    pub(super) settled: Vec<String>,
    pub(super) notices: Vec<(Duration, Notice)>,
}

const SENDERS: usize = 62;

/// The same numbers each time for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// So many people write so many texts a second in turns.
pub(super) fn crowd(world: &mut World, people: usize, rate: f64, from: f64, to: f64) {
    let count = ((to - from) * rate).round() as usize;
    for n in 0..count {
        let at = seconds(from + n as f64 / rate);
        let person = format!("p{}", n % people);
        world.write(at, &person, &format!("{person} at {at:?}"));
    }
}

impl World {
    pub(super) fn new(api: impl FnMut(&Call) -> Answer + 'static) -> World {
        World::with(true, api)
    }

    pub(super) fn with(durable: bool, api: impl FnMut(&Call) -> Answer + 'static) -> World {
        let start = Instant::now();
        let limits = Limits {
            max_pending: 100_000,
            send_rate: 300,
            max_retries: SENDERS / 2,
            max_repeated: 1_000_000,
            durable,
        };
        World {
            outbox: Outbox::new(limits, Vec::new(), start),
            start,
            now: start,
            api: Box::new(api),
            in_flight: Vec::new(),
            calls: Vec::new(),
            written: HashMap::new(),
            shown: Vec::new(),
            dropped: Vec::new(),
            settled: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// A person writes a text at this time; nobody writes the same twice.
    pub(super) fn write(&mut self, at: Duration, person: &str, text: &str) {
        self.run(at);
        self.written.insert(text.to_string(), at);
        let mut echo = echo(person, text);
        if person.starts_with('i') {
            echo.platform = Platform::Instagram;
        }
        echo.timestamp = Some(1_700_000_000_000 + u64::try_from(at.as_millis()).expect("it fits"));
        let accepted = self.outbox.accept(vec![echo], 0, self.now);
        assert_eq!(accepted, Accepted::Waiting);
        while let Some(batch) = self.outbox.take_batch() {
            self.outbox.written(&batch, &Written::default(), self.now);
        }
    }

    /// The time goes on.
    pub(super) fn run(&mut self, until: Duration) {
        let end = self.start + until;
        loop {
            self.begin_calls();
            let ends = self.in_flight.iter().map(|call| call.0).min();
            let is_free = self.in_flight.len() < SENDERS;
            let due = self.outbox.next_time(self.now).filter(|_| is_free);
            let next = ends.into_iter().chain(due).min();
            let Some(next) = next.filter(|next| *next < end) else {
                break;
            };
            assert!(
                ends == Some(next) || next > self.now,
                "what is due is taken"
            );
            self.now = next.max(self.now);
            self.end_calls();
            while let Some(batch) = self.outbox.take_batch() {
                self.outbox.written(&batch, &Written::default(), self.now);
            }
        }
        self.now = end.max(self.now);
    }

    fn begin_calls(&mut self) {
        while self.in_flight.len() < SENDERS
            && let Some(due) = self.outbox.take(self.now)
        {
            let call = Call {
                at: self.now - self.start,
                person: due.echo.recipient.to_string(),
                text: due.text().to_string(),
            };
            let Answer {
                outcome,
                is_shown,
                after,
            } = (self.api)(&call);
            if is_shown {
                let shown = (call.at, call.person.clone(), call.text.clone());
                self.shown.push(shown);
            }
            self.calls.push(call);
            self.in_flight.push((self.now + after, due, outcome));
        }
    }

    fn end_calls(&mut self) {
        let now = self.now;
        let (ended, still): (Vec<_>, Vec<_>) =
            self.in_flight.drain(..).partition(|call| call.0 <= now);
        self.in_flight = still;
        for (_, due, outcome) in ended {
            let ended = self.outbox.ended(&due, outcome, now);
            match ended.fate {
                Fate::Dropped => self.dropped.push(due.text().to_string()),
                Fate::Settled => self.settled.push(due.text().to_string()),
                _ => {}
            }
            let notice = ended.notice.map(|notice| (now - self.start, notice));
            self.notices.extend(notice);
        }
    }

    /// How long each text that was shown took to be shown first, but for those of these people.
    pub(super) fn delays(&self, but_for: &[&str]) -> Vec<Duration> {
        let mut first: HashMap<&str, Duration> = HashMap::new();
        for (at, person, text) in &self.shown {
            if !but_for.contains(&person.as_str()) {
                first.entry(text).or_insert(*at);
            }
        }
        let delays = first.into_iter().map(|(text, at)| at - self.written[text]);
        let mut delays: Vec<Duration> = delays.collect();
        delays.sort();
        delays
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.written.keys().map(String::as_str)
    }

    pub(super) fn written_at(&self, text: &str) -> Duration {
        self.written[text]
    }

    pub(super) fn copies(&self, text: &str) -> usize {
        self.shown.iter().filter(|shown| shown.2 == text).count()
    }

    fn all_copies(&self) -> HashMap<&str, usize> {
        let mut copies = HashMap::new();
        for (_, _, text) in &self.shown {
            *copies.entry(text.as_str()).or_default() += 1;
        }
        copies
    }

    /// Of the text that is shown most often.
    pub(super) fn most_copies(&self) -> usize {
        self.all_copies().into_values().max().unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn assert_all_shown_once_and_in_order(&self) {
        let mut last: HashMap<&str, Duration> = HashMap::new();
        let copies = self.all_copies();
        for text in self.written.keys() {
            assert_eq!(copies.get(text.as_str()), Some(&1), "{text}");
        }
        for (_, person, text) in &self.shown {
            let written = self.written[text];
            let before = last.insert(person, written);
            assert!(before.is_none_or(|before| before <= written), "{text}");
        }
        assert_eq!(self.outbox.owed(), 0);
    }

    /// Calls that began between these times.
    pub(super) fn calls_between(&self, from: Duration, to: Duration) -> usize {
        let calls = self.calls.iter();
        calls.filter(|call| from <= call.at && call.at < to).count()
    }
}
