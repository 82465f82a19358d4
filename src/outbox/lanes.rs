//! A lane per person: the order of echoes to one person, and when the next of them is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EchoId;
use crate::echo::Echo;
use crate::event::Platform;

/// The longest pause before the first retry; doubled for each one after it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest pause of all.
const SLOWEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// A person in the conversations of one platform.
pub(super) type Person = (Platform, Arc<str>);

pub(super) fn person(echo: &Echo) -> Person {
    (echo.platform, Arc::clone(&echo.recipient))
}

#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<Person, Lane>,
    /// Lanes that wait for their first try, and those that wait for another one: apart, so that
    /// people in trouble never take all the threads.
    fresh: Queue,
    retries: Queue,
    entered: u64,
    /// Retries that are in flight.
    retrying: usize,
    jitter: RandomState,
}

/// Lanes by the time at which they are due; equal times in order of entry.
type Queue = BinaryHeap<Reverse<(Instant, u64, Person)>>;

/// Echoes to one person, in order. The first one is in flight, or the lane stands in a queue.
#[derive(Default)]
struct Lane {
    echoes: VecDeque<EchoId>,
    failures: u32,
    in_flight: bool,
}

impl Lanes {
    /// Adds an echo to the end of its lane, or before those that `comes_before` says it precedes.
    /// What is in flight stays first.
    pub(super) fn add(
        &mut self,
        person: Person,
        id: EchoId,
        now: Instant,
        comes_before: impl Fn(EchoId) -> bool,
    ) {
        let lane = self.lanes.entry(person.clone()).or_default();
        let movable = lane.echoes.len() - usize::from(lane.in_flight);
        let after = lane.echoes.iter().rev().take(movable);
        let passed = after.take_while(|other| comes_before(**other)).count();
        lane.echoes.insert(lane.echoes.len() - passed, id);
        if lane.echoes.len() == 1 {
            self.enter(person, now);
        }
    }

    /// Takes the first echo of the lane that is due longest, at most `max_retries` of them
    /// retries at once. The lane waits until it is told what came of it.
    pub(super) fn take_due(&mut self, now: Instant, max_retries: usize) -> Option<EchoId> {
        let queue = self.next_queue(max_retries)?;
        if queue.peek()?.0.0 > now {
            return None;
        }
        let Reverse((_, _, person)) = queue.pop()?;
        let lane = self.lanes.get_mut(&person)?;
        lane.in_flight = true;
        self.retrying += usize::from(lane.failures > 0);
        lane.echoes.front().copied()
    }

    /// When [`take_due`](Self::take_due) has something to give.
    pub(super) fn next_time(&mut self, max_retries: usize) -> Option<Instant> {
        let queue = self.next_queue(max_retries)?;
        queue.peek().map(|Reverse((time, _, _))| *time)
    }

    /// The echo in flight is done with; the next one is due.
    pub(super) fn advance(&mut self, person: Person, now: Instant) {
        let Some(lane) = self.land(&person) else {
            return;
        };
        lane.echoes.pop_front();
        lane.failures = 0;
        if lane.echoes.is_empty() {
            self.lanes.remove(&person);
        } else {
            self.enter(person, now);
        }
    }

    /// The echo in flight is due again: its next part, or all of it.
    pub(super) fn go_on(&mut self, person: Person, now: Instant, is_well: bool) {
        let Some(lane) = self.land(&person) else {
            return;
        };
        if is_well {
            lane.failures = 0;
        }
        self.enter(person, now);
    }

    /// The echo in flight is due again after a pause. Returns the pause.
    pub(super) fn pause(&mut self, person: Person, now: Instant) -> Duration {
        let jitter = self.jitter.hash_one(self.entered) as f64 / u64::MAX as f64;
        let Some(lane) = self.land(&person) else {
            return Duration::ZERO;
        };
        let longest = FIRST_RETRY.saturating_mul(1 << lane.failures.min(16));
        // Any time up to the longest: retries after an outage are not to come all at once.
        let pause = longest.min(SLOWEST_RETRY).mul_f64(jitter);
        lane.failures += 1;
        self.enter(person, now + pause);
        pause
    }

    /// The lane whose echo has come back from its flight.
    fn land(&mut self, person: &Person) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(person)?;
        lane.in_flight = false;
        self.retrying -= usize::from(lane.failures > 0);
        Some(lane)
    }

    fn enter(&mut self, person: Person, time: Instant) {
        self.entered += 1;
        let is_retry = self
            .lanes
            .get(&person)
            .is_some_and(|lane| lane.failures > 0);
        let queue = if is_retry {
            &mut self.retries
        } else {
            &mut self.fresh
        };
        queue.push(Reverse((time, self.entered, person)));
    }

    /// The queue whose first lane is due first.
    fn next_queue(&mut self, max_retries: usize) -> Option<&mut Queue> {
        let time = |queue: &Queue| {
            queue
                .peek()
                .map(|Reverse((time, number, _))| (*time, *number))
        };
        let retry = time(&self.retries).filter(|_| self.retrying < max_retries);
        match (time(&self.fresh), retry) {
            (None, None) => None,
            (Some(fresh), Some(retry)) if retry < fresh => Some(&mut self.retries),
            (None, Some(_)) => Some(&mut self.retries),
            (Some(_), _) => Some(&mut self.fresh),
        }
    }
}
