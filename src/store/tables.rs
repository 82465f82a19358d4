//! The tables in the file: what is pending, how much of it was sent, and the mids seen.

use std::sync::Arc;
use std::time::Duration;

use redb::{
    Database, Error, ReadableDatabase as _, ReadableTable as _, StorageError, Table,
    TableDefinition, TableError, TableHandle as _, WriteTransaction,
};

use crate::clock::{self, milliseconds};
use crate::echo::Echo;
use crate::event::Platform;
use crate::outbox::{EchoId, MidDigest, StoredEcho, WriteBatch};

/// A redelivered message is known for this long. Messenger gives up far sooner.
const REMEMBERED: Duration = Duration::from_secs(36 * 60 * 60);

/// Mids are kept in a table for each stretch of this length, so that forgetting is dropping a
/// table.
const STRETCH: Duration = Duration::from_secs(12 * 60 * 60);

/// Of every echo that is owed: whether it is on Instagram, the milliseconds since 1970 at which
/// the message came, Messenger's own time of it, recipient, mid and text.
type Pending<'a> = (bool, u64, Option<u64>, &'a str, Option<&'a str>, &'a str);
const PENDING: TableDefinition<'_, EchoId, Pending<'_>> = TableDefinition::new("pending");

/// Bytes that have been sent of texts that were sent in part.
const SENT: TableDefinition<'_, EchoId, u64> = TableDefinition::new("sent");

/// The names of the tables of mids begin so; the number of the stretch follows.
const SEEN: &str = "seen-";

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
    /// Those of the stretches before, and of later ones where the clock was set back.
    others: Vec<Table<'txn, [u8; 16], ()>>,
}

impl<'txn> Seen<'txn> {
    fn open(transaction: &'txn WriteTransaction) -> Result<Seen<'txn>, Error> {
        let newest = clock::now() / milliseconds(STRETCH);
        let oldest = newest.saturating_sub(milliseconds(REMEMBERED) / milliseconds(STRETCH));
        let number = |name: &str| name.strip_prefix(SEEN)?.parse::<u64>().ok();
        let tables: Vec<_> = transaction.list_tables()?.collect();
        let numbers = tables.iter().filter_map(|table| number(table.name()));
        let mut others: Vec<u64> = numbers.filter(|number| *number != newest).collect();
        // Where there is none of the last stretches before this one, the clock may have been set forward, and what looks
        // old may be young.
        if others
            .iter()
            .any(|number| (oldest..newest).contains(number))
        {
            others.retain(|number| *number >= oldest);
            for table in tables {
                if number(table.name()).is_some_and(|number| number < oldest) {
                    transaction.delete_table(table)?;
                }
            }
        }
        let open = |number| {
            let name = format!("{SEEN}{number}");
            transaction.open_table(TableDefinition::new(&name))
        };
        Ok(Seen {
            newest: open(newest)?,
            others: others.into_iter().map(open).collect::<Result<_, _>>()?,
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
