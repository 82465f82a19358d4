//! What is in the file after each write.

use redb::Builder;
use redb::backends::InMemoryBackend;

use std::time::Instant;

use super::*;

fn database() -> Database {
    let database = Builder::new().create_with_backend(InMemoryBackend::new());
    database.expect("there is memory")
}

fn stored(id: EchoId, mid: &str) -> StoredEcho {
    StoredEcho {
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

fn accept(database: &Database, accepted: &[StoredEcho]) -> Vec<EchoId> {
    let batch = WriteBatch {
        accepted: accepted.to_vec(),
        ..WriteBatch::default()
    };
    write(database, &batch).expect("it can be written")
}

fn pending(database: &Database) -> Vec<EchoId> {
    let pending = read_pending(database).expect("it can be read");
    pending.iter().map(|record| record.id).collect()
}

#[test]
fn what_is_pending_is_read_as_it_was_written() {
    let database = database();
    accept(&database, &[stored(1, "a"), stored(2, "bcd")]);
    let sent = WriteBatch {
        sent: vec![(2, 1)],
        done: vec![1],
        ..WriteBatch::default()
    };
    write(&database, &sent).expect("it can be written");
    let read = read_pending(&database).expect("it can be read");
    let [read] = &read[..] else {
        panic!("{read:?}");
    };
    let written = stored(2, "bcd");
    assert_eq!((read.id, read.sent, read.mid), (2, 1, written.mid));
    assert_eq!(read.echo, written.echo);
}

#[test]
fn a_batch_that_was_written_by_a_failed_commit_can_be_written_again() {
    let database = database();
    let batch = [stored(1, "a"), stored(2, "b")];
    accept(&database, &batch[..1]);
    assert_eq!(accept(&database, &batch), [0; 0], "its mid is its own");
    assert_eq!(pending(&database), [1, 2]);
    assert_eq!(accept(&database, &[stored(3, "a")]), [3]);
}

#[test]
fn a_mid_is_known_for_36_hours_and_forgotten_after_48_unless_the_clock_is_set_back() {
    let database = database();
    accept(&database, &[stored(1, "new")]);
    // The names are in every file that there is: they stay what they are.
    let hours = clock::now() / (60 * 60 * 1000);
    let table_of =
        |hours_ago: i64| format!("seen-{}", hours.saturating_add_signed(-hours_ago) / 12);
    let transaction = database.begin_write().expect("nobody else writes");
    for (hours_ago, mid) in [
        (-12, "set back"),
        (12, "young"),
        (36, "old"),
        (48, "too old"),
    ] {
        let MidDigest(mid) = MidDigest::of(mid);
        let name = table_of(hours_ago);
        let table = transaction.open_table(TableDefinition::<[u8; 16], ()>::new(&name));
        let mut table = table.expect("there is memory");
        table.insert(mid, ()).expect("there is memory");
    }
    transaction.commit().expect("there is memory");

    let again = [
        stored(2, "new"),
        stored(3, "old"),
        stored(4, "too old"),
        stored(5, "set back"),
    ];
    assert_eq!(accept(&database, &again), [2, 3, 5]);
    let transaction = database.begin_read().expect("it can be read");
    let tables = transaction.list_tables().expect("it can be read");
    let names: Vec<_> = tables.map(|table| table.name().to_string()).collect();
    assert!(!names.contains(&table_of(48)), "{names:?}");
}

#[test]
fn where_the_clock_jumps_forward_no_mid_is_forgotten() {
    let database = database();
    let transaction = database.begin_write().expect("nobody else writes");
    let stretch = clock::now() / (12 * 60 * 60 * 1000) - 1000;
    let name = format!("seen-{stretch}");
    let table = transaction.open_table(TableDefinition::<[u8; 16], ()>::new(&name));
    let MidDigest(mid) = MidDigest::of("before");
    table
        .expect("there is memory")
        .insert(mid, ())
        .expect("there is memory");
    transaction.commit().expect("there is memory");
    assert_eq!(accept(&database, &[stored(1, "before")]), [1]);
}

/// Writes a mid under a clock that has been in these stretches, one after the other, and tells whether it is known then.
fn is_known_after(stretches: &[u64]) -> (bool, usize) {
    let database = database();
    let (mut is_known, mut count) = (false, 0);
    for (n, stretch) in stretches.iter().enumerate() {
        let transaction = database.begin_write().expect("nobody else writes");
        {
            let mut seen = Seen::open_at(&transaction, *stretch).expect("there is memory");
            let mid = if n == stretches.len() - 1 {
                "a".to_string()
            } else {
                n.to_string()
            };
            let mid = if n == 0 { "a" } else { &mid };
            is_known = !seen.insert(MidDigest::of(mid)).expect("there is memory");
            count = transaction.list_tables().expect("there is memory").count();
        }
        transaction.commit().expect("there is memory");
    }
    (is_known, count)
}

#[test]
fn a_wrong_clock_forgets_no_mid_and_keeps_none_for_ever() {
    for (stretches, is_known) in [
        // As time goes.
        (vec![100, 101, 102, 103], true),
        (vec![100, 101, 102, 103, 104], false),
        // The clock was behind, or in 1970, and is right then; it was ahead; it goes to and fro.
        (vec![94, 100, 100], true),
        (vec![0, 100, 101], true),
        (vec![100, 160, 161], true),
        (vec![160, 100, 101], true),
        (vec![100, 99, 100, 99, 100, 99, 100], true),
        // Messages come every other day, or once a week.
        ((0..50).map(|n| n * 4).collect(), false),
        ((0..50).map(|n| n * 14).collect(), false),
    ] {
        let (found, tables) = is_known_after(&stretches);
        assert_eq!(found, is_known, "{stretches:?}");
        assert!(tables <= 4, "{stretches:?}: {tables}");
    }
}
