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
//! So recipient queues, retries and holds stay those of [`Outbox`](crate::outbox::Outbox). The writer appends and commits in
//! one exchange with the server; a thread of its own asks for the lease and tails the log. The lease is short, and a call
//! begins only if it ends before the lease does. A commit carries the epoch of the lease, and is refused when another
//! process has the lease by now. Only this folder names the `redis` crate. A program without the feature `redis` has
//! `shared/absent.rs` in its place.

mod address;
mod leader;
mod record;
mod verbs;
mod worth;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use self::address::Address;
pub(crate) use self::leader::Leader;
use self::verbs::Log;

use crate::outbox::{WriteBatch, Written};

/// What the writer and the leader tell each other.
struct Shared {
    address: Address,
    /// The epoch of our lease; 0 without one.
    epoch: AtomicU64,
    /// Whether it was told that the server cannot be used.
    is_away: AtomicBool,
}

impl Shared {
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Tells when the server goes away, and when it is back.
    fn note<T>(&self, result: &Result<T, String>) {
        let was_away = self.is_away.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !was_away => log::error!(
                "{error}; until it is back webhooks are refused, and Messenger keeps them"
            ),
            Ok(_) if was_away => log::info!("the shared outbox is back"),
            _ => {}
        }
    }
}

/// The log, as the writer has it.
pub(crate) struct SharedLog {
    shared: Arc<Shared>,
    log: Log,
    max_pending: usize,
}

impl SharedLog {
    pub(crate) fn new(address: &Address, max_pending: usize) -> SharedLog {
        SharedLog {
            log: Log::new(address),
            max_pending,
            shared: Arc::new(Shared {
                address: address.clone(),
                epoch: AtomicU64::new(0),
                is_away: AtomicBool::new(false),
            }),
        }
    }

    pub(crate) fn leader(&self) -> Leader {
        Leader::new(&self.shared)
    }

    /// Appends accepted echoes to the log, from where the leader's process sends them, and commits what this process has
    /// sent, unless another process sends by now.
    ///
    /// # Errors
    /// When it may not have been written; it may be written again.
    pub(crate) fn commit(&mut self, batch: &WriteBatch) -> Result<Written, String> {
        let epoch = self.shared.epoch();
        let written = self.log.write(epoch, self.max_pending, batch);
        self.shared.note(&written);
        let (is_ours, written) = written?;
        let count = batch.ends();
        if !is_ours && count > 0 {
            log::warn!(
                "another process sends by now: what was sent last may come twice, {count} messages at most"
            );
        }
        Ok(written)
    }
}

/// What `echobot check` finds: what a 200 is worth, and how much is owed.
pub(crate) fn check(address: &Address) -> Result<String, String> {
    let mut log = Log::new(address);
    let worth = worth::of(&mut log)?;
    log.try_to_append()?;
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
