//! The page as a whole.

use std::collections::HashSet;

use super::*;

/// How long the page is held after this.
fn held(outbox: &mut Outbox<u32>, due: &Due, outcome: Outcome, now: Instant) -> Option<Duration> {
    match outbox.ended(due, outcome, now).notice {
        Some(Notice::Held(_, pause)) => Some(pause),
        _ => None,
    }
}

#[test]
fn a_refused_page_is_held_back_and_probed_with_one_call_at_a_time() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    for n in 0..4 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], now);
    }
    let [first, second] = [(); 2].map(|()| outbox.take(now).expect("all are due"));
    let refused = Outcome::PageRefused;
    assert_eq!(held(&mut outbox, &first, refused, now), Some(30 * SECOND));
    // The second was in flight then, and tells nothing new.
    assert_eq!(held(&mut outbox, &second, refused, now), None);
    assert_eq!(next_text(&mut outbox, now + 29 * SECOND), None);
    assert_eq!(outbox.next_time(now), Some(now + 30 * SECOND));

    let mut now = now + 30 * SECOND;
    for seconds in [60, 120, 240, 480, 600, 600] {
        let probe = outbox.take(now).expect("it is time for a probe");
        let next = now + Duration::from_secs(seconds);
        assert_eq!(
            next_text(&mut outbox, next - SECOND),
            None,
            "one probe at a time"
        );
        outbox.ended(&probe, refused, now);
        now = next;
        assert_eq!(outbox.next_time(now), Some(now));
    }
    let probe = outbox.take(now).expect("it is time for a probe");
    outbox.ended(&probe, Outcome::Delivered, now);
    assert!(
        (0..3).all(|_| outbox.take(now).is_some()),
        "the page is well again"
    );
}

#[test]
fn a_page_is_held_back_as_long_as_meta_says() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    let due = outbox.take(now).expect("it is due");
    let hours = Some(120 * MINUTE);
    assert_eq!(
        held(&mut outbox, &due, Outcome::PageLimited(hours), now),
        hours
    );
    assert_eq!(next_text(&mut outbox, now + 119 * MINUTE), None);
    assert_eq!(
        next_text(&mut outbox, now + 120 * MINUTE).as_deref(),
        Some("a1")
    );
}

#[test]
fn what_meta_says_counts_for_more_than_a_doubled_pause() {
    let mut now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    for _ in 0..5 {
        let due = outbox.take(now).expect("it is time for a probe");
        outbox.ended(&due, Outcome::PageLimited(None), now);
        now = outbox.next_time(now).expect("one is owed");
    }
    let probe = outbox.take(now).expect("it is time for a probe");
    outbox.ended(&probe, Outcome::PageLimited(Some(MINUTE)), now);
    assert_eq!(outbox.next_time(now), Some(now + MINUTE));
}

#[test]
fn calls_without_an_answer_are_no_refusals() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    let refused = Outcome::Refused { is_passing: false };
    let outcomes = [Outcome::PerhapsSent, refused, Outcome::Unsent, refused];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], now);
        let due = outbox.take(now).expect("it is due");
        assert_eq!(held(&mut outbox, &due, outcome, now), None);
    }
    owe(&mut outbox, "last", &["m_last"], now);
    let due = outbox.take(now).expect("it is due");
    assert_eq!(held(&mut outbox, &due, refused, now), Some(SECOND));
}

#[test]
fn a_probe_that_the_network_loses_is_followed_by_another() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    owe(&mut outbox, "a", &["a1"], now);
    owe(&mut outbox, "b", &["b1"], now);
    let due = outbox.take(now).expect("it is due");
    outbox.ended(&due, Outcome::PageRefused, now);
    let now = now + MINUTE;
    let probe = outbox.take(now).expect("it is time for a probe");
    outbox.ended(&probe, Outcome::PerhapsSent, now);
    assert_eq!(
        next_text(&mut outbox, now + SECOND),
        None,
        "the page is still held back"
    );
    let probe = outbox.take(now + MINUTE).expect("it is time for a probe");
    outbox.ended(&probe, Outcome::OwnFault, now + MINUTE);
    assert!(
        outbox.take(now + MINUTE).is_some(),
        "a refusal for good shows that the page is well"
    );
}

