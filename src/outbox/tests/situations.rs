//! Situations made to mislead the policy, each with a bound on what it costs: messages dropped wrongly, copies, delays.
//!
//! In few worlds by default; `ECHOBOT_TESTS=full` plays them all.

use super::world::{Answer, Call, REFUSED, REFUSED_FOR_NOW, Random, World, answer, crowd, seconds};
use super::*;

const DELIVERED: Outcome = Outcome::Delivered;

/// What came of many worlds of one situation.
#[derive(Debug, Default)]
struct Cost {
    worlds: usize,
    /// Worlds that have dropped or settled something.
    wrong: usize,
    texts: usize,
    dropped: usize,
    settled: usize,
    /// Of one text.
    copies: usize,
    owed: usize,
}

impl Cost {
    #[track_caller]
    fn assert_nothing_is_lost(&self, situation: &str) {
        let lost = self.dropped + self.settled + self.owed;
        assert_eq!(lost, 0, "{situation}: {self:?}");
    }
}

/// Plays so many worlds where all tests are played, else a tenth of them.
fn play(worlds: u64, mut world: impl FnMut(Random) -> World) -> Cost {
    let is_full = std::env::var("ECHOBOT_TESTS").is_ok_and(|size| size == "full");
    let mut cost = Cost::default();
    for seed in 1..=if is_full { worlds } else { worlds.div_ceil(10) } {
        let mut world = world(Random::new(seed));
        world.run(seconds(8000.0));
        cost.worlds += 1;
        cost.wrong += usize::from(!world.dropped.is_empty() || !world.settled.is_empty());
        cost.texts += world.texts().count();
        cost.dropped += world.dropped.len();
        cost.settled += world.settled.len();
        cost.copies = cost.copies.max(world.most_copies());
        cost.owed += world.outbox.owed();
    }
    cost
}

/// Everybody's calls end so between these times; they take up to so many milliseconds.
fn faults(times: Vec<(f64, f64)>, outcome: Outcome, latency: u64, random: Random) -> World {
    let mut random = random;
    World::new(move |call: &Call| {
        let at = call.at.as_secs_f64();
        let is_faulty = times.iter().any(|(from, to)| *from <= at && at < *to);
        Answer {
            after: Duration::from_millis(20 + random.below(latency)),
            ..answer(if is_faulty { outcome } else { DELIVERED })
        }
    })
}

/// Up to so many seconds.
fn up_to(random: &mut Random, seconds: u64) -> f64 {
    random.below(seconds * 1000) as f64 / 1000.0
}

#[test]
fn one_fault_of_the_app_drops_nothing_however_few_people_write() {
    for (people, rate) in [(1, 0.2), (2, 0.5), (3, 1.0), (20, 5.0), (50, 20.0)] {
        for outcome in [REFUSED, REFUSED_FOR_NOW] {
            let cost = play(100, |mut random| {
                let from = 10.0 + up_to(&mut random, 10);
                let to = from + up_to(&mut random, 60);
                let mut world = faults(vec![(from, to)], outcome, 2000, random);
                crowd(&mut world, people, rate, 0.0, 100.0);
                world
            });
            cost.assert_nothing_is_lost(&format!("{people} people, {outcome:?}"));
        }
    }
}

/// A message that is refused in both faults, with the witness in the gap. Where one person writes alone, one witness is enough.
#[test]
fn of_two_faults_with_a_gap_only_a_person_alone_may_lose_a_message_and_rarely() {
    for (people, rate) in [(1, 0.2), (2, 0.5), (20, 5.0), (50, 20.0)] {
        for gap in [0.1, 0.3, 1.0, 3.0, 10.0] {
            let cost = play(100, |mut random| {
                let from = 10.0 + up_to(&mut random, 10);
                let to = from + up_to(&mut random, 20);
                let end = to + gap + up_to(&mut random, 20);
                let times = vec![(from, to), (to + gap, end)];
                let mut world = faults(times, REFUSED, 400, random);
                crowd(&mut world, people, rate, 0.0, 100.0);
                world
            });
            let situation = format!("{people} people, {gap} s apart: {cost:?}");
            match people {
                1 => {
                    let most = (cost.worlds * 8 / 100).max(2);
                    assert!(cost.wrong <= most, "{situation}");
                    assert!(cost.dropped <= 2 * most, "{situation}");
                }
                _ => cost.assert_nothing_is_lost(&situation),
            }
        }
    }
}

