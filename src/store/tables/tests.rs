//! What is in the file after each write.

use redb::Builder;
use redb::backends::InMemoryBackend;

use super::*;

fn database() -> Database {
    let database = Builder::new().create_with_backend(InMemoryBackend::new());
    database.expect("there is memory")
}

fn record(id: EchoId, mid: &str) -> Record {
    Record {
        id,
        echo: Arc::new(Echo {
            recipient: "7".into(),
            mid: Some(mid.to_string()),
            text: mid.to_string(),
            timestamp: Some(id),
            platform: Platform::Instagram,
        }),
        mid: Some(MidDigest::of(mid)),
        sent: 0,
        came: Instant::now(),
    }
}

fn accept(database: &Database, records: &[Record], undone: &[Record]) -> Vec<EchoId> {
    let changes = Changes {
        accepted: records.to_vec(),
        ..Changes::default()
    };
    write(database, &changes, undone).expect("it can be written")
}

fn pending(database: &Database) -> Vec<EchoId> {
    let pending = read_pending(database).expect("it can be read");
    pending.iter().map(|record| record.id).collect()
}

#[test]
fn what_is_pending_is_read_as_it_was_written() {
    let database = database();
    accept(&database, &[record(1, "a"), record(2, "bcd")], &[]);
    let sent = Changes {
        sent: vec![(2, 1)],
        settled: vec![1],
        ..Changes::default()
    };
    write(&database, &sent, &[]).expect("it can be written");
    let read = read_pending(&database).expect("it can be read");
    let [read] = &read[..] else {
        panic!("{read:?}");
    };
    let written = record(2, "bcd");
    assert_eq!((read.id, read.sent, read.mid), (2, 1, written.mid));
    assert_eq!(read.echo, written.echo);
}

#[test]
fn what_a_failed_write_left_is_taken_out_and_its_message_can_come_again() {
    let database = database();
    let (left, not_left) = (record(1, "a"), record(2, "b"));
    accept(&database, std::slice::from_ref(&left), &[]);
    let undone = [left, not_left];
    assert_eq!(accept(&database, &[], &undone), [0; 0]);
    assert_eq!(pending(&database), [0; 0]);
    accept(&database, &[record(3, "a")], &[]);
    // A mid that was not written then is none the worse for it.
    assert_eq!(accept(&database, &[record(4, "b")], &undone), [0; 0]);
    assert_eq!(pending(&database), [3, 4]);
    assert_eq!(
        accept(&database, &[record(5, "a"), record(6, "b")], &[]),
        [5, 6]
    );
}

#[test]
fn of_failed_writes_only_what_is_there_is_remembered() {
    let database = database();
    accept(&database, &[record(1, "a"), record(3, "c")], &[]);
    let failed = [record(2, "b"), record(3, "c"), record(4, "d")];
    let there = written(&database, &failed).expect("it can be read");
    let ids: Vec<EchoId> = there.iter().map(|record| record.id).collect();
    assert_eq!(ids, [3]);
    let empty = self::database();
    assert!(written(&empty, &failed).is_ok_and(|there| there.is_empty()));
}

#[test]
fn a_mid_is_known_for_36_hours_and_forgotten_after_48_unless_the_clock_is_set_back() {
    let database = database();
    accept(&database, &[record(1, "new")], &[]);
    // The names are in every file that there is: they stay what they are.
    let hours = now() / (60 * 60 * 1000);
    let table_of =
        |hours_ago: i64| format!("seen-{}", hours.saturating_add_signed(-hours_ago) / 12);
    let transaction = database.begin_write().expect("nobody else writes");
    for (hours_ago, mid) in [(-12, "set back"), (36, "old"), (48, "too old")] {
        let MidDigest(mid) = MidDigest::of(mid);
        let name = table_of(hours_ago);
        let table = transaction.open_table(TableDefinition::<[u8; 16], ()>::new(&name));
        let mut table = table.expect("there is memory");
        table.insert(mid, ()).expect("there is memory");
    }
    transaction.commit().expect("there is memory");

    let again = [
        record(2, "new"),
        record(3, "old"),
        record(4, "too old"),
        record(5, "set back"),
    ];
    assert_eq!(accept(&database, &again, &[]), [2, 3, 5]);
    let transaction = database.begin_read().expect("it can be read");
    let tables = transaction.list_tables().expect("it can be read");
    let names: Vec<_> = tables.map(|table| table.name().to_string()).collect();
    assert!(!names.contains(&table_of(48)), "{names:?}");
}
