//! What is owed: accept, next due, settle, postpone.
//!
//! A lane per person: a queue of echoes with at most one call of the Send API in flight, so that
//! echoes to one person go out in order, and one person's trouble delays nobody else. A plain
//! data structure: it takes no locks and asks no clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::echo::{self, Echo};
use crate::event::Platform;
use crate::seen::{MidDigest, Seen};

/// Echoes owed at most; above it webhooks are refused, and Messenger keeps them.
const MAX_PENDING: usize = 100_000;

/// A webhook is answered by then, whatever has become of its echoes: Messenger gives up after
/// 5 s (Messenger Platform, "Webhooks").
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// The pause before the first retry; doubled for each one after it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const SLOWEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// An echo is given up this long after its message came: outside this window the Send API
/// refuses it anyway (Messenger Platform, "24-hour standard messaging window").
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The echoes owed, and the callers who wait for them: `R` is whatever is to be answered when
/// the echoes of a webhook are settled.
pub struct Outbox<R> {
    owed: HashMap<EchoId, Owed>,
    lanes: HashMap<Person, Lane>,
    /// The lanes that wait, by the time at which they are due; equal times in order of entry.
    due: BinaryHeap<Reverse<(Instant, u64, Person)>>,
    entered: u64,
    owed_mids: HashMap<MidDigest, EchoId>,
    seen: Seen,
    /// In order of their deadlines: every receipt waits for the same time.
    receipts: BTreeMap<ReceiptId, Receipt<R>>,
    next_id: u64,
    jitter: RandomState,
}

type EchoId = u64;
type ReceiptId = u64;
type Person = (Platform, Arc<str>);

struct Owed {
    echo: Arc<Echo>,
    mid: Option<MidDigest>,
    /// Bytes of the text that have been sent.
    sent: usize,
    since: Instant,
    waiting: Vec<ReceiptId>,
}

/// Echoes to one person. The first one is in flight, or the lane stands in `due`.
#[derive(Default)]
struct Lane {
    queue: VecDeque<EchoId>,
    failures: u32,
}

struct Receipt<R> {
    caller: R,
    deadline: Instant,
    open: usize,
}

/// What has become of a webhook.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted<R> {
    /// Nothing of it is owed any more: answer the caller that it is safe.
    Settled(R),
    /// Its echoes are owed; the caller comes back from [`Outbox::settle`] or [`Outbox::late`].
    Waiting,
    /// Too much is owed already; nothing of it was taken.
    Full(R),
}

/// One call of the Send API that is to be made now.
#[derive(Debug, Clone)]
pub struct Due {
    id: EchoId,
    /// The echo that it is a part of.
    pub echo: Arc<Echo>,
    start: usize,
    end: usize,
    /// When the message came.
    pub since: Instant,
}

impl Due {
    /// The text to send: the whole echo, or the next part of a long one.
    pub fn text(&self) -> &str {
        &self.echo.text[self.start..self.end]
    }

    /// Whether the echo is complete with it.
    pub fn is_last_part(&self) -> bool {
        self.end == self.echo.text.len()
    }
}

impl<R> Default for Outbox<R> {
    /// An outbox in which nothing is owed.
    fn default() -> Outbox<R> {
        Outbox {
            owed: HashMap::new(),
            lanes: HashMap::new(),
            due: BinaryHeap::new(),
            entered: 0,
            owed_mids: HashMap::new(),
            seen: Seen::new(),
            receipts: BTreeMap::new(),
            next_id: 0,
            jitter: RandomState::new(),
        }
    }
}

impl<R> Outbox<R> {
    /// Takes the echoes of one webhook, all or none. A message that is owed already is joined,
    /// one that was settled is passed over.
    pub fn accept(&mut self, echoes: Vec<Echo>, caller: R, now: Instant) -> Accepted<R> {
        if self.owed.len() + echoes.len() > MAX_PENDING && !echoes.is_empty() {
            return Accepted::Full(caller);
        }
        let receipt = self.new_id();
        let mut open = 0;
        for echo in echoes {
            let mid = echo.mid.as_deref().map(MidDigest::of);
            if mid.is_some_and(|mid| self.seen.contains(&mid)) {
                log::info!(
                    "already echoed: mid {}",
                    echo.mid.as_deref().unwrap_or_default()
                );
                continue;
            }
            open += 1;
            let owed_already = mid.and_then(|mid| self.owed_mids.get(&mid).copied());
            let id = owed_already.unwrap_or_else(|| self.owe(echo, mid, now));
            let owed = self
                .owed
                .get_mut(&id)
                .expect("owed_mids names only what is owed");
            owed.waiting.push(receipt);
        }
        if open == 0 {
            return Accepted::Settled(caller);
        }
        let deadline = now + ANSWER_WITHIN;
        self.receipts.insert(
            receipt,
            Receipt {
                caller,
                deadline,
                open,
            },
        );
        Accepted::Waiting
    }

