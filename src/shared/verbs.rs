//! The four verbs on the log that the processes share: append, lead, tail, commit. Each is one script or command, so
//! that nobody sees half of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{
    Client, Cmd, Connection, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Value,
};

use super::record::{from_id, record, stored, to_id};
use super::{Address, SharedError};
use crate::clock::milliseconds;
use crate::echo::Echo;
use crate::outbox::{EchoId, MidDigest, StoredEcho, WriteBatch};

/// A connection is there within this time, and a reply within the next: together less than Messenger waits.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Where much is owed, one person may hold this part of what may be owed, or so many echoes.
const PERSONS_SHARE: usize = 100;
const LEAST_SHARE: usize = 100;

/// Records that are read at once.
const CHUNK: usize = 1000;

/// One connection to the log.
pub(super) struct Log {
    address: Arc<Address>,
    connection: Option<Connection>,
}

/// Who sends.
pub(super) enum Lease {
    /// This process sends, in this epoch. The log's last record is this one.
    Ours { epoch: u64, last: EchoId },
    /// Another one does, for so long at least.
    Others(Duration),
}

/// What has become of the echoes of one webhook.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// They are in the log, or were.
    Safe,
    /// There is no room for them.
    Full,
    /// The server refuses them.
    Refused(String),
}

impl Log {
    pub(super) fn new(address: &Arc<Address>) -> Log {
        Log {
            address: Arc::clone(address),
            connection: None,
        }
    }

    /// Appends the echoes of each webhook, all of them or none. It may be repeated: known mids are passed over.
    pub(super) fn append(
        &mut self,
        max: usize,
        webhooks: &[&[Echo]],
    ) -> Result<Vec<Appended>, SharedError> {
        let mut pipeline = redis::pipe();
        for echoes in webhooks {
            pipeline.add_command(self.append_command(max, echoes));
        }
        let replies: Vec<Value> = self.pipeline(pipeline.ignore_errors())?;
        let appended = |reply| match reply {
            Value::Int(-1) => Appended::Full,
            Value::Int(_) => Appended::Safe,
            Value::ServerError(error) => Appended::Refused(self.error(&error.into()).to_string()),
            _ => Appended::Refused("its answer makes no sense".to_string()),
        };
        Ok(replies.into_iter().map(appended).collect())
    }

    fn append_command(&self, max: usize, echoes: &[Echo]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(include_str!("append.lua")).arg(3);
        command
            .arg(self.key("log"))
            .arg(self.key("owed"))
            .arg(self.key("known"));
        command.arg(self.key("mids:")).arg(max);
        command.arg((max / PERSONS_SHARE).max(LEAST_SHARE));
        for echo in echoes {
            let mid = echo.mid.as_deref().map(MidDigest::of);
            let mid = mid.as_ref().map_or(&[][..], |MidDigest(mid)| mid);
            command.arg(&*echo.recipient).arg(mid).arg(record(echo));
        }
        command
    }

    /// Takes the lease for this time, or keeps it.
    pub(super) fn lead(&mut self, name: &str, lease: Duration) -> Result<Lease, SharedError> {
        let mut command = redis::cmd("EVAL");
        command.arg(include_str!("lead.lua")).arg(3);
        command
            .arg(self.key("leader"))
            .arg(self.key("epoch"))
            .arg(self.key("log"));
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
    pub(super) fn resign(&mut self, name: &str) -> Result<(), SharedError> {
        let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(1).arg(self.key("leader")).arg(name);
        self.query(&command)
    }

    /// All that is owed, in order.
    pub(super) fn read(&mut self) -> Result<Vec<StoredEcho>, SharedError> {
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
    ) -> Result<Vec<StoredEcho>, SharedError> {
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

    /// Writes what was sent; `false` when another process sends by now.
    pub(super) fn commit(&mut self, epoch: u64, batch: &WriteBatch) -> Result<bool, SharedError> {
        let mut command = redis::cmd("EVAL");
        command.arg(include_str!("commit.lua")).arg(4);
        command
            .arg(self.key("epoch"))
            .arg(self.key("log"))
            .arg(self.key("sent"))
            .arg(self.key("owed"));
        command.arg(epoch).arg(batch.sent.len());
        for (id, bytes) in &batch.sent {
            command.arg(from_id(*id)).arg(*bytes);
        }
        for id in &batch.done {
            command.arg(from_id(*id));
        }
        self.query(&command)
    }

    /// How many echoes are owed, and whether a process has the lease.
    pub(super) fn state(&mut self) -> Result<(usize, bool), SharedError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(self.key("log"));
        pipeline.cmd("EXISTS").arg(self.key("leader"));
        self.pipeline(&pipeline)
    }

    /// What the server's own settings are; none when it does not tell.
    pub(super) fn settings(
        &mut self,
        names: &[&str],
    ) -> Result<Option<HashMap<String, String>>, SharedError> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(names);
        self.run(|connection| match command.query(connection) {
            Err(error) if !error.is_io_error() => Ok(None),
            told => told.map(Some),
        })
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.address.prefix)
    }

    fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, SharedError> {
        self.run(|connection| command.query(connection))
    }

    fn pipeline<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, SharedError> {
        self.run(|connection| pipeline.query(connection))
    }

    /// Once more on a new connection when an old one has broken: every verb may be repeated.
    fn run<T>(
        &mut self,
        ask: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, SharedError> {
        if let Some(connection) = &mut self.connection {
            match ask(connection) {
                Err(error) if error.is_connection_dropped() => {}
                result => return self.end(result),
            }
        }
        self.connection = None;
        let connected = self.connect();
        let connection = self
            .connection
            .insert(connected.map_err(|error| self.error(&error))?);
        let result = ask(connection);
        self.end(result)
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connect = |client: Client| client.get_connection_with_timeout(CONNECTED_WITHIN);
        let mut connected = Err((ErrorKind::Io, "the name has no address").into());
        for client in self.address.clients()? {
            connected = connect(client);
            if connected.is_ok() {
                break;
            }
        }
        let connection = connected?;
        connection.set_read_timeout(Some(ANSWERED_WITHIN))?;
        connection.set_write_timeout(Some(ANSWERED_WITHIN))?;
        Ok(connection)
    }

    /// A reply that did not come may come later: such a connection is not used again.
    fn end<T>(&mut self, result: RedisResult<T>) -> Result<T, SharedError> {
        if result.as_ref().is_err_and(RedisError::is_io_error) {
            self.connection = None;
        }
        result.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &RedisError) -> SharedError {
        SharedError::new(&self.address, error)
    }
}
