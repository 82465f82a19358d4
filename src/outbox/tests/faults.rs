//! Faults of one person, of the page, of the Graph API: what tells them apart, and what they cost.

use std::collections::HashSet;

use super::world::{Answer, Call, REFUSED, REFUSED_FOR_NOW, World, answer, crowd, seconds};
use super::*;

const DELIVERED: Outcome = Outcome::Delivered;

/// Refuses what these people write.
fn refusing(sick: &'static [&'static str], outcome: Outcome) -> impl FnMut(&Call) -> Answer {
    move |call| match sick.contains(&call.person.as_str()) {
        true => answer(outcome),
        false => answer(DELIVERED),
    }
}

#[test]
fn one_persons_refused_text_delays_nobody_else() {
    for outcome in [REFUSED, REFUSED_FOR_NOW, Outcome::OwnFault] {
        let mut world = World::new(refusing(&["sick"], outcome));
        for n in 0..30 {
            crowd(&mut world, 20, 10.0, f64::from(n), f64::from(n) + 0.9);
            world.write(seconds(f64::from(n) + 0.95), "sick", &format!("s{n}"));
        }
        world.run(seconds(40.0));
        let delays = world.delays(&["sick"]);
        assert_eq!(delays.len(), 30 * 9);
        assert!(delays[delays.len() - 1] < seconds(3.0), "{delays:?}");
        let late = delays.iter().filter(|delay| **delay > seconds(0.5));
        assert!(late.count() <= 10, "{outcome:?}: {delays:?}");
        assert!(world.dropped.iter().all(|text| text.starts_with('s')));
        if outcome == REFUSED {
            assert!(world.dropped.len() >= 29, "{:?}", world.dropped);
        }
    }
}

#[test]
fn five_such_people_among_two_hundred_delay_the_others_for_seconds_at_most() {
    let sick = &["p0", "p40", "p80", "p120", "p160"];
    let mut world = World::new(refusing(sick, REFUSED));
    crowd(&mut world, 200, 20.0, 0.0, 200.0);
    world.run(seconds(260.0));
    let delays = world.delays(sick);
    assert_eq!(delays.len(), 4000 - 5 * 20, "all others are echoed");
    assert!(delays[delays.len() * 95 / 100] < seconds(5.0));
    assert!(delays[delays.len() - 1] < seconds(10.0));
}

#[test]
fn ten_people_who_do_it_on_purpose_cost_the_others_a_few_seconds_a_minute() {
    let sick: Vec<String> = (0..10).map(|n| format!("bad{n}")).collect();
    let mut world = World::new(move |call: &Call| match call.person.starts_with("bad") {
        true => answer(REFUSED),
        false => answer(DELIVERED),
    });
    for minute in 0..5 {
        let from = f64::from(minute) * 60.0;
        for person in &sick {
            world.write(seconds(from), person, &format!("{person} {minute}"));
        }
        crowd(&mut world, 50, 5.0, from + 0.1, from + 59.0);
    }
    world.run(seconds(400.0));
    let names: Vec<&str> = sick.iter().map(String::as_str).collect();
    let delays = world.delays(&names);
    let late: Duration = delays.iter().filter(|delay| **delay > seconds(1.0)).sum();
    assert_eq!(delays.len(), 5 * 295);
    assert!(
        delays[delays.len() - 1] < seconds(12.0),
        "{:?}",
        delays.last()
    );
    assert!(late < seconds(5.0 * 60.0), "{late:?}");
    assert_eq!(world.dropped.len(), 50, "they are found out");
}

#[test]
fn a_fault_of_the_whole_app_drops_nothing_and_is_told_once_a_minute() {
    for outcome in [
        REFUSED,
        Outcome::PageRefused,
        Outcome::PageLimited(None),
        Outcome::NoSuchPerson,
    ] {
        let mut world = World::new(move |call: &Call| match call.at.as_secs() {
            10..70 => answer(outcome),
            _ => answer(DELIVERED),
        });
        crowd(&mut world, 50, 5.0, 5.0, 65.0);
        if outcome == Outcome::NoSuchPerson {
            // It was believed after the first delivery.
            world.run(seconds(80.0));
            continue;
        }
        world.run(seconds(1000.0));
        assert_eq!(world.dropped, Vec::<String>::new(), "{outcome:?}");
        world.assert_all_shown_once_and_in_order();
        let told = |notice: &&(Duration, Notice)| matches!(notice.1, Notice::Held(..));
        let told = world.notices.iter().filter(told).count();
        assert!((1..=3).contains(&told), "{outcome:?}: {:?}", world.notices);
    }
}