    /// The call that is to be made next, if one is due. Its lane waits until it is settled or
    /// postponed.
    pub fn next_due(&mut self, now: Instant) -> Option<Due> {
        let Reverse((time, _, _)) = self.due.peek()?;
        if *time > now {
            return None;
        }
        let Reverse((_, _, person)) = self.due.pop()?;
        let id = *self.lanes.get(&person)?.queue.front()?;
        let owed = self.owed.get(&id)?;
        let rest = &owed.echo.text[owed.sent..];
        let part = echo::first_part(rest, owed.echo.platform);
        Some(Due {
            id,
            echo: Arc::clone(&owed.echo),
            start: owed.sent,
            end: owed.sent + part.len(),
            since: owed.since,
        })
    }

    /// The text of this call was delivered. Returns the callers whose webhooks are safe now.
    pub fn settle(&mut self, due: &Due, now: Instant) -> Vec<R> {
        if due.is_last_part() {
            return self.drop_echo(due, now);
        }
        if let Some(owed) = self.owed.get_mut(&due.id) {
            owed.sent = due.end;
        }
        let person = person(&due.echo);
        if let Some(lane) = self.lanes.get_mut(&person) {
            lane.failures = 0;
            self.enter(person, now);
        }
        Vec::new()
    }

    /// The echo is not owed any more, delivered or refused for good. Returns the callers whose
    /// webhooks are safe now.
    pub fn drop_echo(&mut self, due: &Due, now: Instant) -> Vec<R> {
        let person = person(&due.echo);
        if let Some(lane) = self.lanes.get_mut(&person) {
            lane.queue.pop_front();
            lane.failures = 0;
            if lane.queue.is_empty() {
                self.lanes.remove(&person);
            } else {
                self.enter(person, now);
            }
        }
        let Some(owed) = self.owed.remove(&due.id) else {
            return Vec::new();
        };
        if let Some(mid) = owed.mid {
            self.owed_mids.remove(&mid);
            self.seen.insert(mid);
        }
        owed.waiting
            .into_iter()
            .filter_map(|receipt| self.redeem(receipt))
            .collect()
    }

    /// The call failed for now. Returns the pause until the next try; none when the echo is too
    /// old for one, and is to be dropped.
    pub fn postpone(&mut self, due: &Due, now: Instant) -> Option<Duration> {
        if now.duration_since(due.since) >= GIVE_UP_AFTER {
            return None;
        }
        let person = person(&due.echo);
        let lane = self.lanes.get_mut(&person)?;
        let longest = FIRST_RETRY
            .saturating_mul(1 << lane.failures.min(16))
            .min(SLOWEST_RETRY);
        lane.failures += 1;
        let pause = self.jittered(longest);
        self.enter(person, now + pause);
        Some(pause)
    }

    /// The callers who have waited as long as Messenger does. Their echoes stay owed.
    pub fn late(&mut self, now: Instant) -> Vec<R> {
        let mut late = Vec::new();
        while let Some(first) = self.receipts.first_entry() {
            if first.get().deadline > now {
                break;
            }
            late.push(first.remove().caller);
        }
        late
    }

    /// When [`next_due`](Self::next_due) has something to give.
    pub fn next_time(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((time, _, _))| *time)
    }

    /// When [`late`](Self::late) has somebody to give.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (_, first) = self.receipts.first_key_value()?;
        Some(first.deadline)
    }

    /// How many echoes are owed.
    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.owed.len() >= MAX_PENDING
    }

    fn owe(&mut self, echo: Echo, mid: Option<MidDigest>, now: Instant) -> EchoId {
        let id = self.new_id();
        let echo = Arc::new(echo);
        let person = person(&echo);
        let lane = self.lanes.entry(person.clone()).or_default();
        lane.queue.push_back(id);
        if lane.queue.len() == 1 {
            self.enter(person, now);
        }
        if let Some(mid) = mid {
            self.owed_mids.insert(mid, id);
        }
        let owed = Owed {
            echo,
            mid,
            sent: 0,
            since: now,
            waiting: Vec::new(),
        };
        self.owed.insert(id, owed);
        id
    }

    fn enter(&mut self, person: Person, time: Instant) {
        self.entered += 1;
        self.due.push(Reverse((time, self.entered, person)));
    }

    fn redeem(&mut self, id: ReceiptId) -> Option<R> {
        let receipt = self.receipts.get_mut(&id)?;
        receipt.open -= 1;
        if receipt.open > 0 {
            return None;
        }
        self.receipts.remove(&id).map(|receipt| receipt.caller)
    }

    /// A time between nothing and `longest`, so that retries after an outage do not come all at
    /// once.
    fn jittered(&self, longest: Duration) -> Duration {
        let random = self.jitter.hash_one(self.entered);
        longest.mul_f64(random as f64 / u64::MAX as f64)
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

fn person(echo: &Echo) -> Person {
    (echo.platform, Arc::clone(&echo.recipient))
}