#[test]
fn a_fault_that_comes_and_goes_drops_nothing() {
    for (on, off) in [(5.0, 1.0), (20.0, 2.0), (1.0, 1.0), (2.0, 10.0)] {
        let cost = play(50, |random| {
            let begins = |n: u32| 10.0 + f64::from(n) * (on + off);
            let times = (0..40).map(|n| (begins(n), begins(n) + on)).collect();
            let mut world = faults(times, REFUSED, 400, random);
            crowd(&mut world, 20, 5.0, 0.0, 100.0);
            world
        });
        cost.assert_nothing_is_lost(&format!("{on} s refused, {off} s not"));
    }
}

/// For ten minutes so many calls of a hundred end so, whosever they are.
fn partial(percent: u64, outcome: Outcome, is_shown: bool) -> Cost {
    play(3, |mut random| {
        let mut world = World::new(move |call: &Call| {
            let fails = call.at < seconds(600.0) && random.below(100) < percent;
            let given = answer(if fails { outcome } else { DELIVERED });
            Answer {
                is_shown: given.is_shown || fails && is_shown,
                after: Duration::from_millis(20 + random.below(400)),
                ..given
            }
        });
        crowd(&mut world, 50, 5.0, 0.0, 600.0);
        world.run(seconds(20_000.0));
        world
    })
}

#[test]
fn a_partial_outage_loses_nothing() {
    for percent in [2, 5, 20, 35, 50] {
        for outcome in [Outcome::PerhapsSent, Outcome::Unsent, REFUSED_FOR_NOW] {
            let cost = partial(percent, outcome, false);
            cost.assert_nothing_is_lost(&format!("{percent} % {outcome:?}"));
            assert_eq!(cost.copies, 1);
        }
    }
}

#[test]
fn where_answers_are_lost_at_random_most_copies_are_few() {
    for (percent, most) in [(2, 3), (5, 4), (20, 6), (35, 8), (50, 12)] {
        let cost = partial(percent, Outcome::PerhapsSent, true);
        cost.assert_nothing_is_lost(&format!("{percent} %"));
        assert!(cost.copies <= most, "{percent} %: {cost:?}");
    }
}

/// A message that is refused three times among others that are not looks like one that is to blame.
#[test]
fn where_calls_are_refused_at_random_few_messages_are_dropped() {
    for (percent, of_thousand) in [(2, 0), (5, 1), (20, 10), (35, 35), (50, 55)] {
        let cost = partial(percent, REFUSED, false);
        let most = cost.texts * of_thousand / 1000;
        assert!(cost.dropped <= most, "{percent} %: {cost:?}");
        assert_eq!((cost.settled, cost.owed), (0, 0));
    }
}

#[test]
fn a_thread_limit_of_up_to_ten_minutes_drops_nothing() {
    for lasts in [3.0, 30.0, 90.0, 200.0, 600.0] {
        for (texts, has_others) in [(1, true), (3, true), (8, true), (1, false), (8, false)] {
            let cost = play(20, |mut random| {
                let end = seconds(10.0 + lasts + up_to(&mut random, 1));
                let mut world = World::new(move |call: &Call| Answer {
                    after: Duration::from_millis(20 + random.below(400)),
                    ..answer(match call.person == "me" && call.at < end {
                        true => REFUSED_FOR_NOW,
                        false => DELIVERED,
                    })
                });
                for n in 0..texts {
                    let at = 10.0 + 2.0 * f64::from(n);
                    world.write(seconds(at), "me", &format!("me {n}"));
                    if has_others {
                        crowd(&mut world, 10, 2.0, at + 0.1, at + 1.9);
                    }
                }
                if has_others {
                    crowd(&mut world, 10, 1.0, 30.0, 900.0);
                }
                world
            });
            cost.assert_nothing_is_lost(&format!("{lasts} s, {texts} texts, others {has_others}"));
        }
    }
}

