//! The thread that asks for the lease, and, while this process has it, follows the log into the outbox.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::verbs::Log;
use super::{Owner, Shared, worth};
use crate::graph::client::CALL_TIMEOUT;
use crate::hex;
use crate::outbox::EchoId;
use crate::pool::Pool;

/// A process that dies is followed by another within this time.
const LEASE: Duration = Duration::from_secs(15);

/// The lease is renewed this often.
const RENEWED_EVERY: Duration = Duration::from_secs(3);

/// A process without the lease asks for it again after this time at most: it may have been given back. So does one that
/// failed to ask.
const ASKED_EVERY: Duration = Duration::from_millis(300);

/// So long a request waits for the log's next record.
const TAIL_WAITS: Duration = Duration::from_millis(200);

/// The thread's own state. Whether this process may send is in `shared.epoch`, where the writer sees it too.
pub(crate) struct Leader {
    shared: Arc<Shared>,
    log: Log,
    /// The process, with a nonce for each start.
    name: String,
    /// The log was read up to this record.
    after: EchoId,
    /// The epoch in which the outbox got what it owes; 0 when another process sends, none at the start.
    epoch: Option<u64>,
    /// When our lease was asked for.
    renewed: Instant,
    /// Whether what a 200 is worth was told since the server was away.
    is_told: bool,
}

impl Leader {
    pub(super) fn new(shared: &Arc<Shared>) -> Leader {
        let mut nonce = [0; 8];
        let filled = SystemRandom::new().fill(&mut nonce);
        filled.expect("the system has random numbers because TLS needs them");
        Leader {
            shared: Arc::clone(shared),
            log: Log::new(&shared.server),
            name: format!("{}-{}", std::process::id(), hex::encode(&nonce)),
            after: 0,
            epoch: None,
            renewed: Instant::now(),
            is_told: false,
        }
    }

    /// What the leader's thread does. Returns when the bot stops and all is written; then the lease is given back.
    pub(crate) fn run<R>(mut self, pool: &Pool<R>, owner: impl Fn() -> Owner) {
        while !pool.is_finished() {
            let turn = self.turn(pool, &owner);
            if turn.is_err() {
                self.shared.doubt();
            }
            self.shared.note(&turn);
            pool.change(|outbox, now| {
                outbox.lease.is_log_away = turn.is_err();
                if !self.shared.may_send() {
                    outbox.lease.calls_until = Some(now);
                }
            });
            self.is_told &= turn.is_ok();
            thread::sleep(turn.unwrap_or(ASKED_EVERY));
        }
        if self.epoch.is_some_and(|epoch| epoch != 0) {
            match self.log.resign(&self.name) {
                Ok(()) => log::info!("the lease is given back: another process may send"),
                Err(error) => log::warn!("failed to give the lease back: {error}"),
            }
        }
    }

    /// Renews the lease when it is time, and follows the log for a moment. Returns how long to wait before the next turn.
    fn turn<R>(&mut self, pool: &Pool<R>, owner: impl Fn() -> Owner) -> Result<Duration, String> {
        let now = Instant::now();
        let is_in_doubt = self.shared.is_in_doubt.swap(false, Ordering::Relaxed);
        let ours = self.shared.epoch();
        if is_in_doubt {
            // The name may be another server's by now.
            self.log.connection = None;
        }
        if is_in_doubt || ours == 0 || now >= self.renewed + RENEWED_EVERY {
            let lease = self.log.lead(&self.name, LEASE, &owner())?;
            let is_new_connection = self.log.was_connected();
            if !self.is_told {
                worth::tell(&mut self.log)?;
                self.is_told = true;
            }
            match lease {
                Err(left) => {
                    self.follow(pool);
                    return Ok(left.min(ASKED_EVERY));
                }
                Ok(epoch) if epoch == ours && !is_new_connection => {}
                Ok(epoch) => self.lead(epoch, pool)?,
            }
            self.renewed = now;
            // A call that begins until then ends before the lease does.
            let until = Some(now + LEASE - CALL_TIMEOUT);
            pool.change(|outbox, _| outbox.lease.calls_until = until);
        }
        let (records, epoch) = self.log.tail(self.after, TAIL_WAITS)?;
        if self.log.was_connected() || epoch != self.shared.epoch() {
            // What was read may be another server's, or may be sent by another process.
            self.shared.doubt();
        } else if let Some(last) = records.last() {
            self.after = last.id;
            pool.change(|outbox, now| outbox.owe(records, now));
        }
        Ok(Duration::ZERO)
    }

    /// This process has the lease, and reads the log anew.
    fn lead<R>(&mut self, epoch: u64, pool: &Pool<R>) -> Result<(), String> {
        let exchange = self.shared.exchange.lock();
        // What is committed meanwhile would seem to be owed.
        let _exchange = exchange.unwrap_or_else(PoisonError::into_inner);
        let records = self.log.read()?;
        let owed = records.len();
        self.after = records.last().map_or(0, |stored| stored.id);
        let is_new = self.epoch.replace(epoch) != Some(epoch);
        // First: the commit of a call that begins at once needs it.
        self.shared.epoch.store(epoch, Ordering::Relaxed);
        if !is_new {
            pool.change(|outbox, now| outbox.owe_again(records, now));
            return Ok(());
        }
        pool.change(|outbox, now| outbox.lead(records, now));
        log::info!("this process sends: {owed} echoes are owed");
        Ok(())
    }

    fn follow<R>(&mut self, pool: &Pool<R>) {
        self.shared.epoch.store(0, Ordering::Relaxed);
        match self.epoch.replace(0) {
            Some(0) => return,
            None => log::info!("another process sends; this one takes over when that one stops"),
            Some(_) => log::warn!(
                "the lease is lost: another process sends; what was sent last may come twice"
            ),
        }
        pool.change(|outbox, now| outbox.follow(now));
    }
}
