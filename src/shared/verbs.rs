//! The four verbs on the log that the processes share: append, lead, tail, commit. Each is one script or command, so
//! that nobody sees half of it.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Cmd, Connection, FromRedisValue, Pipeline, RedisError, RedisResult};

use super::Address;
use super::record::{from_id, record, stored, to_id};
use crate::clock::milliseconds;
use crate::outbox::{EchoId, MidDigest, StoredEcho, WriteBatch, Written, persons_share};

/// A connection is there within this time, and a reply within the next: together less than Messenger waits.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Records that are read or appended at once.
const CHUNK: usize = 1000;

/// One connection to the log.
pub(super) struct Log {
    address: Address,
    connection: Option<Connection>,
}

/// Who sends.
pub(super) enum Lease {
    /// This process sends, in this epoch. The log's last record is this one.
    Ours { epoch: u64, last: EchoId },
    /// Another one does, for so long at least.
    Others(Duration),
}

impl Log {
    pub(super) fn new(address: &Address) -> Log {
        Log {
            address: address.clone(),
            connection: None,
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
    ) -> Result<(bool, Written), String> {
        let mut pipeline = redis::pipe();
        // First, because it makes room.
        pipeline.add_command(self.commit(epoch, batch));
        for chunk in batch.accepted.chunks(CHUNK) {
            pipeline.add_command(self.append(max, chunk));
        }
        let replies: Vec<RedisResult<Vec<usize>>> = self.pipeline(pipeline.ignore_errors())?;
        let mut replies = replies.into_iter();
        let committed = replies.next().unwrap_or(Ok(Vec::new()));
        let committed = committed.map_err(|error| self.address.explain(&error))?;
        let mut written = Written::default();
        for (chunk, refused) in batch.accepted.chunks(CHUNK).zip(replies) {
            let refused = refused.unwrap_or_else(|error| {
                written.why = Some(self.address.explain(&error));
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
        let _: Vec<usize> = self.query(&self.append(1, &[]))?;
        Ok(())
    }

    fn append(&self, max: usize, accepted: &[StoredEcho]) -> Cmd {
        let keys = ["log", "owed", "known"];
        let mut command = self.script(include_str!("append.lua"), &keys);
        command.arg(self.key("mids:")).arg(max);
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

    /// Takes the lease for this time, or keeps it.
    pub(super) fn lead(&mut self, name: &str, lease: Duration) -> Result<Lease, String> {
        let mut command = self.script(include_str!("lead.lua"), &["leader", "epoch", "log"]);
        command.arg(name).arg(milliseconds(lease));
        let (epoch, other): (u64, String) = self.query(&command)?;
        Ok(match epoch {
            0 => Lease::Others(Duration::from_millis(other.parse().unwrap_or_default())),
            epoch => Lease::Ours {
                epoch,
                last: to_id(&other).unwrap_or_default(),
            },
        })
    }

    /// Gives the lease back, if it is ours.
    pub(super) fn resign(&mut self, name: &str) -> Result<(), String> {
        let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";
        self.query(self.script(script, &["leader"]).arg(name))
    }

    /// All that is owed, in order.
    pub(super) fn read(&mut self) -> Result<Vec<StoredEcho>, String> {
        let mut sent = redis::cmd("HGETALL");
        let sent: HashMap<String, usize> = self.query(sent.arg(self.key("sent")))?;
        let mut all: Vec<StoredEcho> = Vec::new();
        loop {
            let after = all.last().map_or(0, |stored| stored.id);
            let chunk = self.tail(after, None)?;
            let is_last = chunk.len() < CHUNK;
            all.extend(chunk);
            if is_last {
                break;
            }
        }
        for stored in &mut all {
            let sent = sent.get(&from_id(stored.id)).copied().unwrap_or_default();
            stored.sent = if stored.echo.text.is_char_boundary(sent) {
                sent
            } else {
                0
            };
        }
        Ok(all)
    }

    /// What stands after this record, in order; waits so long for it.
    pub(super) fn tail(
        &mut self,
        after: EchoId,
        wait: Option<Duration>,
    ) -> Result<Vec<StoredEcho>, String> {
        type Entry = (String, Vec<String>);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(CHUNK);
        if let Some(wait) = wait {
            command.arg("BLOCK").arg(milliseconds(wait));
        }
        command
            .arg("STREAMS")
            .arg(self.key("log"))
            .arg(from_id(after));
        let streams: Option<Vec<(String, Vec<Entry>)>> = self.query(&command)?;
        let entries = streams
            .into_iter()
            .flatten()
            .flat_map(|(_, entries)| entries);
        Ok(entries
            .filter_map(|(id, fields)| stored(&id, &fields))
            .collect())
    }

    /// How many echoes are owed, and whether a process has the lease.
    pub(super) fn state(&mut self) -> Result<(usize, bool), String> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(self.key("log"));
        pipeline.cmd("EXISTS").arg(self.key("leader"));
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

    /// A script with these keys; its arguments follow.
    fn script(&self, script: &str, keys: &[&str]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(keys.len());
        for key in keys {
            command.arg(self.key(key));
        }
        command
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.address.prefix)
    }

    fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, String> {
        self.run(|connection| command.query(connection))
    }

    fn pipeline<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, String> {
        self.run(|connection| pipeline.query(connection))
    }

    /// Once more on a new connection when an old one has broken: every verb may be repeated.
    fn run<T>(&mut self, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, String> {
        let ask = |mut connection| (ask(&mut connection), connection);
        let is_dropped = |(result, _): &(RedisResult<T>, _)| matches!(result, Err(error) if error.is_connection_dropped());
        let asked = self.connection.take().map(ask);
        let (result, connection) = match asked.filter(|asked| !is_dropped(asked)) {
            Some(asked) => asked,
            None => ask(self
                .connect()
                .map_err(|error| self.address.explain(&error))?),
        };
        // A reply that did not come may come later: such a connection is not used again.
        if !result.as_ref().is_err_and(RedisError::is_io_error) {
            self.connection = Some(connection);
        }
        result.map_err(|error| self.address.explain(&error))
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.address.connect(CONNECTED_WITHIN)?;
        connection.set_read_timeout(Some(ANSWERED_WITHIN))?;
        connection.set_write_timeout(Some(ANSWERED_WITHIN))?;
        Ok(connection)
    }
}