/// Calls that began before still get through for seconds.
#[test]
fn a_token_that_expires_with_calls_in_flight_drops_nothing() {
    for outcome in [Outcome::PageRefused, REFUSED] {
        let cost = play(50, |mut random| {
            let mut world = World::new(move |call: &Call| {
                let at = call.at.as_secs_f64();
                let is_slow = (15.0..20.0).contains(&at) && random.below(3) == 0;
                let is_valid = !(20.0..320.0).contains(&at);
                Answer {
                    after: Duration::from_millis(match is_slow {
                        true => 5000,
                        false => 20 + random.below(300),
                    }),
                    ..answer(if is_valid { DELIVERED } else { outcome })
                }
            });
            crowd(&mut world, 30, 10.0, 0.0, 100.0);
            world
        });
        cost.assert_nothing_is_lost(&format!("{outcome:?}"));
    }
}

#[test]
fn of_people_who_blocked_the_page_and_others_the_right_ones_are_dropped() {
    for outcome in [REFUSED, Outcome::OwnFault] {
        for (count, slowest) in [(1, 0.5), (3, 0.5), (6, 5.0)] {
            let mut world = World::new(move |call: &Call| {
                let number: usize = call.person[1..].parse().expect("people are numbered");
                answer(if number < count { outcome } else { DELIVERED })
            });
            crowd(&mut world, 30, 1.0, 0.0, 600.0);
            world.run(seconds(8000.0));
            let names: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let is_theirs = |text: &String| names.contains(&text.split(' ').next().unwrap_or(""));
            assert!(world.dropped.iter().all(is_theirs), "{:?}", world.dropped);
            assert_eq!(world.dropped.len(), count * 20);
            let delays = world.delays(&names);
            assert_eq!(delays.len(), 600 - count * 20);
            assert!(delays[delays.len() - 1] < seconds(slowest), "{delays:?}");
        }
    }
}

#[test]
fn one_or_two_testers_lose_nothing_whenever_the_fault_ends() {
    for testers in [1, 2] {
        for texts in [2, 5, 15] {
            let cost = play(200, |mut random| {
                let end = 5.0 + up_to(&mut random, 200);
                let mut world = faults(vec![(0.0, end)], REFUSED, 400, random);
                for n in 0..texts {
                    for tester in 0..testers {
                        let at = seconds(1.0 + f64::from(n) * 8.0 + f64::from(tester));
                        let (person, text) = (format!("t{tester}"), format!("t{tester} {n}"));
                        world.write(at, &person, &text);
                    }
                }
                world
            });
            cost.assert_nothing_is_lost(&format!("{testers} testers, {texts} texts"));
        }
    }
}

#[test]
fn of_two_testers_one_may_write_forbidden_texts() {
    let mut world = World::new(|call: &Call| match call.text.contains("bad") {
        true => answer(REFUSED),
        false => answer(DELIVERED),
    });
    for n in 0..10 {
        let at = f64::from(n) * 10.0;
        world.write(seconds(at + 1.0), "t0", &format!("bad {n}"));
        world.write(seconds(at + 3.0), "t1", &format!("t1 {n}"));
        world.write(seconds(at + 5.0), "t0", &format!("t0 {n}"));
    }
    world.run(seconds(100.0));
    assert_eq!(world.dropped.len(), 10);
    let delays = world.delays(&[]);
    assert!(
        delays.len() == 20 && delays[19] < seconds(1.0),
        "{delays:?}"
    );
}
