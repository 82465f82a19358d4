//! The outbox at times of our choosing: what takes minutes or hours on a clock.

use std::time::{Duration, Instant};

use super::*;
use crate::event::Platform;

const LIMITS: Limits = Limits {
    max_pending: 100,
    send_rate: 0,
    max_retries: 10,
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
    outbox.next_due(now).map(|due| due.text().to_string())
}

#[test]
fn one_person_has_one_call_in_flight_and_the_others_go_on() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1", "a2"], now);
    owe(&mut outbox, "b", &["b1"], now);
    let a1 = outbox.next_due(now).expect("a is due");
    assert_eq!(next_text(&mut outbox, now).as_deref(), Some("b1"));
    assert_eq!(next_text(&mut outbox, now), None, "a2 waits for a1");
    assert!(outbox.settle(&a1, now).is_empty());
    let a2 = outbox.next_due(now).expect("a is due again");
    assert_eq!(
        outbox.settle(&a2, now),
        [1],
        "the webhook is safe with its last echo"
    );
}

#[test]
fn retries_come_later_each_time_and_never_after_more_than_five_minutes() {
    let mut now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    for failures in 0..20 {
        let due = outbox.next_due(now).expect("the pause is over");
        let pause = outbox
            .postpone(&due, Trouble::Call, now)
            .expect("its lane waits");
        let longest = (SECOND * (1 << failures.min(10))).min(5 * MINUTE);
        assert!(pause <= longest, "{pause:?} after {failures} failures");
        assert!(pause.is_zero() || next_text(&mut outbox, now).is_none());
        now += longest;
    }
}

#[test]
fn pauses_differ() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        max_retries: 100,
        ..LIMITS
    });
    let mut pauses = Vec::new();
    for n in 0..50 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], now);
        let due = outbox.next_due(now).expect("everybody is due");
        pauses.push(
            outbox
                .postpone(&due, Trouble::Call, now)
                .expect("its lane waits"),
        );
    }
    pauses.sort();
    pauses.dedup();
    assert!(pauses.len() > 40, "{pauses:?}");
    assert!(
        pauses[0] < SECOND / 4 && pauses[pauses.len() - 1] > SECOND * 3 / 4,
        "{pauses:?}"
    );
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
        let due = outbox.next_due(now).expect("it is due");
        outbox.postpone(&due, Trouble::Call, now);
    }
    let later = now + MINUTE;
    assert!(outbox.next_due(later).is_some());
    assert!(outbox.next_due(later).is_some());
    assert_eq!(
        next_text(&mut outbox, later),
        None,
        "two retries are in flight"
    );
    owe(&mut outbox, "well", &["w"], later);
    assert_eq!(next_text(&mut outbox, later).as_deref(), Some("w"));
}

#[test]
fn a_refused_page_is_held_back_and_probed_with_one_call_at_a_time() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    for n in 0..4 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], now);
    }
    let [first, second] = [(); 2].map(|()| outbox.next_due(now).expect("all are due"));
    assert_eq!(
        outbox.postpone(&first, Trouble::Page(None), now),
        Some(30 * SECOND)
    );
    // The second was in flight then, and tells nothing new.
    assert_eq!(outbox.postpone(&second, Trouble::Page(None), now), None);
    assert_eq!(next_text(&mut outbox, now + 29 * SECOND), None);
    assert_eq!(outbox.next_time(now), Some(now + 30 * SECOND));

    let mut now = now + 30 * SECOND;
    for minutes in [60, 120, 240, 480, 600, 600] {
        let probe = outbox.next_due(now).expect("it is time for a probe");
        assert_eq!(
            next_text(&mut outbox, now + MINUTE),
            None,
            "one probe at a time"
        );
        let pause = Duration::from_secs(minutes);
        assert_eq!(
            outbox.postpone(&probe, Trouble::Page(None), now),
            Some(pause)
        );
        now += pause;
    }
    let probe = outbox.next_due(now).expect("it is time for a probe");
    outbox.settle(&probe, now);
    assert!(
        (0..3).all(|_| outbox.next_due(now).is_some()),
        "the page is well again"
    );
}

#[test]
fn a_page_is_held_back_as_long_as_meta_says() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    let due = outbox.next_due(now).expect("it is due");
    let hours = Some(120 * MINUTE);
    assert_eq!(outbox.postpone(&due, Trouble::Page(hours), now), hours);
    assert_eq!(next_text(&mut outbox, now + 119 * MINUTE), None);
    assert_eq!(
        next_text(&mut outbox, now + 120 * MINUTE).as_deref(),
        Some("a1")
    );
}

