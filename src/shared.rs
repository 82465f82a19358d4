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
//! process has the lease by now.
//!
//! After an error, a new connection or a refused commit this process begins no call until it has asked for the lease and
//! has read the log anew: the server may be another one by then, or have lost something.
//!
//! Only this folder names the `redis` crate. A program without the feature `redis` has `shared/absent.rs` in its place.

mod leader;
mod record;
mod server;
mod verbs;
mod worth;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) use self::leader::Leader;
use self::server::Server;
use self::verbs::Log;
use crate::config::SharedOutbox;
use crate::outbox::{WriteBatch, Written};

/// What shows whose outbox it is: a digest of the token, the page that the Graph API names for it, and the page of the
/// last event. What is not known is empty.
pub(crate) type Owner = [String; 3];

/// What the writer and the leader tell each other.
struct Shared {
    server: Arc<Server>,
    /// The epoch of our lease; 0 when another process has it.
    epoch: AtomicU64,
    /// Whether the lease is to be asked for before anything is read or sent.
    is_in_doubt: AtomicBool,
    /// Held for a commit, and while the log is read anew.
    exchange: Mutex<()>,
    /// Whether it was told that it cannot be used.
    is_away: AtomicBool,
}

impl Shared {
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn doubt(&self) {
        self.is_in_doubt.store(true, Ordering::Relaxed);
    }

    fn may_send(&self) -> bool {
        self.epoch() != 0 && !self.is_in_doubt.load(Ordering::Relaxed)
    }

    /// Tells when the shared outbox cannot be used, and when it is back.
    fn note<T>(&self, result: &Result<T, String>) {
        let was_away = self.is_away.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !was_away => log::error!(
                "{error}; until the shared outbox can be used webhooks are refused, and Messenger keeps them"
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
    /// # Errors
    /// When the URL is not understood.
    pub(crate) fn new(setting: &SharedOutbox, max_pending: usize) -> Result<SharedLog, String> {
        let server = Arc::new(Server::new(setting)?);
        Ok(SharedLog {
            log: Log::new(&server),
            max_pending,
            shared: Arc::new(Shared {
                server,
                epoch: AtomicU64::new(0),
                is_in_doubt: AtomicBool::new(false),
                exchange: Mutex::default(),
                is_away: AtomicBool::new(false),
            }),
        })
    }

    pub(crate) fn leader(&self) -> Leader {
        Leader::new(&self.shared)
    }

    /// Whether this process has the lease, and nothing speaks against it.
    pub(crate) fn may_send(&self) -> bool {
        self.shared.may_send()
    }

    /// Appends accepted echoes to the log, from where the leader's process sends them, and commits what this process has
    /// sent, unless another process sends by now.
    ///
    /// # Errors
    /// When it may not have been written; it may be written again.
    pub(crate) fn commit(&mut self, batch: &WriteBatch, owner: &Owner) -> Result<Written, String> {
        let epoch = self.shared.epoch();
        let exchange = self.shared.exchange.lock();
        let written = self.log.write(epoch, self.max_pending, batch, owner);
        drop(exchange);
        // The leader tells of what only an append is refused for.
        if !matches!(&written, Ok((_, Written { why: Some(_), .. }))) {
            self.shared.note(&written);
        }
        if self.log.was_connected() || !matches!(written, Ok((true, _))) {
            self.shared.doubt();
        }
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
pub(crate) fn check(setting: &SharedOutbox) -> Result<String, String> {
    let mut log = Log::new(&Arc::new(Server::new(setting)?));
    let ((_, durability), eviction) = worth::of(&mut log)?;
    let (owed, is_sending) = log.state()?;
    let sender = if is_sending { "a" } else { "no" };
    let says = format!("{durability}; {owed} echoes are owed, and {sender} process sends");
    eviction.map_or(Ok(says), Err)
}
