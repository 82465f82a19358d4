//! What the log brings, and what a lease allows.

use super::*;

fn stored(id: EchoId, to: &str, text: &str) -> StoredEcho {
    StoredEcho {
        id,
        mid: None,
        sent: 0,
        came: Instant::now(),
        echo: Arc::new(echo(to, text)),
    }
}

fn shared() -> Outbox<u32> {
    outbox(Limits {
        durable: true,
        ..LIMITS
    })
}

#[test]
fn what_the_log_brings_goes_out_in_its_order_to_each_person() {
    let now = Instant::now();
    let mut outbox = shared();
    outbox.lead(1, vec![stored(1, "a", "a1"), stored(2, "b", "b1")], now);
    outbox.owe(vec![stored(3, "a", "a2")], now);
    assert_eq!(outbox.owed(), 3);
    let mut texts = Vec::new();
    while let Some(due) = outbox.take(now) {
        texts.push(due.text().to_string());
        outbox.ended(&due, Outcome::Delivered, now);
    }
    texts.retain(|text| text.starts_with('a'));
    assert_eq!(
        (texts, outbox.owed()),
        (vec!["a1".to_string(), "a2".to_string()], 0)
    );
}

#[test]
fn a_call_begins_only_as_long_as_the_lease_allows() {
    let now = Instant::now();
    let mut outbox = shared();
    outbox.lead(1, vec![stored(1, "a", "a1")], now);
    outbox.lease.calls_until = Some(now + SECOND);
    let later = now + 2 * SECOND;
    assert_eq!(next_text(&mut outbox, later), None);
    outbox.lease.calls_until = Some(later);
    assert_eq!(next_text(&mut outbox, later).as_deref(), Some("a1"));
}

#[test]
fn after_a_commit_that_failed_or_was_refused_no_call_begins_whatever_the_lease_allows() {
    let now = Instant::now();
    let mut outbox = shared();
    outbox.lead(7, vec![stored(1, "a", "a1")], now);
    outbox.lease.calls_until = Some(now + MINUTE);
    owe(&mut outbox, "b", &["b1"], now);
    let batch = outbox.take_batch().expect("there is something to write");
    assert_eq!(batch.epoch, 7);
    assert_eq!(outbox.not_written(batch), [1]);
    assert_eq!(outbox.next_time(now), None);
    outbox.lease.is_in_doubt = false;
    assert_eq!(outbox.next_time(now), Some(now));
    let batch = outbox.take_batch().expect("it is tried again");
    let refused = Written {
        is_in_doubt: true,
        ..Written::default()
    };
    outbox.written(&batch, &refused, now);
    assert_eq!(outbox.next_time(now), None);
}

#[test]
fn what_comes_of_a_call_from_before_a_new_lease_changes_nothing() {
    let now = Instant::now();
    let mut outbox = shared();
    outbox.lead(1, vec![stored(1, "a", "a1")], now);
    let old = outbox.take(now).expect("it is due");
    outbox.lead(2, vec![stored(1, "a", "a1")], now);
    outbox.ended(&old, Outcome::Delivered, now);
    assert_eq!(outbox.owed(), 1, "it may not have been written");
    assert_eq!(next_text(&mut outbox, now).as_deref(), Some("a1"));
}

#[test]
fn without_the_lease_nothing_is_owed_here() {
    let now = Instant::now();
    let mut outbox = shared();
    outbox.lead(1, vec![stored(1, "a", "a1")], now);
    outbox.follow(now);
    assert_eq!((outbox.owed(), next_text(&mut outbox, now)), (0, None));
}

#[test]
fn what_is_not_in_the_log_yet_stays_when_the_lease_changes() {
    let now = Instant::now();
    let mut outbox = shared();
    owe(&mut outbox, "a", &["a1"], now);
    let batch = outbox.take_batch().expect("there is something to write");
    owe(&mut outbox, "b", &["b1"], now);
    outbox.lead(1, vec![stored(1 << 20, "a", "a1")], now);
    outbox.follow(now);
    let all = |batch: &WriteBatch| Written {
        known: batch.accepted.iter().map(|stored| stored.id).collect(),
        ..Written::default()
    };
    assert_eq!(outbox.written(&batch, &all(&batch), now).0, [1]);
    let batch = outbox.take_batch().expect("there is something to write");
    assert_eq!(outbox.written(&batch, &all(&batch), now).0, [1]);
    assert_eq!(
        (outbox.owed(), next_text(&mut outbox, now)),
        (0, None),
        "the one with the lease sends it"
    );
}

#[test]
fn what_is_done_and_not_written_yet_is_not_owed_again_when_the_log_is_read_once_more() {
    let now = Instant::now();
    let log = vec![
        stored(1, "a", "a1"),
        stored(2, "b", "b1"),
        stored(3, "c", "c1"),
    ];
    let mut outbox = shared();
    outbox.lead(1, log.clone(), now);
    // One is done and in the commit that is under way, one is done since, and one is in flight.
    let first = outbox.take(now).expect("it is due");
    outbox.ended(&first, Outcome::Delivered, now);
    let batch = outbox.take_batch().expect("its end is to be written");
    let second = outbox.take(now).expect("it is due");
    outbox.ended(&second, Outcome::Delivered, now);
    let third = outbox.take(now).expect("it is due");
    outbox.lead(1, log, now);
    assert_eq!(outbox.owed(), 1);
    outbox.written(&batch, &Written::default(), now);
    outbox.lead(1, vec![stored(4, "a", "a2")], now);
    outbox.ended(&third, Outcome::Delivered, now);
    assert_eq!(next_text(&mut outbox, now).as_deref(), Some("a2"));
    assert_eq!(outbox.owed(), 1);
}
