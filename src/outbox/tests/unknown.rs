//! Situations in which nobody knows whether a message was shown: how many copies of it people may see.

use super::world::{Answer, Call, REFUSED, World, answer, crowd, seconds};
use super::*;

const DELIVERED: Outcome = Outcome::Delivered;

/// What people see, whatever is answered.
fn shown(outcome: Outcome) -> Answer {
    Answer {
        is_shown: true,
        ..answer(outcome)
    }
}

#[test]
fn people_whose_calls_always_end_unknown_see_three_copies_while_others_get_through() {
    for odd in [1, 2, 5] {
        for rate in [0.2, 2.0] {
            let mut world = World::new(move |call: &Call| match call.person.starts_with("odd") {
                true => shown(Outcome::PerhapsSent),
                false => answer(DELIVERED),
            });
            for n in 0..odd {
                world.write(seconds(1.0), &format!("odd{n}"), &format!("odd{n}"));
            }
            crowd(&mut world, 20, rate, 1.2, 1000.0);
            for n in 0..odd {
                let copies = world.copies(&format!("odd{n}"));
                assert_eq!(copies, 3, "{odd} odd people, others {rate} a second");
            }
            assert_eq!(world.settled.len(), odd);
        }
    }
}

#[test]
fn refusals_between_calls_of_unknown_outcome_do_not_multiply_the_copies() {
    let mut turn = 0;
    let mut world = World::new(move |call: &Call| match call.person.as_str() {
        "odd" => {
            turn += 1;
            shown([REFUSED, Outcome::PerhapsSent][turn % 2])
        }
        _ => answer(DELIVERED),
    });
    world.write(seconds(1.0), "odd", "odd");
    crowd(&mut world, 20, 2.0, 1.2, 1500.0);
    world.run(seconds(3000.0));
    assert!(world.copies("odd") <= 5);
    assert_eq!(world.outbox.owed(), 0);
}

#[test]
fn one_person_alone_whose_calls_always_end_unknown_sees_thirty_copies_a_day_at_most() {
    let mut world = World::new(|_: &Call| shown(Outcome::PerhapsSent));
    world.write(seconds(1.0), "odd", "odd");
    world.run(seconds(86_400.0));
    assert!(world.copies("odd") <= 30, "{}", world.copies("odd"));
}

/// The second text is the witness of the first, and ends unknown itself.
#[test]
fn a_witness_whose_call_ends_unknown_is_sent_no_more_often_than_any_other_message() {
    let mut world = World::new(|call: &Call| match call.text.as_str() {
        "bad" => answer(REFUSED),
        _ => shown(Outcome::PerhapsSent),
    });
    world.write(seconds(1.0), "me", "bad");
    world.write(seconds(2.0), "me", "odd");
    world.run(seconds(86_400.0));
    assert!(world.copies("odd") <= 30, "{}", world.copies("odd"));
}

#[test]
fn an_outage_is_told_where_only_one_person_writes() {
    let mut world = World::new(|call: &Call| match call.at.as_secs() {
        0..100 => answer(Outcome::Unsent),
        _ => answer(DELIVERED),
    });
    world.write(seconds(1.0), "me", "one");
    world.write(seconds(2.0), "me", "two");
    world.run(seconds(110.0));
    let told: Vec<Notice> = world.notices.iter().map(|notice| notice.1).collect();
    let is_outage = |notice: &Notice| matches!(notice, Notice::Held(Reason::Outage, _));
    assert!(is_outage(&told[0]) && told.last() == Some(&Notice::Resumed));
    assert!(told.len() <= 3, "{told:?}");
    world.assert_all_shown_once_and_in_order();
}
