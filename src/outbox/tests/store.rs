//! With a store behind it.

use super::*;

/// The batch is written, and this of it was known. Returns the callers whose webhooks are safe.
fn written(
    outbox: &mut Outbox<u32>,
    batch: &WriteBatch,
    known: &[EchoId],
    now: Instant,
) -> Vec<u32> {
    let known = known.to_vec();
    let (safe, refused) = outbox.written(
        batch,
        &Written {
            known,
            ..Written::default()
        },
        now,
    );
    assert_eq!(refused, [0; 0]);
    safe
}

#[test]
fn with_a_store_nothing_is_safe_or_sent_before_it_is_written() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    assert_eq!(next_text(&mut outbox, now), None);
    let batch = outbox.take_batch().expect("there is something to write");
    assert_eq!(batch.accepted.len(), 1);
    assert!(!outbox.has_batch());
    // The same message again, while it is being written.
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 2, now),
        Accepted::Waiting
    );
    assert_eq!(written(&mut outbox, &batch, &[], now), [1, 2]);
    let due = outbox.take(now).expect("it is due now");
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 3, now),
        Accepted::Safe(3)
    );

    outbox.ended(&due, Outcome::Delivered, now);
    assert!(!outbox.is_flushed());
    let batch = outbox.take_batch().expect("what is done is written");
    assert_eq!(batch.done.len(), 1);
    written(&mut outbox, &batch, &[], now);
    assert!(outbox.is_flushed());
}

#[test]
fn what_the_store_has_seen_is_safe_and_not_sent() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1", "a2"], now);
    let batch = outbox.take_batch().expect("there is something to write");
    let seen = batch.accepted[0].id;
    assert_eq!(written(&mut outbox, &batch, &[seen], now), [1]);
    assert_eq!(next_text(&mut outbox, now).as_deref(), Some("a2"));
    assert_eq!(outbox.owed(), 1);
}

#[test]
fn what_could_not_be_written_is_refused_kept_and_joined_by_a_redelivery() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let batch = outbox.take_batch().expect("there is something to write");
    written(&mut outbox, &batch, &[], now);
    let due = outbox.take(now).expect("it is due");
    outbox.ended(&due, Outcome::Delivered, now);
    assert_eq!(
        outbox.accept(vec![echo("b", "b1"), echo("c", "c1")], 2, now),
        Accepted::Waiting
    );
    let batch = outbox.take_batch().expect("there is something to write");
    assert_eq!((batch.accepted.len(), batch.done.len()), (2, 1));
    assert_eq!(outbox.not_written(batch), [2]);
    assert_eq!(outbox.owed(), 2);
    assert_eq!(next_text(&mut outbox, now + SECOND), None, "it is not safe");
    // The redelivery of one, and a new message.
    let again = vec![echo("b", "b1"), echo("d", "d1")];
    let then = now + SECOND + SECOND / 10;
    assert_eq!(outbox.accept(again, 3, then), Accepted::Waiting);
    let batch = outbox
        .take_batch()
        .expect("a webhook is a reason to try again");
    let texts: Vec<_> = batch.accepted.iter().map(|one| &*one.echo.text).collect();
    assert_eq!((&texts[..], batch.done.len()), (&["b1", "c1", "d1"][..], 1));
    assert_eq!(written(&mut outbox, &batch, &[], then), [3]);
    assert!(outbox.is_flushed());
    let sent: Vec<_> = std::iter::from_fn(|| next_text(&mut outbox, then)).collect();
    assert_eq!(sent, ["b1", "c1", "d1"]);
}

#[test]
fn a_failed_write_is_still_to_be_written_and_the_outbox_is_not_ok_before() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let batch = outbox.take_batch().expect("there is something to write");
    outbox.not_written(batch);
    assert!(!outbox.is_flushed() && outbox.has_batch() && !outbox.is_ok(now));
    let batch = outbox.take_batch().expect("it is tried again");
    written(&mut outbox, &batch, &[], now);
    assert!(outbox.is_flushed() && outbox.is_ok(now));
}

#[test]
fn what_a_full_log_refuses_is_as_if_it_had_never_come() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let two = vec![echo("a", "a2"), echo("b", "b1")];
    assert_eq!(outbox.accept(two, 2, now), Accepted::Waiting);
    let batch = outbox.take_batch().expect("there is something to write");
    let ids: Vec<EchoId> = batch.accepted.iter().map(|stored| stored.id).collect();
    let (known, refused) = (vec![ids[0], ids[1]], vec![ids[2]]);
    let in_part = Written {
        known,
        refused,
        ..Written::default()
    };
    let (safe, refused) = outbox.written(&batch, &in_part, now);
    assert_eq!((safe, refused), (vec![1], vec![2]));
    assert!(outbox.is_ok(now), "something was taken");
    let again = vec![echo("a", "a2"), echo("b", "b1")];
    assert_eq!(outbox.accept(again, 3, now), Accepted::Waiting);
    let batch = outbox.take_batch().expect("there is something to write");
    let texts: Vec<_> = batch.accepted.iter().map(|one| &*one.echo.text).collect();
    assert_eq!(texts, ["a2", "b1"], "the log knows which of them it has");
    let none = Written {
        refused: batch.accepted.iter().map(|stored| stored.id).collect(),
        ..Written::default()
    };
    assert_eq!(outbox.written(&batch, &none, now).1, [3]);
    assert!(!outbox.is_ok(now) && outbox.is_ok(now + 6 * SECOND));
    assert_eq!((outbox.owed(), next_text(&mut outbox, now)), (0, None));
}

#[test]
fn a_hundred_thousand_messages_that_the_store_has_seen_are_no_work() {
    let now = Instant::now();
    let count = 100_000;
    let mut outbox = outbox(Limits {
        max_pending: count,
        durable: true,
        ..LIMITS
    });
    let echoes = (0..count).map(|n| echo("a", &n.to_string())).collect();
    outbox.accept(echoes, 1, now);
    let batch = outbox.take_batch().expect("there is something to write");
    let seen: Vec<EchoId> = batch.accepted.iter().map(|record| record.id).collect();
    let start = Instant::now();
    assert_eq!(written(&mut outbox, &batch, &seen, now), [1]);
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
}

#[test]
fn a_call_counts_as_unwritten_from_its_end_until_that_is_on_disk() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let batch = outbox.take_batch().expect("there is something to write");
    written(&mut outbox, &batch, &[], now);
    let due = outbox.take(now).expect("it is due");
    assert_eq!(outbox.unwritten(), 0);
    outbox.ended(&due, Outcome::Delivered, now);
    assert_eq!(outbox.unwritten(), 1);
    let batch = outbox.take_batch().expect("there is something to write");
    assert_eq!(outbox.unwritten(), 1, "it is being written");
    outbox.not_written(batch);
    assert_eq!(outbox.unwritten(), 1);
    let batch = outbox.take_batch().expect("it is tried again");
    written(&mut outbox, &batch, &[], now);
    assert_eq!(outbox.unwritten(), 0);
}

#[test]
fn what_came_when_the_store_was_gone_is_as_if_it_had_never_come() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let batch = outbox.take_batch().expect("it is to be written");
    assert_eq!(
        outbox.accept(vec![echo("a", "a2")], 2, now),
        Accepted::Waiting
    );
    assert_eq!(outbox.lose_store(&batch), [1, 2]);
    assert_eq!(next_text(&mut outbox, now), None);
    for mid in ["a1", "a2"] {
        let again = outbox.accept(vec![echo("a", mid)], 3, now);
        assert_eq!(again, Accepted::Waiting, "{mid} was not answered");
    }
}
