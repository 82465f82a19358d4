//! The thread that asks for the lease, and, while this process has it, follows the log into the outbox.

use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::server::Server;
use super::verbs::{Log, NO_WAIT};
use super::{Owner, worth};
use crate::graph::client::CALL_TIMEOUT;
use crate::pool::Pool;

/// A process that dies is followed by another within this time.
const LEASE: Duration = Duration::from_secs(15);

/// The lease is renewed so long before the last call may begin.
const RENEWED_BEFORE: Duration = Duration::from_secs(2);

/// A process without the lease asks for it again after this time: it may have been given back. So does one that failed to
/// ask.
const ASKED_EVERY: Duration = Duration::from_millis(300);

/// It asks sooner when the lease ends before, but not sooner than this.
const ASKED_AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// So long a request waits for the log's next record.
const TAIL_WAITS: Duration = Duration::from_millis(200);

/// Before the first entry of the log.
const BEGINNING: &str = "0-0";

/// The thread's own state. Whether this process may send is in the outbox's `lease`.
pub(crate) struct Leader {
    log: Log,
    /// The process, with a nonce for each start.
    name: String,
    /// When it asked for the lease last.
    asked: Instant,
    /// The log was read up to this entry.
    after: String,
}

impl Leader {
    pub(super) fn new(server: &Arc<Server>) -> Leader {
        let nonce = RandomState::new().hash_one(0);
        Leader {
            log: Log::new(server),
            name: format!("{}-{nonce:016x}", std::process::id()),
            asked: Instant::now(),
            after: BEGINNING.to_string(),
        }
    }

    /// What the leader's thread does. Returns when the bot stops and all is written; then the lease is given back.
    pub(crate) fn run<R>(mut self, pool: &Pool<R>, owner: impl Fn() -> Owner) {
        let mut is_told = false;
        while !pool.is_finished() {
            let mut turn = self.turn(pool, &owner());
            if turn.is_ok() && !is_told {
                turn = worth::tell(&mut self.log).and(turn);
            }
            is_told = turn.is_ok();
            self.log.server.note(1, &turn);
            pool.change(|outbox, _| {
                outbox.lease.is_log_away = turn.is_err();
                outbox.lease.is_in_doubt |= turn.is_err();
            });
            thread::sleep(turn.unwrap_or(ASKED_EVERY));
        }
        let epoch = pool.change(|outbox, _| outbox.lease.epoch);
        if epoch.is_some_and(|epoch| epoch != 0) {
            match self.log.resign(&self.name) {
                Ok(()) => log::info!("the lease is given back: another process may send"),
                Err(error) => log::warn!("failed to give the lease back: {error}"),
            }
        }
    }

    /// Renews the lease when it is time, and follows the log for a moment. Returns how long to wait before the next turn.
    fn turn<R>(&mut self, pool: &Pool<R>, owner: &Owner) -> Result<Duration, String> {
        let lease = pool.change(|outbox, now| {
            if mem::take(&mut outbox.lease.is_in_doubt) {
                outbox.lease.calls_until = Some(now);
                // The name may be another server's by now.
                self.log.connection = None;
            }
            outbox.lease
        });
        let is_to_be_renewed = |until| Instant::now() + RENEWED_BEFORE >= until;
        if lease.calls_until.is_none_or(is_to_be_renewed) {
            match self.ask(owner)? {
                Err(left) => {
                    follow(pool);
                    return Ok(left.clamp(ASKED_AT_MOST_EVERY, ASKED_EVERY));
                }
                Ok(epoch) if Some(epoch) == lease.epoch && !self.log.was_connected() => {}
                Ok(epoch) => self.lead(epoch, pool, owner)?,
            }
            // A call that begins until then ends before the lease does.
            let until = Some(self.asked + LEASE - CALL_TIMEOUT);
            pool.change(|outbox, _| outbox.lease.calls_until = until);
        }
        let (records, last, logged) = self.log.tail(&self.after, TAIL_WAITS)?;
        let is_new_connection = self.log.was_connected();
        pool.change(|outbox, now| {
            if is_new_connection || outbox.lease.epoch != Some(logged) {
                // What was read may be another server's, or may be sent by another process.
                outbox.lease.is_in_doubt = true;
            } else if let Some(last) = last {
                self.after = last;
                outbox.owe(records, now);
            }
        });
        Ok(Duration::ZERO)
    }

    fn ask(&mut self, owner: &Owner) -> Result<Result<u64, Duration>, String> {
        self.asked = Instant::now();
        self.log.lead(&self.name, LEASE, owner)
    }

    /// This process has the lease, and reads the log anew. It keeps the lease meanwhile, however long that takes.
    fn lead<R>(&mut self, epoch: u64, pool: &Pool<R>, owner: &Owner) -> Result<(), String> {
        // What is read from now on is read over the connection of now.
        self.log.was_connected();
        let server = Arc::clone(&self.log.server);
        let (mut is_new, mut owed) = (false, 0);
        self.after = BEGINNING.to_string();
        loop {
            if self.asked.elapsed() > LEASE / 3 && self.ask(owner)? != Ok(epoch) {
                pool.change(|outbox, _| outbox.lease.is_in_doubt = true);
                return Ok(());
            }
            // What is committed between these two would seem to be owed.
            let exchange = server.exchange.lock();
            let (records, last, _) = self.log.tail(&self.after, NO_WAIT)?;
            owed += records.len();
            is_new |= pool.change(|outbox, now| outbox.lead(epoch, records, now));
            drop(exchange);
            let Some(last) = last else { break };
            self.after = last;
            // So that the writer gets it, if it waits.
            thread::sleep(NO_WAIT);
        }
        if is_new {
            log::info!("this process sends: {owed} echoes are owed");
        }
        Ok(())
    }
}

fn follow<R>(pool: &Pool<R>) {
    match pool.change(|outbox, now| outbox.follow(now)) {
        Some(0) => {}
        None => log::info!("another process sends; this one takes over when that one stops"),
        Some(_) => log::warn!(
            "the lease is lost, and another process sends now: the messages sent last may be sent twice"
        ),
    }
}
