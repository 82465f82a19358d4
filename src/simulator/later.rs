//! Answers that wait for their time, without a thread each.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::door::{self, Request};

/// Gives answers when it is time. One thread must [`run`](Self::run) it.
#[derive(Default)]
pub(super) struct Later {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    answers: BinaryHeap<Reverse<Answer>>,
    count: u64,
    closed: bool,
}

struct Answer {
    at: Instant,
    number: u64,
    request: Request,
    answer: door::Answer,
}

impl Later {
    /// Answers after this time; at once, if there is none.
    pub(super) fn answer(&self, request: Request, answer: door::Answer, after: Duration) {
        if after.is_zero() {
            return request.respond(&answer);
        }
        let mut waiting = self.lock();
        waiting.count += 1;
        let (at, number) = (Instant::now() + after, waiting.count);
        waiting.answers.push(Reverse(Answer {
            at,
            number,
            request,
            answer,
        }));
        self.changed.notify_all();
    }

    /// Gives the answers in time, until it is closed.
    pub(super) fn run(&self) {
        let mut waiting = self.lock();
        while !waiting.closed {
            let now = Instant::now();
            let next = waiting.answers.peek().map(|Reverse(answer)| answer.at);
            waiting = match next {
                Some(at) if at <= now => {
                    let due = waiting.answers.pop();
                    drop(waiting);
                    if let Some(Reverse(due)) = due {
                        due.request.respond(&due.answer);
                    }
                    self.lock()
                }
                Some(at) => {
                    let waited = self.changed.wait_timeout(waiting, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Answers that are not given by now are never given.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ord for Answer {
    fn cmp(&self, other: &Answer) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Answer {
    fn partial_cmp(&self, other: &Answer) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Answer) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Answer {}