#[test]
fn an_echo_that_is_given_up_tells_nothing_about_the_page() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    for n in 0..3 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], now);
    }
    let due = outbox.take(now).expect("it is due");
    outbox.ended(&due, Outcome::PageLimited(Some(GIVE_UP_AFTER)), now);
    let now = now + GIVE_UP_AFTER;
    let old = outbox.take(now).expect("it is time for a probe");
    outbox.expire(&old, now);
    assert_eq!(outbox.owed(), 2);
    let probe = outbox.take(now).expect("another one is the probe");
    assert_eq!(next_text(&mut outbox, now), None, "one probe at a time");
    assert_eq!(
        held(&mut outbox, &probe, Outcome::PageLimited(None), now),
        Some(MINUTE),
        "the page is refused for the second time"
    );
}

#[test]
fn echoes_that_are_given_up_cost_nothing_of_the_rate() {
    let start = Instant::now();
    let mut outbox = outbox(Limits {
        send_rate: 1,
        ..LIMITS
    });
    for n in 0..50 {
        owe(&mut outbox, &n.to_string(), &[&format!("m_{n}")], start);
    }
    for _ in 0..49 {
        let old = outbox.take(start).expect("no call was made yet");
        outbox.expire(&old, start);
    }
    assert!(outbox.take(start).is_some(), "this one is called for");
    owe(&mut outbox, "other", &["m_other"], start);
    assert!(outbox.take(start).is_none(), "its second has begun");
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
    while outbox.take(now).is_some() || outbox.next_time(now).is_some() {
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
    assert!(outbox.take(start).is_some());
    let later = start + MINUTE;
    let burst = std::iter::from_fn(|| outbox.take(later)).count();
    assert!(
        (2..=6).contains(&burst),
        "{burst} calls at once after a quiet minute"
    );
}

/// After a restart the oldest of what is owed is theirs, because it is what could not be sent.
#[test]
fn people_whose_calls_fail_do_not_keep_the_others_waiting_after_a_restart() {
    let mut now = Instant::now();
    let sick = (0..20).map(|n| format!("sick {n}"));
    let well = (0..5).map(|n| format!("well {n}"));
    let stored = |(id, to): (usize, String)| StoredEcho {
        id: id as EchoId + 1,
        mid: None,
        sent: 0,
        came: now,
        echo: Arc::new(echo(&to, &to)),
    };
    let kept = sick.chain(well).enumerate().map(stored).collect();
    let begun = now;
    let mut outbox: Outbox<u32> = Outbox::new(LIMITS, kept, now);
    let mut well = 0;
    while well < 5 {
        now = outbox.next_time(now).expect("something is owed").max(now);
        let due = outbox.take(now).expect("it is time");
        let is_well = due.text().starts_with("well");
        well += usize::from(is_well);
        let outcome = if is_well {
            Outcome::Delivered
        } else {
            Outcome::PerhapsSent
        };
        outbox.ended(&due, outcome, now);
    }
    assert!(now - begun < 5 * SECOND, "{:?}", now - begun);
}

/// As where the Graph API fails every second call.
#[test]
fn where_each_message_fails_once_each_soon_has_its_second_call() {
    let mut now = Instant::now();
    let begun = now;
    let mut outbox = outbox(LIMITS);
    for n in 0..60 {
        let person = format!("person {}", n % 20);
        owe(&mut outbox, &person, &[&format!("m_{n}")], now);
    }
    let mut tried = HashSet::new();
    while outbox.owed() > 0 {
        now = outbox.next_time(now).expect("something is owed").max(now);
        let due = outbox.take(now).expect("it is time");
        let outcome = match tried.insert(due.id) {
            true => Outcome::PerhapsSent,
            false => Outcome::Delivered,
        };
        outbox.ended(&due, outcome, now);
    }
    assert!(now - begun < 2 * MINUTE, "{:?}", now - begun);
}
