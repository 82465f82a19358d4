//! The outbox at times of our choosing: what takes minutes or hours on a clock.

mod faults;
mod lease;
mod page;
mod random;
mod situations;
mod store;
mod unknown;
mod witnesses;
mod world;

use super::*;
use crate::event::Platform;

const LIMITS: Limits = Limits {
    max_pending: 100,
    send_rate: 0,
    max_retries: 10,
    max_repeated: 1000,
    durable: false,
};
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn outbox(limits: Limits) -> Outbox<u32> {
    Outbox::new(limits, Vec::new(), Instant::now())
}

fn echo(to: &str, mid: &str) -> Echo {
    Echo {
        recipient: to.into(),
        mid: Some(mid.to_string()),
        timestamp: None,
        text: mid.to_string(),
        platform: Platform::Messenger,
    }
}

/// Accepts echoes of these mids to this person, from caller 1.
fn owe(outbox: &mut Outbox<u32>, to: &str, mids: &[&str], now: Instant) {
    let echoes = mids.iter().map(|mid| echo(to, mid)).collect();
    assert_eq!(outbox.accept(echoes, 1, now), Accepted::Waiting);
}

fn next_text(outbox: &mut Outbox<u32>, now: Instant) -> Option<String> {
    outbox.take(now).map(|due| due.text().to_string())
}

#[test]
fn one_person_has_one_call_in_flight_and_the_others_go_on() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1", "a2"], now);
    owe(&mut outbox, "b", &["b1"], now);
    let a1 = outbox.take(now).expect("a is due");
    assert_eq!(next_text(&mut outbox, now).as_deref(), Some("b1"));
    assert_eq!(next_text(&mut outbox, now), None, "a2 waits for a1");
    assert!(outbox.ended(&a1, Outcome::Delivered, now).safe.is_empty());
    let a2 = outbox.take(now).expect("a is due again");
    assert_eq!(
        outbox.ended(&a2, Outcome::Delivered, now).safe,
        [1],
        "the webhook is safe with its last echo"
    );
}

#[test]
fn retries_come_later_each_time_and_never_after_more_than_five_minutes() {
    let mut now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    for seconds in [1, 10, 100, 300, 600, 1200] {
        let due = outbox.take(now).expect("the pause is over");
        outbox.ended(&due, Outcome::PerhapsSent, now);
        let pause = seconds * SECOND;
        assert_eq!(next_text(&mut outbox, now + pause * 9 / 10), None);
        now += pause + 8 * SECOND;
    }
}

#[test]
fn people_in_trouble_take_half_of_the_calls_at_most() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        max_retries: 2,
        ..LIMITS
    });
    for n in 0..5 {
        owe(&mut outbox, &format!("sick {n}"), &[&format!("s_{n}")], now);
        let due = outbox.take(now).expect("it is due");
        outbox.ended(&due, Outcome::PerhapsSent, now);
        owe(&mut outbox, "well", &[&format!("w_{n}")], now);
        let due = outbox.take(now).expect("it is due");
        outbox.ended(&due, Outcome::Delivered, now);
    }
    let later = now + MINUTE;
    assert!(outbox.take(later).is_some());
    assert!(outbox.take(later).is_some());
    assert_eq!(
        next_text(&mut outbox, later),
        None,
        "two retries are in flight"
    );
    owe(&mut outbox, "well", &["w"], later);
    assert_eq!(next_text(&mut outbox, later).as_deref(), Some("w"));
}

#[test]
fn no_more_is_taken_than_may_be_owed_and_a_webhook_whole_or_not_at_all() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        max_pending: 3,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1", "a2"], now);
    let two = vec![echo("b", "b1"), echo("b", "b2")];
    assert_eq!(outbox.accept(two, 2, now), Accepted::Full(2));
    assert_eq!(outbox.owed(), 2);
    owe(&mut outbox, "c", &["c1"], now);
    assert!(!outbox.is_ok(now));
    assert_eq!(
        outbox.accept(Vec::new(), 3, now),
        Accepted::Safe(3),
        "nothing always fits"
    );
}

#[test]
fn a_redelivery_adds_nothing_and_is_taken_however_much_is_owed() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        max_pending: 2,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let due = outbox.take(now).expect("it is due");
    outbox.ended(&due, Outcome::Delivered, now);
    owe(&mut outbox, "b", &["b1", "b2"], now);
    assert!(!outbox.is_ok(now));
    let again = vec![echo("a", "a1")];
    assert_eq!(outbox.accept(again, 2, now), Accepted::Safe(2));
    let again = vec![echo("b", "b1"), echo("b", "b2"), echo("a", "a1")];
    assert_eq!(outbox.accept(again, 3, now), Accepted::Waiting);
    let more = vec![echo("b", "b1"), echo("c", "c1")];
    assert_eq!(outbox.accept(more, 4, now), Accepted::Full(4));
}

#[test]
fn callers_come_back_after_four_seconds_and_a_redelivery_joins() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    assert_eq!(outbox.next_deadline(), Some(now + 4 * SECOND));
    assert_eq!(outbox.late(now + 3 * SECOND), [0; 0]);
    assert_eq!(outbox.late(now + 4 * SECOND), [1]);
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 2, now + 5 * SECOND),
        Accepted::Waiting
    );
    assert_eq!(outbox.owed(), 1);
    let due = outbox.take(now).expect("it is due");
    assert_eq!(outbox.ended(&due, Outcome::Delivered, now).safe, [2]);
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 3, now),
        Accepted::Safe(3)
    );
}

#[test]
fn what_is_not_sent_yet_stands_in_messengers_order() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    let at = |mid: &str, timestamp| Echo {
        timestamp,
        ..echo("a", mid)
    };
    let come = [
        ("5", Some(5)),
        ("3", Some(3)),
        ("none", None),
        ("4", Some(4)),
        ("6", Some(6)),
        ("1", Some(1)),
    ];
    let echoes = come.map(|(mid, timestamp)| at(mid, timestamp)).to_vec();
    let mut order = Vec::new();
    outbox.accept(echoes[..1].to_vec(), 1, now);
    let first = outbox.take(now).expect("it is due");
    order.push(first.text().to_string());
    outbox.accept(echoes[1..].to_vec(), 2, now);
    outbox.ended(&first, Outcome::Delivered, now);
    while let Some(due) = outbox.take(now) {
        order.push(due.text().to_string());
        outbox.ended(&due, Outcome::Delivered, now);
    }
    // 5 was in flight already, and nothing passes an echo that has no time.
    assert_eq!(order, ["5", "3", "none", "1", "4", "6"]);
}

#[test]
fn a_message_that_may_have_been_shown_is_not_passed_by_an_older_one() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    let at = |mid: &str, timestamp| Echo {
        timestamp,
        ..echo("a", mid)
    };
    outbox.accept(vec![at("5", Some(5))], 1, now);
    let first = outbox.take(now).expect("it is due");
    outbox.ended(&first, Outcome::PerhapsSent, now);
    outbox.accept(vec![at("3", Some(3))], 2, now);
    let later = now + MINUTE;
    assert_eq!(next_text(&mut outbox, later).as_deref(), Some("5"));
}
