//! The four verbs on the log that the processes share: append, lead, tail, commit. Each is one script or command, so
//! that nobody sees half of it.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use redis::{Cmd, Connection, FromRedisValue, Pipeline, RedisError, RedisResult};

use super::Page;
use super::record::{Clock, from_id, record, stored};
use super::server::Server;
use crate::clock::milliseconds;
use crate::outbox::{EchoId, MidDigest, StoredEcho, WriteBatch, Written, persons_share};

/// Records that are read or appended at once.
const CHUNK: usize = 1000;

/// One connection to the log.
pub(super) struct Log {
    server: Server,
    connection: Option<Connection>,
    is_new_connection: bool,
    clock: Clock,
    has_forgotten: bool,
}

/// Who sends.
pub(super) enum Lease {
    /// This process sends, in this epoch.
    Ours(u64),
    /// Another one does, for so long at least.
    Others(Duration),
}

impl Log {
    pub(super) fn new(server: &Server) -> Log {
        Log {
            server: server.clone(),
            connection: None,
            is_new_connection: false,
            clock: Clock::at(0),
            has_forgotten: false,
        }
    }

    /// Writes what was sent, and appends what was accepted, in one exchange. It may be repeated: known mids are passed
    /// over. Returns whether what was sent is written, which it is not when another process sends by now, and what has
    /// become of the rest.
    pub(super) fn write(
        &mut self,
        epoch: u64,
        max: usize,
        batch: &WriteBatch,
        page: &Page,
    ) -> Result<(bool, Written), String> {
        let mut pipeline = redis::pipe();
        // First, because it makes room.
        pipeline.add_command(self.commit(epoch, batch));
        for chunk in batch.accepted.chunks(CHUNK) {
            pipeline.add_command(self.append(max, chunk, page));
        }
        pipeline.ignore_errors();
        loop {
            let replies: Vec<RedisResult<Vec<usize>>> = self.pipeline(&pipeline)?;
            let is_full =
                |reply: &RedisResult<_>| matches!(reply, Err(error) if error.code() == Some("OOM"));
            if !replies.iter().any(is_full) || self.forget()? == 0 {
                return self.written(batch, replies);
            }
            if !mem::replace(&mut self.has_forgotten, true) {
                log::warn!(
                    "the memory of the shared outbox's server is full: the oldest mids are forgotten, and a redelivered \
                     message is known for less than 36 hours; raise maxmemory"
                );
            }
        }
    }

    fn written(
        &self,
        batch: &WriteBatch,
        replies: Vec<RedisResult<Vec<usize>>>,
    ) -> Result<(bool, Written), String> {
        let mut replies = replies.into_iter();
        let committed = replies.next().unwrap_or(Ok(Vec::new()));
        let committed = committed.map_err(|error| self.server.explain(&error))?;
        let mut written = Written::default();
        for (chunk, refused) in batch.accepted.chunks(CHUNK).zip(replies) {
            let refused = refused.unwrap_or_else(|error| {
                written.why = Some(self.server.explain(&error));
                (0..chunk.len()).collect()
            });
            for (place, stored) in chunk.iter().enumerate() {
                match refused.binary_search(&place) {
                    Ok(_) => written.refused.push(stored.id),
                    Err(_) => written.known.push(stored.id),
                }
            }
        }
        Ok((committed == [1], written))
    }

    /// Whether it would take what is accepted.
    pub(super) fn try_to_append(&mut self) -> Result<(), String> {
        let _: Vec<usize> = self.query(&self.append(1, &[], &Page::default()))?;
        Ok(())
    }

    fn append(&self, max: usize, accepted: &[StoredEcho], page: &Page) -> Cmd {
        let script = concat!(
            "#!lua\n",
            include_str!("page.lua"),
            include_str!("append.lua")
        );
        let keys = ["page", "leader", "log", "owed", "known"];
        let mut command = self.script(script, &keys);
        command
            .arg(&page[..])
            .arg(self.server.key("mids:"))
            .arg(max);
        command.arg(persons_share(max));
        for stored in accepted {
            let mid = stored.mid.as_ref();
            let mid = mid.map_or(&[][..], |MidDigest(mid)| mid);
            let person = &*stored.echo.recipient;
            command.arg(person).arg(mid).arg(record(stored));
        }
        command
    }

    fn commit(&self, epoch: u64, batch: &WriteBatch) -> Cmd {
        let keys = ["epoch", "log", "sent", "owed"];
        let mut command = self.script(include_str!("commit.lua"), &keys);
        command.arg(epoch).arg(batch.sent.len());
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
        self.query(command.arg(self.server.key("mids:")))
    }

