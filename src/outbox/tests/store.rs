//! With a store behind it.

use super::*;

#[test]
fn with_a_store_nothing_is_safe_or_sent_before_it_is_written() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    assert_eq!(next_text(&mut outbox, now), None);
    let batch = outbox
        .take_batch(now, false)
        .expect("there is something to write");
    assert_eq!(batch.accepted.len(), 1);
    assert!(
        outbox.take_batch(now, true).is_none(),
        "one write at a time"
    );
    // The same message again, while it is being written.
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 2, now),
        Accepted::Waiting
    );
    assert_eq!(outbox.written(&batch, &[], now), [1, 2]);
    let due = outbox.next_due(now).expect("it is due now");
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 3, now),
        Accepted::Safe(3)
    );

    outbox.ended(&due, Outcome::Delivered, now);
    assert!(
        outbox.take_batch(now, false).is_none(),
        "what is settled waits a little"
    );
    let batch = outbox
        .take_batch(now + SECOND, false)
        .expect("and is written then");
    assert_eq!(batch.done.len(), 1);
    outbox.written(&batch, &[], now);
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
    let batch = outbox
        .take_batch(now, false)
        .expect("there is something to write");
    let seen = batch.accepted[0].id;
    assert_eq!(outbox.written(&batch, &[seen], now), [1]);
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
    let batch = outbox
        .take_batch(now, false)
        .expect("there is something to write");
    outbox.written(&batch, &[], now);
    let due = outbox.next_due(now).expect("it is due");
    outbox.ended(&due, Outcome::Delivered, now);
    assert_eq!(
        outbox.accept(vec![echo("b", "b1"), echo("c", "c1")], 2, now),
        Accepted::Waiting
    );
    let batch = outbox
        .take_batch(now + SECOND, false)
        .expect("there is something to write");
    assert_eq!((batch.accepted.len(), batch.done.len()), (2, 1));
    assert_eq!(outbox.not_written(batch, now + SECOND), [2]);
    assert_eq!(outbox.owed(), 2);
    assert_eq!(next_text(&mut outbox, now + SECOND), None, "it is not safe");
    // The redelivery of one, and a new message.
    let again = vec![echo("b", "b1"), echo("d", "d1")];
    let then = now + SECOND + SECOND / 10;
    assert_eq!(outbox.accept(again, 3, then), Accepted::Waiting);
    let batch = outbox
        .take_batch(then, false)
        .expect("a webhook is a reason to try again");
    let texts: Vec<_> = batch.accepted.iter().map(|one| &*one.echo.text).collect();
    assert_eq!((&texts[..], batch.done.len()), (&["b1", "c1", "d1"][..], 1));
    assert_eq!(outbox.written(&batch, &[], then), [3]);
    assert_eq!(outbox.next_write(), None);
    let sent: Vec<_> = std::iter::from_fn(|| next_text(&mut outbox, then)).collect();
    assert_eq!(sent, ["b1", "c1", "d1"]);
}

#[test]
fn webhooks_that_come_shortly_after_a_write_are_written_together() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let first = outbox
        .take_batch(now, false)
        .expect("the first one does not wait");
    outbox.written(&first, &[], now);
    owe(&mut outbox, "b", &["b1"], now);
    owe(&mut outbox, "c", &["c1"], now);
    assert!(outbox.take_batch(now, false).is_none());
    let later = outbox.next_write().expect("it will be written");
    assert!(later <= now + SECOND / 40, "and soon");
    let second = outbox
        .take_batch(later, false)
        .expect("there is something to write");
    assert_eq!(second.accepted.len(), 2);
}

#[test]
fn a_failed_write_is_tried_again_by_itself_and_not_before_a_second_has_passed() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let batch = outbox
        .take_batch(now, false)
        .expect("there is something to write");
    outbox.not_written(batch, now);
    assert!(!outbox.is_flushed(), "it is still to be written");
    assert!(
        outbox.take_batch(now, true).is_none(),
        "not even on the way down"
    );
    assert_eq!(outbox.next_write(), Some(now + SECOND));
    let batch = outbox
        .take_batch(now + SECOND, false)
        .expect("only a write tells whether there is room again");
    outbox.written(&batch, &[], now);
    assert_eq!(outbox.next_write(), None);
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
    let batch = outbox
        .take_batch(now, false)
        .expect("there is something to write");
    let seen: Vec<EchoId> = batch.accepted.iter().map(|record| record.id).collect();
    let start = Instant::now();
    assert_eq!(outbox.written(&batch, &seen, now), [1]);
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
    let batch = outbox
        .take_batch(now, false)
        .expect("there is something to write");
    outbox.written(&batch, &[], now);
    let due = outbox.next_due(now).expect("it is due");
    assert_eq!(outbox.unwritten(), 0);
    outbox.ended(&due, Outcome::Delivered, now);
    assert_eq!(outbox.unwritten(), 1);
    let batch = outbox
        .take_batch(now, true)
        .expect("there is something to write");
    assert_eq!(outbox.unwritten(), 1, "it is being written");
    outbox.not_written(batch, now);
    assert_eq!(outbox.unwritten(), 1);
    let batch = outbox
        .take_batch(now + SECOND, true)
        .expect("it is tried again");
    outbox.written(&batch, &[], now);
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
    let batch = outbox.take_batch(now, false).expect("it is to be written");
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