#[test]
fn a_token_of_another_page_drops_nothing() {
    let mut world = World::new(|_: &Call| answer(Outcome::NoSuchPerson));
    crowd(&mut world, 10, 1.0, 0.0, 60.0);
    world.run(seconds(600.0));
    assert_eq!(world.outbox.owed(), 60);
    assert!(matches!(
        world.notices[0].1,
        Notice::Held(Reason::Evidence, _)
    ));
    let minutes = 600 / 60;
    assert!(world.notices.len() <= minutes + 1, "{:?}", world.notices);
}

#[test]
fn what_is_delivered_and_answered_with_a_fault_is_shown_three_times_at_most() {
    let shown_and_failing = |call: &Call| Answer {
        is_shown: true,
        ..answer(match call.person.as_str() {
            "odd" => Outcome::PerhapsSent,
            _ => DELIVERED,
        })
    };
    let mut world = World::new(shown_and_failing);
    world.write(seconds(1.0), "odd", "first");
    world.write(seconds(1.1), "odd", "second");
    crowd(&mut world, 20, 2.0, 1.2, 60.0);
    world.run(seconds(75.0));
    assert_eq!(world.copies("first"), 3);
    assert_eq!(world.settled, ["first", "second"]);
    let second = world.shown.iter().find(|shown| shown.2 == "second");
    assert!(
        second.is_some_and(|shown| shown.0 < seconds(15.0)),
        "soon after"
    );

    let mut alone = World::new(shown_and_failing);
    alone.write(seconds(1.0), "odd", "first");
    alone.run(seconds(76.0));
    assert_eq!(alone.copies("first"), 3);
    alone.run(seconds(3600.0));
    assert!(alone.copies("first") < 20);
}

#[test]
fn one_person_alone_whose_text_is_refused_gets_the_next_one_answered() {
    let mut world = World::new(|call: &Call| match call.text.starts_with("bad") {
        true => answer(REFUSED),
        false => answer(DELIVERED),
    });
    world.write(seconds(1.0), "me", "bad");
    world.write(seconds(20.0), "me", "good");
    world.run(seconds(21.0));
    assert_eq!(world.shown.len(), 1);
    assert_eq!(world.dropped, ["bad"]);
    for n in 0..4 {
        world.write(seconds(30.0 + f64::from(n)), "me", &format!("bad {n}"));
    }
    world.write(seconds(40.0), "me", "better");
    world.run(seconds(41.0));
    assert_eq!(world.shown.len(), 2);
    assert_eq!(world.dropped.len(), 5);
    assert_eq!(world.outbox.owed(), 0);
}

#[test]
fn one_person_alone_in_a_fault_of_the_app_loses_nothing() {
    let mut world = World::new(|call: &Call| match call.at.as_secs() {
        0..300 => answer(REFUSED),
        _ => answer(DELIVERED),
    });
    for n in 0..5 {
        world.write(seconds(f64::from(n) * 20.0), "me", &format!("text {n}"));
    }
    world.run(seconds(1200.0));
    assert_eq!(world.dropped, Vec::<String>::new());
    world.assert_all_shown_once_and_in_order();
}

#[test]
fn in_memory_a_refused_text_without_a_witness_is_tried_three_times() {
    let mut world = World::with(false, |_: &Call| answer(REFUSED));
    world.write(seconds(1.0), "me", "bad");
    world.run(seconds(11.0));
    assert_eq!(world.outbox.owed(), 1);
    world.run(seconds(40.0));
    assert_eq!(world.dropped, ["bad"]);
}

#[test]
fn a_refusal_that_may_pass_gets_twelve_minutes() {
    let mut world = World::new(refusing(&["sick"], REFUSED_FOR_NOW));
    world.write(seconds(1.0), "sick", "link");
    crowd(&mut world, 5, 1.0, 1.5, 1000.0);
    let tries = world.calls.iter().filter(|call| call.person == "sick");
    let tries: Vec<u64> = tries.map(|call| call.at.as_secs()).collect();
    assert_eq!(world.dropped, ["link"]);
    assert!(tries.len() == 6 && tries[5] >= 711, "{tries:?}");
}