    /// Takes the lease for this time, or keeps it.
    pub(super) fn lead(
        &mut self,
        name: &str,
        lease: Duration,
        page: &Page,
    ) -> Result<Lease, String> {
        let script = concat!(
            "#!lua flags=allow-oom\n",
            include_str!("page.lua"),
            include_str!("lead.lua")
        );
        let mut command = self.script(script, &["page", "leader", "log", "epoch"]);
        command.arg(&page[..]).arg(name).arg(milliseconds(lease));
        let (epoch, time): (u64, i64) = self.query(&command)?;
        let time = time.try_into().unwrap_or_default();
        if epoch == 0 {
            return Ok(Lease::Others(Duration::from_millis(time)));
        }
        self.clock = Clock::at(time);
        Ok(Lease::Ours(epoch))
    }

    /// Gives the lease back, if it is ours.
    pub(super) fn resign(&mut self, name: &str) -> Result<(), String> {
        let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";
        self.query(self.script(script, &["leader"]).arg(name))
    }

    /// All that is owed, in order.
    pub(super) fn read(&mut self) -> Result<Vec<StoredEcho>, String> {
        let mut sent = redis::cmd("HGETALL");
        let sent: HashMap<String, usize> = self.query(sent.arg(self.server.key("sent")))?;
        let mut all: Vec<StoredEcho> = Vec::new();
        loop {
            let after = all.last().map_or(0, |stored| stored.id);
            let (chunk, _) = self.tail(after, Duration::ZERO)?;
            let is_last = chunk.len() < CHUNK;
            all.extend(chunk);
            if is_last {
                break;
            }
        }
        for stored in &mut all {
            let sent = sent.get(&from_id(stored.id)).copied();
            let is_cut_there = |sent: &usize| stored.echo.text.is_char_boundary(*sent);
            stored.sent = sent.filter(is_cut_there).unwrap_or_default();
        }
        Ok(all)
    }

    /// What stands after this record, in order, and the epoch after it was read; waits so long for it.
    pub(super) fn tail(
        &mut self,
        after: EchoId,
        wait: Duration,
    ) -> Result<(Vec<StoredEcho>, u64), String> {
        type Entry = (String, Vec<String>);
        let mut pipeline = redis::pipe();
        pipeline.cmd("XREAD").arg("COUNT").arg(CHUNK);
        if !wait.is_zero() {
            // 0 is for ever there.
            pipeline.arg("BLOCK").arg(milliseconds(wait));
        }
        pipeline
            .arg("STREAMS")
            .arg(self.server.key("log"))
            .arg(from_id(after));
        pipeline.cmd("GET").arg(self.server.key("epoch"));
        type Streams = Option<Vec<(String, Vec<Entry>)>>;
        let (streams, epoch): (Streams, Option<u64>) = self.pipeline(&pipeline)?;
        let streams = streams.into_iter().flatten();
        let entries = streams.flat_map(|(_, entries)| entries);
        let records = entries.filter_map(|(id, fields)| stored(&id, &fields, self.clock));
        Ok((records.collect(), epoch.unwrap_or_default()))
    }

    /// How many echoes are owed, and whether a process has the lease.
    pub(super) fn state(&mut self) -> Result<(usize, bool), String> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(self.server.key("log"));
        pipeline.cmd("EXISTS").arg(self.server.key("leader"));
        self.pipeline(&pipeline)
    }

    /// What the server's own settings are; nothing when it does not tell.
    pub(super) fn settings(&mut self, names: &[&str]) -> Result<HashMap<String, String>, String> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(names);
        self.run(|connection| match command.query(connection) {
            Err(error) if !error.is_io_error() => Ok(HashMap::new()),
            told => told,
        })
    }

    /// Whether the server was connected to since this was last asked: it may be another one, or have lost something.
    pub(super) fn was_connected(&mut self) -> bool {
        mem::take(&mut self.is_new_connection)
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
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

    fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, String> {
        self.run(|connection| command.query(connection))
    }

    fn pipeline<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, String> {
        self.run(|connection| pipeline.query(connection))
    }

    /// Once more on a new connection when one has broken, or a signal has interrupted it: every verb may be repeated.
    fn run<T>(&mut self, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, String> {
        let mut result = self.try_once(&ask);
        if matches!(&result, Err(error) if error.is_io_error() && !error.is_timeout()) {
            result = self.try_once(&ask);
        }
        result.map_err(|error| self.server.explain(&error))
    }

    fn try_once<T>(&mut self, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                self.is_new_connection = true;
                none.insert(self.server.connect()?)
            }
        };
        let result = ask(connection);
        // A reply that did not come may come later: such a connection is not used again.
        if result.as_ref().is_err_and(RedisError::is_io_error) {
            self.connection = None;
        }
        result
    }
}
