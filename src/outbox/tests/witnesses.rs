//! Which call is a witness for which message, and what ends a hold when there is none.

use super::world::{Call, REFUSED, REFUSED_FOR_NOW, Random, World, answer, crowd, seconds};
use super::*;

const DELIVERED: Outcome = Outcome::Delivered;

#[test]
fn a_hold_ends_with_the_next_text_of_whoever_was_refused_when_nobody_else_writes() {
    for (people, at_first) in [(1, Outcome::PageRefused), (3, REFUSED)] {
        let mut world = World::new(move |call: &Call| match call.at.as_secs() {
            0..5 => answer(at_first),
            _ if call.text.starts_with("bad") => answer(REFUSED),
            _ => answer(DELIVERED),
        });
        let mut write = |at: f64, text: &str| {
            for person in 0..people {
                let (at, person) = (seconds(at + f64::from(person)), format!("p{person}"));
                world.write(at, &person, &format!("{text} {person}"));
            }
        };
        write(1.0, "bad");
        write(200.0, "good");
        write(3000.0, "better");
        world.run(seconds(3060.0));
        let is_held = |(_, notice): &(_, Notice)| matches!(notice, Notice::Held(..));
        assert!(world.notices.first().is_some_and(is_held));
        assert_eq!(world.shown.len(), 2 * people as usize);
        assert_eq!(world.dropped.len(), people as usize);
        assert_eq!((world.outbox.owed(), world.outbox.held()), (0, None));
    }
}

#[test]
fn a_long_text_that_went_before_a_refused_one_is_not_cut_in_two_by_it() {
    let mut world = World::new(|call: &Call| match call.text.starts_with("first") {
        true if call.at < seconds(15.01) => answer(REFUSED),
        _ => answer(DELIVERED),
    });
    let long = "b".repeat(3000);
    world.write(seconds(1.0), "me", "first");
    world.write(seconds(15.0), "me", &long);
    world.run(seconds(100.0));
    let shown: Vec<&str> = world.shown.iter().map(|(_, _, text)| &text[..]).collect();
    assert_eq!(shown, [&long[..2000], &long[2000..], "first"]);
}

#[test]
fn a_fault_of_instagram_drops_nothing_and_delays_nobody_on_messenger() {
    for outcome in [REFUSED, REFUSED_FOR_NOW, Outcome::NoSuchPerson] {
        let mut world = World::new(move |call: &Call| {
            let is_sick = call.person.starts_with('i') && call.at.as_secs() < 120;
            answer(if is_sick { outcome } else { DELIVERED })
        });
        crowd(&mut world, 20, 2.0, 0.0, 5.0);
        for n in 0..6 {
            let person = format!("i{n}");
            world.write(seconds(5.0), &person, &format!("text {n}"));
        }
        crowd(&mut world, 20, 2.0, 5.0, 130.0);
        world.run(seconds(600.0));
        assert_eq!(world.dropped, Vec::<String>::new());
        world.assert_all_shown_once_and_in_order();
        let delays = world.delays(&["text"]);
        assert!(delays[delays.len() * 95 / 100] < seconds(1.0), "{delays:?}");
    }
}

#[test]
fn in_a_brown_out_of_refusals_nobody_is_dropped_once_another_try_has_saved_a_message() {
    let mut random = Random::new(1);
    let mut world = World::new(move |call: &Call| match random.below(5) {
        0..2 if call.at.as_secs() < 100 => answer(REFUSED),
        _ => answer(DELIVERED),
    });
    crowd(&mut world, 1000, 12.0, 0.0, 200.0);
    world.run(seconds(1500.0));
    let is_late = |text: &&String| world.written_at(text) > seconds(1.0);
    assert_eq!(world.dropped.iter().find(is_late), None);
    assert_eq!(world.shown.len() + world.dropped.len(), 2400);
}

#[test]
fn new_people_whose_calls_fail_do_not_keep_people_who_are_served_waiting() {
    for outcome in [REFUSED, Outcome::PerhapsSent] {
        for (sick, apart) in [("i", 0.5), ("i", 2.0), ("sick", 0.5), ("sick", 2.0)] {
            let mut world = World::new(move |call: &Call| {
                let is_sick = call.person.starts_with(sick);
                answer(if is_sick { outcome } else { DELIVERED })
            });
            // On the same platform it must be known who is served.
            let known = if sick == "sick" { 5 } else { 0 };
            crowd(&mut world, 5, 100.0, 0.0, f64::from(known) / 100.0);
            for n in 0..300_u32 {
                let at = seconds(0.1 + apart * f64::from(n));
                world.write(at, &format!("{sick}{n}"), &n.to_string());
                if n % 10 == 5 {
                    let person = format!("p{}", n / 10 % 5);
                    world.write(at, &person, &format!("well {n}"));
                }
            }
            world.run(seconds(apart * 300.0 + 30.0));
            let delays = world.delays(&[]);
            let (count, longest) = (delays.len(), delays.last());
            let case = format!("{outcome:?} {sick} {apart}: {longest:?}");
            assert_eq!(count, 30 + known as usize, "{case}");
            assert!(longest < Some(&seconds(20.0)), "{case}");
        }
    }
}

#[test]
fn what_failed_in_an_outage_is_sent_when_another_call_shows_its_end() {
    let mut world = World::new(|call: &Call| {
        let is_sick = call.person.starts_with('i') && call.at.as_secs() < 415;
        answer(if is_sick {
            Outcome::PerhapsSent
        } else {
            DELIVERED
        })
    });
    for n in 0..6 {
        world.write(
            seconds(1.0),
            &format!("i{n}"),
            &format!("in the outage {n}"),
        );
    }
    crowd(&mut world, 20, 0.5, 2.0, 430.0);
    world.write(seconds(430.0), "i9", "after it");
    world.run(seconds(440.0));
    world.assert_all_shown_once_and_in_order();
    assert_eq!(world.dropped, Vec::<String>::new());
}