#[test]
fn after_an_outage_all_that_is_owed_goes_out_at_the_rate() {
    let faults = [
        (Outcome::Unsent, 0.05, 10.0),
        (Outcome::PerhapsSent, 0.05, 10.0),
        (Outcome::PerhapsSent, 10.0, 20.0),
    ];
    for (outcome, after, within) in faults {
        let mut world = World::new(move |call: &Call| match call.at.as_secs() {
            10..40 => Answer {
                after: seconds(after),
                ..answer(outcome)
            },
            _ => answer(DELIVERED),
        });
        crowd(&mut world, 2000, 100.0, 5.0, 40.0);
        let owed = world.outbox.owed();
        assert!(owed >= 2900, "{owed}");
        let during = world.calls_between(seconds(22.0), seconds(40.0));
        assert!(during <= 20, "{during} calls during the outage");
        world.run(seconds(40.0 + owed as f64 / 300.0 + within));
        world.assert_all_shown_once_and_in_order();
        assert!(world.notices.len() <= 3, "{:?}", world.notices);
    }
}

#[test]
fn in_a_brown_out_nobody_is_settled_or_held_for_it() {
    let mut random = 1_u64;
    let mut world = World::new(move |_: &Call| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        match (random >> 33) % 5 {
            0 => answer(Outcome::PerhapsSent),
            _ => answer(DELIVERED),
        }
    });
    crowd(&mut world, 100, 20.0, 0.0, 100.0);
    world.run(seconds(1500.0));
    assert_eq!(world.settled, Vec::<String>::new());
    assert_eq!(world.notices, []);
    world.assert_all_shown_once_and_in_order();
    let delays = world.delays(&[]);
    let share = |part: usize| delays[delays.len() * part / 100];
    assert!(
        share(60) < seconds(1.0) && share(80) < seconds(15.0),
        "{:?} {:?}",
        share(60),
        share(80)
    );
}

#[test]
fn a_restart_begins_with_one_probe() {
    let now = Instant::now();
    let kept = |n: u64| StoredEcho {
        id: n,
        echo: Arc::new(echo(&n.to_string(), &n.to_string())),
        mid: None,
        sent: 0,
        came: now,
    };
    let mut outbox: Outbox<u32> = Outbox::new(LIMITS, (1..=20).map(kept).collect(), now);
    let probe = outbox.take(now).expect("one is due");
    assert!(outbox.take(now).is_none());
    outbox.ended(&probe, DELIVERED, now);
    let rest = std::iter::from_fn(|| outbox.take(now)).count();
    assert_eq!(rest, 19);
}

#[test]
fn a_part_that_is_refused_for_itself_costs_that_part_only() {
    let now = Instant::now();
    let mut outbox = outbox(LIMITS);
    let text = ["a", "b", "c"].map(|letter| letter.repeat(2000)).concat();
    let long = Echo {
        text,
        ..echo("a", "m")
    };
    outbox.accept(vec![long], 1, now);
    for outcome in [DELIVERED, Outcome::OwnFault] {
        let part = outbox.take(now).expect("a part is due");
        assert!(outbox.ended(&part, outcome, now).safe.is_empty());
    }
    let last = outbox.take(now).expect("the last part is due");
    assert_eq!(last.text(), "c".repeat(2000));
    assert_eq!(outbox.ended(&last, DELIVERED, now).safe, [1]);
}

#[test]
fn one_person_may_not_fill_the_outbox_and_an_empty_one_takes_any_webhook() {
    let now = Instant::now();
    let mut outbox = outbox(Limits {
        max_pending: 1000,
        ..LIMITS
    });
    let many = |to: &str, range: std::ops::Range<usize>| {
        let echoes = range.map(|n| echo(to, &format!("{to}{n}")));
        echoes.collect::<Vec<_>>()
    };
    assert_eq!(outbox.accept(many("a", 0..450), 1, now), Accepted::Waiting);
    assert_eq!(outbox.accept(many("b", 0..99), 2, now), Accepted::Waiting);
    assert_eq!(
        outbox.accept(many("a", 450..451), 3, now),
        Accepted::Full(3)
    );
    assert_eq!(outbox.accept(many("c", 0..101), 4, now), Accepted::Full(4));
    assert_eq!(outbox.accept(many("c", 0..100), 5, now), Accepted::Waiting);
    let people: HashSet<_> = (0..10).map(|n| n.to_string()).collect();
    for person in people {
        outbox.accept(many(&person, 0..1), 6, now);
    }
    assert_eq!(outbox.owed(), 659);
    let mut empty = super::outbox(Limits {
        max_pending: 10,
        ..LIMITS
    });
    assert_eq!(empty.accept(many("a", 0..5000), 1, now), Accepted::Waiting);
    assert_eq!(empty.accept(many("b", 0..1), 2, now), Accepted::Full(2));
}
