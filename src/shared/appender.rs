//! Appends what receivers accept: all that has come meanwhile in one exchange with the server.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::Level;

use super::verbs::{Appended, Log};
use super::{Shared, SharedError};
use crate::clock;
use crate::echo::Echo;
use crate::rate_limited_log::RateLimitedLog;

/// Webhooks that are appended at once.
const MAX_BATCH: usize = 256;

/// So many milliseconds after a webhook was refused.
const COUNTS_AS_FULL: u64 = 5_000;

/// Takes echoes with their callers: `R` is whatever is to be answered when a webhook is safe.
pub(crate) struct Appender<R> {
    shared: Arc<Shared>,
    max_pending: usize,
    queue: Sender<Option<Webhook<R>>>,
    queued: Mutex<Receiver<Option<Webhook<R>>>>,
    refusals: RateLimitedLog,
}

struct Webhook<R> {
    echoes: Vec<Echo>,
    caller: R,
}

/// The callers that are to be answered.
pub(crate) struct Answers<R> {
    /// Their webhooks are safe.
    pub(crate) safe: Vec<R>,
    /// Theirs are not.
    pub(crate) refused: Vec<R>,
}

impl<R> Appender<R> {
    pub(crate) fn new(shared: &Arc<Shared>, max_pending: usize) -> Appender<R> {
        let (queue, queued) = mpsc::channel();
        Appender {
            shared: Arc::clone(shared),
            max_pending,
            queue,
            queued: Mutex::new(queued),
            refusals: RateLimitedLog::new(module_path!(), Duration::from_secs(1)),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The caller is answered when these echoes are in the log, or cannot be.
    pub(crate) fn append(&self, echoes: Vec<Echo>, caller: R) {
        let _ = self.queue.send(Some(Webhook { echoes, caller }));
    }

    /// Lets [`run`](Self::run) return when all before is appended.
    pub(crate) fn stop(&self) {
        let _ = self.queue.send(None);
    }

    /// What the appender's thread does.
    pub(crate) fn run(&self, answer: impl Fn(Answers<R>)) {
        let queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = Log::new(&self.shared.address);
        while let Ok(Some(first)) = queued.recv() {
            let mut is_stopping = false;
            let mut webhooks = vec![first];
            while webhooks.len() < MAX_BATCH && !is_stopping {
                match queued.try_recv() {
                    Ok(Some(webhook)) => webhooks.push(webhook),
                    Ok(None) => is_stopping = true,
                    Err(_) => break,
                }
            }
            let echoes: Vec<&[Echo]> = webhooks.iter().map(|one| &*one.echoes).collect();
            let appended = log.append(self.max_pending, &echoes);
            self.shared.note(&appended);
            answer(self.sort(webhooks, appended));
            if is_stopping {
                return;
            }
        }
    }

    fn sort(
        &self,
        webhooks: Vec<Webhook<R>>,
        appended: Result<Vec<Appended>, SharedError>,
    ) -> Answers<R> {
        let (mut safe, mut refused) = (Vec::new(), Vec::new());
        let mut appended = appended.unwrap_or_default().into_iter();
        for Webhook { caller, .. } in webhooks {
            let why = match appended.next() {
                Some(Appended::Safe) => {
                    safe.push(caller);
                    continue;
                }
                Some(Appended::Full) => Some(
                    "as many echoes are owed as MAX_PENDING allows, in all or to one person"
                        .to_string(),
                ),
                Some(Appended::Refused(why)) => Some(why),
                // That it is away was told.
                None => None,
            };
            refused.push(caller);
            if let Some(why) = why {
                let line = format_args!("webhook refused: {why}");
                self.refusals.log("append", Level::Error, line);
            }
        }
        let full_until = if safe.is_empty() {
            clock::now() + COUNTS_AS_FULL
        } else {
            0
        };
        self.shared.full_until.store(full_until, Ordering::Relaxed);
        Answers { safe, refused }
    }
}
