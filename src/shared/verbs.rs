//! The four verbs on the log that the processes share: append, lead, tail, commit. Each is one script or command, so
//! that nobody sees half of it.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::Level;
use redis::{Cmd, Connection, RedisError, RedisResult};

use super::record::{from_id, record, stored};
use super::server::Server;
use super::{Leader, Owner};
use crate::clock::{self, milliseconds};
use crate::config::SharedOutbox;
use crate::outbox::{MidDigest, StoredEcho, WriteBatch, Written, free_room, persons_share};
use crate::rate_limited_log::RateLimitedLog;

/// Records that are read or appended at once.
const CHUNK: usize = 1000;

/// The shortest wait of a read: 0 would be for ever.
pub(super) const NO_WAIT: Duration = Duration::from_millis(1);

/// How often it is said again that something is wrong with the server's data.
const WARNED_EVERY: Duration = Duration::from_secs(3600);

const FORGOTTEN: &str = "the memory of the shared outbox's server is full: the oldest mids are deleted, and a message that is \
                         redelivered late may be echoed again; raise maxmemory";
const OTHERS: &str = "the shared outbox has entries that no echobot wrote: they are passed over, and count towards MAX_PENDING \
                      until somebody deletes them";

/// The log, over one connection.
pub(crate) struct Log {
    pub(super) server: Arc<Server>,
    pub(super) connection: Option<Connection>,
    is_new_connection: bool,
    /// Milliseconds that the server's clock is ahead of ours.
    ahead: i64,
    warnings: RateLimitedLog,
}

impl Log {
    /// # Errors
    /// When the URL is not understood.
    pub(crate) fn open(setting: &SharedOutbox, max_pending: usize) -> Result<Log, String> {
        Ok(Log::new(&Arc::new(Server::new(setting, max_pending)?)))
    }

    pub(super) fn new(server: &Arc<Server>) -> Log {
        Log {
            server: Arc::clone(server),
            connection: None,
            is_new_connection: false,
            ahead: 0,
            warnings: RateLimitedLog::new(module_path!(), WARNED_EVERY),
        }
    }

    /// The leader, with a connection of its own.
    pub(crate) fn leader(&self) -> Leader {
        Leader::new(&self.server)
    }

    /// Appends accepted echoes to the log, from where the leader's process sends them, and commits what this process has
    /// sent, unless another process sends now. It may be repeated: known mids are passed over.
    ///
    /// # Errors
    /// When it may not have been written.
    pub(crate) fn commit(&mut self, batch: &WriteBatch, owner: &Owner) -> Result<Written, String> {
        let server = Arc::clone(&self.server);
        let exchange = (batch.ends() > 0).then(|| server.exchange.lock());
        if server.has_failed.swap(false, Ordering::Relaxed) {
            self.connection = None;
        }
        let written = self.write(batch, owner);
        drop(exchange);
        // The leader tells of what only an append is refused for.
        if !matches!(&written, Ok(Written { why: Some(_), .. })) {
            server.note(0, &written);
        }
        written
    }

    fn write(&mut self, batch: &WriteBatch, owner: &Owner) -> Result<Written, String> {
        let mut pipeline = redis::pipe();
        // First, because it makes room.
        pipeline.add_command(self.commit_command(batch));
        for chunk in batch.accepted.chunks(CHUNK) {
            pipeline.add_command(self.append_command(chunk, owner));
        }
        pipeline.ignore_errors();
        loop {
            let (committed, replies) = self.run(|to| {
                let mut replies: Vec<RedisResult<Vec<usize>>> = pipeline.query(to)?;
                Ok((replies.remove(0)?, replies))
            })?;
            let is_full =
                |reply: &RedisResult<_>| matches!(reply, Err(error) if error.code() == Some("OOM"));
            if !replies.iter().any(is_full) || self.forget()? == 0 {
                return Ok(self.written(batch, &committed, replies));
            }
            self.warnings.log("forgotten", Level::Warn, FORGOTTEN);
        }
    }

    fn written(
        &mut self,
        batch: &WriteBatch,
        committed: &[usize],
        replies: Vec<RedisResult<Vec<usize>>>,
    ) -> Written {
        let count = batch.ends();
        // Without the lease nothing is sent, and nothing is to be committed.
        let is_refused = committed != [1] && (batch.epoch, count) != (0, 0);
        if is_refused {
            // The epoch may be another server's.
            self.connection = None;
        }
        if is_refused && count > 0 {
            log::warn!(
                "another process sends now: the messages sent last may be sent twice, {count} at most"
            );
        }
        let mut written = Written {
            is_in_doubt: self.was_connected() || is_refused,
            ..Written::default()
        };
        for (chunk, refused) in batch.accepted.chunks(CHUNK).zip(replies) {
            let refused = refused.unwrap_or_else(|error| {
                written.why = Some(self.server.explain(&error));
                (0..chunk.len()).collect()
            });
            let ids = refused.into_iter().map(|place| chunk[place].id);
            written.refused.extend(ids);
        }
        // The refused ones too: the outbox looks for them first.
        written.known = batch.accepted.iter().map(|stored| stored.id).collect();
        written
    }

    fn append_command(&self, accepted: &[StoredEcho], owner: &Owner) -> Cmd {
        let max = self.server.max_pending;
        let flags = "#!lua\n";
        let script = [flags, include_str!("page.lua"), include_str!("append.lua")].concat();
        let keys = ["page", "leader", "log", "owed", "known"];
        let mut command = self.script(&script, &keys);
        command.arg(&owner[..]).arg(self.server.key("mids:"));
        command.arg(max).arg(free_room(max)).arg(persons_share(max));
        for stored in accepted {
            let mid = stored.mid.as_ref();
            let mid = mid.map_or(&[][..], |MidDigest(mid)| mid);
            let person = &*stored.echo.recipient;
            command.arg(person).arg(mid).arg(record(stored));
        }
        command
    }

