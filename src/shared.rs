//! An outbox that several processes share, in Redis or Valkey: one log to which every process appends what it has
//! accepted, and one process that sends.
//!
//! ```text
//! webhook ─► any process: append ─► 200
//!                           │ log
//! the one with the lease: tail ─► outbox ─► Send API
//!                           └──◄ commit: sent, done
//! ```
//!
//! So recipient queues, retries and holds stay those of [`Outbox`](crate::outbox::Outbox). The lease is short, and a
//! call begins only if it ends before the lease does. What the sender writes carries the epoch of its lease: when
//! another one sends by now, it is refused. Only this folder names the `redis` crate.

mod address;
mod appender;
mod leader;
mod record;
mod verbs;
mod worth;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use self::address::{Address, SharedError};
pub(crate) use self::appender::{Answers, Appender};
pub(crate) use self::leader::Leader;
use self::verbs::{Appended, Log};

use crate::clock;
use crate::outbox::WriteBatch;

/// The shared outbox, as the threads of this process have it.
pub(crate) struct Shared {
    address: Arc<Address>,
    /// The epoch of our lease; 0 without one.
    epoch: AtomicU64,
    /// Whether the server cannot be used.
    is_away: AtomicBool,
    /// Until when it counts as full, in milliseconds since 1970: whoever looks after its health sends it no webhooks
    /// until then, and nobody else finds out that there is room again.
    full_until: AtomicU64,
}

impl Shared {
    pub(crate) fn new(address: &Address) -> Arc<Shared> {
        Arc::new(Shared {
            address: Arc::new(address.clone()),
            epoch: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            full_until: AtomicU64::new(0),
        })
    }

    /// Whether webhooks are taken.
    pub(crate) fn is_ok(&self) -> bool {
        let is_full = clock::now() < self.full_until.load(Ordering::Relaxed);
        !self.is_away.load(Ordering::Relaxed) && !is_full
    }

    /// Whether this process sends.
    pub(crate) fn leads(&self) -> bool {
        self.epoch.load(Ordering::Relaxed) != 0
    }

    /// Tells when the server goes away, and when it is back.
    fn note<T>(&self, result: &Result<T, SharedError>) {
        match (
            result,
            self.is_away.swap(result.is_err(), Ordering::Relaxed),
        ) {
            (Err(error), false) => log::error!(
                "{error}; until it is back webhooks are refused, and Messenger keeps them"
            ),
            (Ok(_), true) => log::info!("the shared outbox is back"),
            _ => {}
        }
    }
}

/// Writes what was sent.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    log: Log,
}

impl Committer {
    pub(crate) fn new(shared: &Arc<Shared>) -> Committer {
        Committer {
            log: Log::new(&shared.address),
            shared: Arc::clone(shared),
        }
    }

    /// Writes this batch, unless another process sends by now: then it is that one's business.
    ///
    /// # Errors
    /// When it may not have been written; it may be written again.
    pub(crate) fn commit(&mut self, batch: &WriteBatch) -> Result<(), SharedError> {
        let epoch = self.shared.epoch.load(Ordering::Relaxed);
        let is_written = epoch != 0 && {
            let written = self.log.commit(epoch, batch);
            self.shared.note(&written);
            written?
        };
        if !is_written {
            let count = batch.sent.len() + batch.done.len();
            log::warn!(
                "another process sends by now: what was sent last may come twice, {count} messages at most"
            );
        }
        Ok(())
    }
}

/// What `echobot check` finds: what a 200 is worth, and how much is owed.
pub(crate) fn check(address: &Address) -> Result<String, String> {
    let mut log = Log::new(&Arc::new(address.clone()));
    let worth = worth::of(&mut log)?;
    // An empty webhook is written as every other.
    if let Some(Appended::Refused(why)) = log.append(1, &[&[]])?.pop() {
        return Err(why);
    }
    let (owed, is_sending) = log.state()?;
    let sending = match is_sending {
        true => "a process sends",
        false => "no process sends",
    };
    match worth.eviction {
        Some(eviction) => Err(eviction),
        None => Ok(format!(
            "{}; {owed} echoes are owed, and {sending}",
            worth.durability
        )),
    }
}
