//! The thread that asks for the lease, and, while this process has it, follows the log into the outbox.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::verbs::{Lease, Log};
use super::{Shared, worth};
use crate::graph::client::CALL_TIMEOUT;
use crate::hex;
use crate::outbox::EchoId;
use crate::pool::Pool;

/// A process that dies is followed by another within this time.
const LEASE: Duration = Duration::from_secs(15);

/// The lease is renewed this often.
const RENEWED_EVERY: Duration = Duration::from_secs(3);

/// A process without the lease asks for it again after this time at most: it may have been given back.
const ASKED_EVERY: Duration = Duration::from_millis(300);

/// So long a request waits for the log's next record.
const TAIL_WAITS: Duration = Duration::from_millis(200);

/// After a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The thread's own state. Whether this process leads is in `shared.epoch`, where the writer sees it too.
pub(crate) struct Leader {
    shared: Arc<Shared>,
    log: Log,
    /// The process, with a nonce for each start.
    name: String,
    /// The log was read up to this record.
    after: EchoId,
    /// When our lease was asked for; none without one.
    renewed: Option<Instant>,
    is_following: bool,
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
            log: Log::new(&shared.address),
            name: format!("{}-{}", std::process::id(), hex::encode(&nonce)),
            after: 0,
            renewed: None,
            is_following: false,
            is_told: false,
        }
    }

    /// What the leader's thread does. Returns when the bot stops and all is written; then the lease is given back.
    pub(crate) fn run<R>(mut self, pool: &Pool<R>) {
        let mut pause = FIRST_PAUSE;
        while !pool.is_finished() {
            let turn = self.turn(pool);
            self.shared.note(&turn);
            pool.change(|outbox, _| outbox.set_log_away(turn.is_err()));
            match turn {
                Ok(wait) => {
                    pause = FIRST_PAUSE;
                    thread::sleep(wait);
                }
                Err(_) => {
                    self.is_told = false;
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        if self.shared.epoch() != 0 {
            match self.log.resign(&self.name) {
                Ok(()) => log::info!("the lease is given back: another process may send"),
                Err(error) => log::warn!("failed to give the lease back: {error}"),
            }
        }
    }

    /// Renews the lease when it is time, and follows the log for a moment. Returns how long to wait before the next turn.
    fn turn<R>(&mut self, pool: &Pool<R>) -> Result<Duration, String> {
        let now = Instant::now();
        if self.renewed.is_none_or(|at| now >= at + RENEWED_EVERY) {
            match self.log.lead(&self.name, LEASE)? {
                Lease::Others(left) => {
                    self.follow(pool)?;
                    return Ok(left.min(ASKED_EVERY));
                }
                Lease::Ours { epoch, last } => self.lead(epoch, last, pool)?,
            }
            self.renewed = Some(now);
            // A call that begins until then ends before the lease does.
            pool.change(|outbox, _| outbox.allow_calls(now + LEASE - CALL_TIMEOUT));
        }
        let records = self.log.tail(self.after, Some(TAIL_WAITS))?;
        if let Some(last) = records.last() {
            self.after = last.id;
            pool.change(|outbox, now| outbox.owe(records, now));
        }
        Ok(Duration::ZERO)
    }

    /// This process has the lease. In a new epoch, or where the log has lost its end, it is read anew.
    fn lead<R>(&mut self, epoch: u64, last: EchoId, pool: &Pool<R>) -> Result<(), String> {
        if self.shared.epoch() == epoch && self.after <= last {
            return Ok(());
        }
        self.tell()?;
        let records = self.log.read()?;
        let owed = records.len();
        self.after = records.last().map_or(0, |stored| stored.id);
        self.is_following = false;
        self.shared.epoch.store(epoch, Ordering::Relaxed);
        pool.change(|outbox, now| outbox.lead(records, now));
        log::info!("this process sends: {owed} echoes are owed");
        Ok(())
    }

    fn follow<R>(&mut self, pool: &Pool<R>) -> Result<(), String> {
        self.renewed = None;
        self.tell()?;
        if !mem::replace(&mut self.is_following, true) {
            match self.shared.epoch.swap(0, Ordering::Relaxed) {
                0 => log::info!("another process sends; this one goes on when that one stops"),
                _ => log::warn!("the lease is lost: another process sends"),
            }
            pool.change(|outbox, now| outbox.follow(now));
        }
        Ok(())
    }

    /// Tells what a 200 is worth on this server.
    fn tell(&mut self) -> Result<(), String> {
        if !self.is_told {
            worth::of(&mut self.log)?.log();
            self.is_told = true;
        }
        Ok(())
    }
}
