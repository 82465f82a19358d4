//! The tables in the file: what is pending, how much of it was sent, and the mids seen.

use std::sync::Arc;
use std::time::Duration;

use redb::{
    Database, Error, ReadableDatabase as _, ReadableTable as _, StorageError, Table,
    TableDefinition, TableError, TableHandle as _, UntypedTableHandle, WriteTransaction,
};

use crate::clock::{self, milliseconds};
use crate::echo::Echo;
use crate::event::Platform;
use crate::outbox::{EchoId, MidDigest, StoredEcho, WriteBatch};

/// Mids are kept in a table for each stretch of this length in which some came, so that forgetting is dropping a table.
const STRETCH: Duration = Duration::from_secs(12 * 60 * 60);

/// So many tables are kept: a redelivered message is known for 36 hours at least. Messenger gives up far sooner.
const KEPT: usize = 4;

/// Tables are kept by the order in which they were made, which no clock can change. So the number of a table is that of its
/// stretch, and this besides for each time that the clock was set back before it was made.
const SET_BACK: u64 = 1 << 32;

/// Of every echo that is owed: whether it is on Instagram, the milliseconds since 1970 at which
/// the message came, Messenger's own time of it, recipient, mid and text.
type Pending<'a> = (bool, u64, Option<u64>, &'a str, Option<&'a str>, &'a str);
const PENDING: TableDefinition<'_, EchoId, Pending<'_>> = TableDefinition::new("pending");

/// Bytes that have been sent of texts that were sent in part.
const SENT: TableDefinition<'_, EchoId, u64> = TableDefinition::new("sent");

/// The names of the tables of mids begin so; the number follows.
const SEEN: &str = "seen-";
type Mids<'a> = TableDefinition<'a, [u8; 16], ()>;

/// What is owed, in order.
pub(super) fn read_pending(database: &Database) -> Result<Vec<StoredEcho>, Error> {
    let transaction = database.begin_read()?;
    let pending = match transaction.open_table(PENDING) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        pending => pending?,
    };
    let sent = transaction.open_table(SENT)?;
    let mut all = Vec::new();
    for row in pending.iter()? {
        let (id, row) = row?;
        let sent = sent.get(id.value())?.map_or(0, |sent| sent.value());
        all.push(stored(id.value(), row.value(), sent));
    }
    Ok(all)
}

fn stored(id: EchoId, row: Pending<'_>, sent: u64) -> StoredEcho {
    let (is_instagram, came, timestamp, recipient, mid, text) = row;
    let sent = usize::try_from(sent).unwrap_or_default();
    let platform = [Platform::Messenger, Platform::Instagram][usize::from(is_instagram)];
    StoredEcho {
        id,
        mid: mid.map(MidDigest::of),
        // A place where the text cannot be cut was not written by this program.
        sent: if text.is_char_boundary(sent) { sent } else { 0 },
        came: clock::instant(came),
        echo: Arc::new(Echo {
            recipient: recipient.into(),
            mid: mid.map(str::to_string),
            timestamp,
            text: text.to_string(),
            platform,
        }),
    }
}

/// Writes a batch in one transaction. Returns those of the accepted echoes whose messages are
/// known: they are passed over.
pub(super) fn write(database: &Database, batch: &WriteBatch) -> Result<Vec<EchoId>, Error> {
    let transaction = database.begin_write()?;
    let mut known = Vec::new();
    {
        let mut pending = transaction.open_table(PENDING)?;
        let mut sent = transaction.open_table(SENT)?;
        let mut seen = Seen::open(&transaction)?;
        for stored in &batch.accepted {
            let StoredEcho { id, echo, mid, .. } = stored;
            let is_new = mid.map_or(Ok(true), |mid| seen.insert(mid))?;
            // A commit that failed may have been written all the same: then the mid is its own.
            if !is_new && pending.get(id)?.is_none() {
                known.push(*id);
                continue;
            }
            let row = (
                echo.platform == Platform::Instagram,
                clock::since_1970(stored.came),
                echo.timestamp,
                &*echo.recipient,
                echo.mid.as_deref(),
                &*echo.text,
            );
            pending.insert(id, row)?;
        }
        for (id, bytes) in &batch.sent {
            sent.insert(id, *bytes as u64)?;
        }
        for id in &batch.done {
            pending.remove(id)?;
            sent.remove(id)?;
        }
    }
    transaction.commit()?;
    Ok(known)
}

/// The mids of the last 36 hours.
struct Seen<'txn> {
    /// Those of this stretch.
    newest: Table<'txn, [u8; 16], ()>,
    /// Those of the stretches before, by whatever clock.
    others: Vec<Table<'txn, [u8; 16], ()>>,
}

impl<'txn> Seen<'txn> {
    fn open(transaction: &'txn WriteTransaction) -> Result<Seen<'txn>, Error> {
        Seen::open_at(transaction, clock::now() / milliseconds(STRETCH))
    }

    fn open_at(transaction: &'txn WriteTransaction, stretch: u64) -> Result<Seen<'txn>, Error> {
        let number = |table: UntypedTableHandle| table.name().strip_prefix(SEEN)?.parse().ok();
        let mut numbers: Vec<u64> = transaction.list_tables()?.filter_map(number).collect();
        numbers.sort_unstable();
        let is_of_now = |number: &u64| number % SET_BACK == stretch;
        let last = numbers.last().copied().unwrap_or_default();
        let next = last - last % SET_BACK + stretch;
        let next = if next < last { next + SET_BACK } else { next };
        let newest = numbers.iter().copied().rfind(is_of_now).unwrap_or(next);
        numbers.retain(|number| *number != newest);
        let name = |number| format!("{SEEN}{number}");
        for number in numbers.drain(..numbers.len().saturating_sub(KEPT - 1)) {
            transaction.delete_table(Mids::new(&name(number)))?;
        }
        let open = |number| transaction.open_table(Mids::new(&name(number)));
        Ok(Seen {
            newest: open(newest)?,
            others: numbers.into_iter().map(open).collect::<Result<_, _>>()?,
        })
    }

    /// Returns whether it was new.
    fn insert(&mut self, MidDigest(mid): MidDigest) -> Result<bool, StorageError> {
        for stretch in &self.others {
            if stretch.get(mid)?.is_some() {
                return Ok(false);
            }
        }
        Ok(self.newest.insert(mid, ())?.is_none())
    }
}

#[cfg(test)]
mod tests;