#[test]
fn a_probe_that_the_network_loses_is_followed_by_another() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    owe(&mut outbox, "b", &["b1"], now);
    let due = outbox.next_due(now).expect("it is due");
    outbox.postpone(&due, Trouble::Page(None), now);
    let now = now + MINUTE;
    let probe = outbox.next_due(now).expect("it is time for a probe");
    outbox.postpone(&probe, Trouble::Call, now);
    assert_eq!(
        next_text(&mut outbox, now + SECOND),
        None,
        "the page is still held back"
    );
    let probe = outbox
        .next_due(now + MINUTE)
        .expect("it is time for a probe");
    outbox.drop_echo(&probe, now + MINUTE);
    assert!(
        outbox.next_due(now + MINUTE).is_some(),
        "a refusal for good shows that the page is well"
    );
}

#[test]
fn calls_are_made_at_the_rate() {
    let start = Instant::now();
    let mut outbox = outbox(Limits {
        send_rate: 40,
        ..LIMITS
    });
    for n in 0..100 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], start);
    }
    let mut now = start;
    while outbox.next_due(now).is_some() || outbox.next_time(now).is_some() {
        now = outbox.next_time(now).unwrap_or(now).max(now);
    }
    let took = now - start;
    assert!(
        took > Duration::from_millis(2400) && took < Duration::from_millis(2600),
        "{took:?}"
    );
}

#[test]
fn what_was_missed_is_made_up_for_but_never_as_a_burst() {
    let start = Instant::now();
    let mut outbox = outbox(Limits {
        send_rate: 100,
        ..LIMITS
    });
    for n in 0..100 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], start);
    }
    assert!(outbox.next_due(start).is_some());
    let later = start + MINUTE;
    let burst = std::iter::from_fn(|| outbox.next_due(later)).count();
    assert!(
        (2..=6).contains(&burst),
        "{burst} calls at once after a quiet minute"
    );
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
    assert!(outbox.is_full());
    assert_eq!(
        outbox.accept(Vec::new(), 3, now),
        Accepted::Safe(3),
        "nothing always fits"
    );
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
    let due = outbox.next_due(now).expect("it is due");
    assert_eq!(outbox.settle(&due, now), [2]);
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
    let first = outbox.next_due(now).expect("it is due");
    order.push(first.text().to_string());
    outbox.accept(echoes[1..].to_vec(), 2, now);
    outbox.settle(&first, now);
    while let Some(due) = outbox.next_due(now) {
        order.push(due.text().to_string());
        outbox.settle(&due, now);
    }
    // 5 was in flight already, and nothing passes an echo that has no time.
    assert_eq!(order, ["5", "3", "none", "1", "4", "6"]);
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
    let changes = outbox
        .take_changes(now, false)
        .expect("there is something to write");
    assert_eq!(changes.accepted.len(), 1);
    assert!(
        outbox.take_changes(now, true).is_none(),
        "one write at a time"
    );
    // The same message again, while it is being written.
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 2, now),
        Accepted::Waiting
    );
    assert_eq!(outbox.written(&changes, &[], now), [1, 2]);
    let due = outbox.next_due(now).expect("it is due now");
    assert_eq!(
        outbox.accept(vec![echo("a", "a1")], 3, now),
        Accepted::Safe(3)
    );

    outbox.settle(&due, now);
    assert!(
        outbox.take_changes(now, false).is_none(),
        "what is settled waits a little"
    );
    let changes = outbox
        .take_changes(now + SECOND, false)
        .expect("and is written then");
    assert_eq!(changes.settled.len(), 1);
    outbox.written(&changes, &[], now);
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
    let changes = outbox
        .take_changes(now, false)
        .expect("there is something to write");
    let seen = changes.accepted[0].id;
    assert_eq!(outbox.written(&changes, &[seen], now), [1]);
    assert_eq!(next_text(&mut outbox, now).as_deref(), Some("a2"));
    assert_eq!(outbox.owed(), 1);
}

#[test]
fn what_could_not_be_written_is_refused_and_forgotten_and_settling_is_not() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        durable: true,
        ..LIMITS
    });
    owe(&mut outbox, "a", &["a1"], now);
    let changes = outbox
        .take_changes(now, false)
        .expect("there is something to write");
    outbox.written(&changes, &[], now);
    let due = outbox.next_due(now).expect("it is due");
    outbox.settle(&due, now);
    assert_eq!(
        outbox.accept(vec![echo("b", "b1"), echo("c", "c1")], 2, now),
        Accepted::Waiting
    );
    let changes = outbox
        .take_changes(now, false)
        .expect("there is something to write");
    assert_eq!((changes.accepted.len(), changes.settled.len()), (2, 1));
    assert_eq!(outbox.not_written(changes, now), [2]);
    assert_eq!(outbox.owed(), 0);
    let changes = outbox
        .take_changes(now + SECOND, false)
        .expect("settled is written later");
    assert_eq!((changes.accepted.len(), changes.settled.len()), (0, 1));
    // The redelivery is as good as new.
    outbox.written(&changes, &[], now);
    owe(&mut outbox, "b", &["b1"], now);
}
