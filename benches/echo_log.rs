//! What has arrived at the Graph API: each message once, and each person's in order?

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::messages::{Messages, person};
use crate::program::Program;

/// Something is badly wrong when echoes take longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// One entry a message; filled in by many threads at once.
pub(crate) struct EchoLog {
    since: Instant,
    entries: Vec<Entry>,
    /// The newest message that each person was called for, counted from 1.
    newest: Vec<AtomicUsize>,
    misdirected: AtomicUsize,
    answered: AtomicUsize,
    /// So many answers are waited for.
    awaited: Mutex<usize>,
    reached: Condvar,
}

#[derive(Default)]
struct Entry {
    calls: AtomicU32,
    /// A newer message of the same person was called for first.
    is_overtaken: AtomicBool,
    /// In nanoseconds.
    answered_at: AtomicU64,
}

impl EchoLog {
    pub(crate) fn new(messages: &Messages) -> EchoLog {
        EchoLog {
            since: Instant::now(),
            entries: (0..messages.count).map(|_| Entry::default()).collect(),
            newest: (0..messages.people).map(|_| AtomicUsize::new(0)).collect(),
            misdirected: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            awaited: Mutex::new(usize::MAX),
            reached: Condvar::new(),
        }
    }

    /// The Graph API is called to tell this person this message.
    pub(crate) fn called(&self, recipient: usize, number: usize) {
        let of_person = number % self.newest.len();
        if recipient != person(of_person) {
            self.misdirected.fetch_add(1, SeqCst);
        }
        self.entries[number].calls.fetch_add(1, SeqCst);
        if self.newest[of_person].fetch_max(number + 1, SeqCst) > number + 1 {
            self.entries[number].is_overtaken.store(true, SeqCst);
        }
    }

    /// The Graph API has answered.
    pub(crate) fn answered(&self, number: usize) {
        let at = self.since.elapsed().as_nanos();
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        self.entries[number].answered_at.store(at, SeqCst);
        let answered = self.answered.fetch_add(1, SeqCst) + 1;
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if answered >= *awaited {
            self.reached.notify_all();
        }
    }

    /// When the Graph API answered the call for this message.
    pub(crate) fn answered_at(&self, number: usize) -> Instant {
        self.since + Duration::from_nanos(self.entries[number].answered_at.load(SeqCst))
    }

    /// Waits until the Graph API has answered so many calls in all.
    pub(crate) fn wait_for(&self, count: usize) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        *awaited = count;
        let is_short = |_: &mut usize| self.answered.load(SeqCst) < count;
        let waited = self.reached.wait_timeout_while(awaited, PATIENCE, is_short);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = usize::MAX;
        let answered = self.answered.load(SeqCst);
        assert!(answered >= count, "{answered} of {count} echoes came");
    }

    /// Stops the program, and panics unless each message was echoed once, each person's in order.
    pub(crate) fn check(&self, program: Program) {
        self.check_but(program, |_| false);
    }

    /// The same, but these messages might be overtaken.
    pub(crate) fn check_but(&self, program: Program, might_be_overtaken: impl Fn(usize) -> bool) {
        let name = program.stop();
        let calls = |entry: &Entry| entry.calls.load(SeqCst);
        let lost = self.entries.iter().filter(|entry| calls(entry) == 0);
        let doubled = self.entries.iter().filter(|entry| calls(entry) > 1);
        let overtaken = self.entries.iter().enumerate().filter(|(number, entry)| {
            entry.is_overtaken.load(SeqCst) && !might_be_overtaken(*number)
        });
        let found = [
            (lost.count(), "lost"),
            (doubled.count(), "doubled"),
            (overtaken.count(), "out of order"),
            (self.misdirected.load(SeqCst), "to the wrong person"),
        ];
        for (count, what) in found {
            let all = self.entries.len();
            assert!(count == 0, "{name}: {count} of {all} echoes are {what}");
        }
    }
}