    fn commit_command(&self, batch: &WriteBatch) -> Cmd {
        let keys = ["epoch", "log", "sent", "owed"];
        let mut command = self.script(include_str!("commit.lua"), &keys);
        command.arg(batch.epoch).arg(batch.sent.len());
        for (id, bytes) in &batch.sent {
            command.arg(from_id(*id)).arg(*bytes);
        }
        for id in &batch.done {
            command.arg(from_id(*id));
        }
        command
    }

    /// Gives up some of the mids that are remembered, the oldest first. Returns how many.
    fn forget(&mut self) -> Result<usize, String> {
        let mut command = self.script(include_str!("forget.lua"), &["log"]);
        command.arg(self.server.key("mids:"));
        self.run(|to| command.query(to))
    }

    /// Takes the lease for this time, or keeps it. Returns its epoch, or how long another process has it at least.
    pub(super) fn lead(
        &mut self,
        name: &str,
        lease: Duration,
        owner: &Owner,
    ) -> Result<Result<u64, Duration>, String> {
        let flags = "#!lua flags=allow-oom\n";
        let script = [flags, include_str!("page.lua"), include_str!("lead.lua")].concat();
        let mut command = self.script(&script, &["page", "leader", "log", "epoch"]);
        command.arg(&owner[..]).arg(name).arg(milliseconds(lease));
        let (epoch, time): (u64, i64) = self.run(|to| command.query(to))?;
        if epoch == 0 {
            return Ok(Err(Duration::from_millis(time.unsigned_abs())));
        }
        self.ahead = time.saturating_sub_unsigned(clock::now());
        Ok(Ok(epoch))
    }

    /// Gives the lease back, if it is ours.
    pub(super) fn resign(&mut self, name: &str) -> Result<(), String> {
        let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";
        let mut command = self.script(script, &["leader"]);
        command.arg(name);
        self.run(|to| command.query(to))
    }

    /// What stands after this entry, in order, the last entry that was read, and the epoch after that; waits so long for it.
    pub(super) fn tail(
        &mut self,
        after: &str,
        wait: Duration,
    ) -> Result<(Vec<StoredEcho>, Option<String>, u64), String> {
        type Streams = Option<Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>>;
        let key = |name| self.server.key(name);
        let mut pipeline = redis::pipe();
        pipeline.cmd("XREAD").arg("COUNT").arg(CHUNK);
        pipeline.arg("BLOCK").arg(milliseconds(wait));
        pipeline.arg("STREAMS").arg(key("log")).arg(after);
        pipeline.cmd("HGETALL").arg(key("sent"));
        pipeline.cmd("GET").arg(key("epoch"));
        let reply = self.run(|to| pipeline.query(to))?;
        let (streams, sent, epoch): (Streams, HashMap<String, usize>, Option<u64>) = reply;
        let streams = streams.into_iter().flatten();
        let entries: Vec<_> = streams.flat_map(|(_, entries)| entries).collect();
        let echo = |(id, fields): &(String, Vec<_>)| stored(id, fields, sent.get(id), self.ahead);
        let records: Vec<StoredEcho> = entries.iter().filter_map(echo).collect();
        if records.len() < entries.len() {
            self.warnings.log("others", Level::Warn, OTHERS);
        }
        let last = entries.into_iter().next_back().map(|(id, _)| id);
        Ok((records, last, epoch.unwrap_or_default()))
    }

    /// How many echoes are owed, and whether a process has the lease.
    ///
    /// # Errors
    /// Also when an echo could not be appended.
    pub(super) fn state(&mut self) -> Result<(usize, bool), String> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(self.server.key("log"));
        pipeline.cmd("EXISTS").arg(self.server.key("leader"));
        // Last: a server that wants a password ends the connection at so long a command.
        let append = self.append_command(&[], &Owner::default());
        pipeline.add_command(append).ignore();
        self.run(|to| pipeline.query(to))
    }

    /// Whether the server was connected to since this was last asked: it may be another one, or have lost something.
    pub(super) fn was_connected(&mut self) -> bool {
        mem::take(&mut self.is_new_connection)
    }

    /// A script with these keys; its arguments follow.
    fn script(&self, script: &str, keys: &[&str]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(keys.len());
        for key in keys {
            command.arg(self.server.key(key));
        }
        command
    }

    /// Tried again on a new connection when one has broken, or once when it is silent: every verb may be repeated. Only an
    /// echo without a mid may be appended twice then, and is sent twice. Tried again twice, because a process that is
    /// stopped and resumed may be interrupted again, which is no trouble of the server's.
    pub(super) fn run<T>(
        &mut self,
        ask: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, String> {
        let mut result = self.try_once(&ask);
        for is_first in [true, false] {
            let again =
                |error: &RedisError| error.is_io_error() && (is_first || !error.is_timeout());
            if result.as_ref().is_err_and(again) {
                result = self.try_once(&ask);
            }
        }
        result.map_err(|error| self.server.explain(&error))
    }

    fn try_once<T>(&mut self, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let connect = || {
            self.is_new_connection = true;
            self.server.connect()
        };
        let connection = self.connection.take().map_or_else(connect, Ok);
        // After a failure it is not used again: a reply that did not come may come later, and a server that refuses may not
        // be the one that the name leads to.
        let result = connection.and_then(|mut connection| {
            let reply = ask(&mut connection)?;
            self.connection = Some(connection);
            Ok(reply)
        });
        let has_failed = &self.server.has_failed;
        has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    }
}
