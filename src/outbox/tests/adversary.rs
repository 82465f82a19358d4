//! Situations made to mislead the policy: what is dropped wrongly, shown too often, or kept waiting?

use super::world::{Answer, Call, REFUSED, REFUSED_FOR_NOW, World, answer};
use super::*;

const DELIVERED: Outcome = Outcome::Delivered;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn crowd(world: &mut World, people: usize, rate: f64, from: f64, to: f64) {
    let count = ((to - from) * rate).round() as usize;
    for n in 0..count {
        let at = seconds(from + n as f64 / rate);
        let person = format!("p{}", n % people);
        world.write(at, &person, &format!("{person} at {at:?}"));
    }
}

fn most_copies(world: &World) -> usize {
    world
        .texts()
        .map(|text| world.copies(text))
        .max()
        .unwrap_or(0)
}

fn report(name: &str, world: &World, note: &str) {
    let missing = world.texts().filter(|text| world.copies(text) == 0).count();
    let delays = world.delays(&[]);
    let last = delays.last().copied().unwrap_or_default();
    println!(
        "{name}: texts {} dropped {} settled {} missing {missing} most copies {} owed {} slowest {:.1} s {note}",
        world.texts().count(),
        world.dropped.len(),
        world.settled.len(),
        most_copies(world),
        world.outbox.owed(),
        last.as_secs_f64()
    );
}

/// A fault of the app between these times, calls take up to `latency` ms.
fn fault(
    times: Vec<(f64, f64)>,
    outcome: Outcome,
    latency: u64,
    seed: u64,
) -> impl FnMut(&Call) -> Answer {
    let mut random = Random(seed | 1);
    move |call| {
        let at = call.at.as_secs_f64();
        let is_faulty = times.iter().any(|(from, to)| *from <= at && at < *to);
        Answer {
            after: Duration::from_millis(20 + random.below(latency)),
            ..answer(if is_faulty { outcome } else { DELIVERED })
        }
    }
}

/// Sums over many seeds: (worlds with a wrong drop, wrong drops, settled, texts, most copies, slowest)
fn many(name: &str, worlds: impl Iterator<Item = World>) {
    let (mut count, mut bad, mut dropped, mut settled, mut texts, mut copies, mut owed) =
        (0, 0, 0, 0, 0, 0, 0);
    for world in worlds {
        count += 1;
        bad += usize::from(!world.dropped.is_empty() || !world.settled.is_empty());
        dropped += world.dropped.len();
        settled += world.settled.len();
        texts += world.texts().count();
        copies = copies.max(most_copies(&world));
        owed += world.outbox.owed();
    }
    println!(
        "{name}: {bad} of {count} worlds, dropped {dropped} settled {settled} of {texts}, most copies {copies}, still owed {owed}"
    );
}

#[test]
fn a_app_wide_fault_begins_and_ends_in_the_middle() {
    for (people, rate) in [(1, 0.2), (2, 0.5), (3, 1.0), (20, 5.0), (50, 20.0)] {
        for outcome in [REFUSED, REFUSED_FOR_NOW] {
            many(
                &format!("a. one fault, {people} people at {rate}/s, {outcome:?}"),
                (1..=100).map(|seed: u64| {
                    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                    let from = 10.0 + random.below(10_000) as f64 / 1000.0;
                    let to = from + random.below(60_000) as f64 / 1000.0;
                    let mut world = World::new(fault(vec![(from, to)], outcome, 2000, random.0));
                    crowd(&mut world, people, rate, 0.0, 100.0);
                    world.run(seconds(8000.0));
                    world
                }),
            );
        }
    }
}

#[test]
fn b_two_faults_in_a_row() {
    for (people, rate) in [(1, 0.2), (2, 0.5), (20, 5.0), (50, 20.0)] {
        for gap in [0.1, 0.3, 1.0, 3.0, 10.0] {
            many(
                &format!("b. two faults {gap} s apart, {people} people at {rate}/s"),
                (1..=100).map(|seed: u64| {
                    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                    let from = 10.0 + random.below(10_000) as f64 / 1000.0;
                    let to = from + random.below(20_000) as f64 / 1000.0;
                    let again = to + gap;
                    let end = again + random.below(20_000) as f64 / 1000.0;
                    let mut world = World::new(fault(
                        vec![(from, to), (again, end)],
                        REFUSED,
                        400,
                        random.0,
                    ));
                    crowd(&mut world, people, rate, 0.0, 100.0);
                    world.run(seconds(8000.0));
                    world
                }),
            );
        }
    }
}

#[test]
fn c_a_fault_that_flaps() {
    for (on, off) in [(5.0, 1.0), (20.0, 2.0), (1.0, 1.0), (2.0, 10.0)] {
        many(
            &format!("c. flaps: {on} s refused, {off} s well, 20 people at 5/s"),
            (1..=50).map(|seed: u64| {
                let times = (0..40)
                    .map(|n| {
                        (
                            10.0 + f64::from(n) * (on + off),
                            10.0 + f64::from(n) * (on + off) + on,
                        )
                    })
                    .collect();
                let mut world = World::new(fault(
                    times,
                    REFUSED,
                    400,
                    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                ));
                crowd(&mut world, 20, 5.0, 0.0, 100.0);
                world.run(seconds(8000.0));
                world
            }),
        );
    }
}

fn partial(
    percent: u64,
    outcome: Outcome,
    is_shown: bool,
    seed: u64,
) -> impl FnMut(&Call) -> Answer {
    let mut random = Random(seed | 1);
    move |call| {
        let fails = call.at < seconds(600.0) && random.below(100) < percent;
        let given = if fails {
            Answer {
                is_shown,
                ..answer(outcome)
            }
        } else {
            answer(DELIVERED)
        };
        Answer {
            after: Duration::from_millis(20 + random.below(400)),
            ..given
        }
    }
}

#[test]
fn d_a_partial_outage() {
    for percent in [2, 5, 20, 35, 50] {
        for (outcome, is_shown) in [
            (Outcome::PerhapsSent, false),
            (Outcome::PerhapsSent, true),
            (Outcome::Unsent, false),
            (REFUSED_FOR_NOW, false),
            (REFUSED, false),
        ] {
            let mut slow = Vec::new();
            many(
                &format!(
                    "d. {percent} % of calls end {outcome:?} (shown: {is_shown}), 50 people at 5/s for 600 s"
                ),
                (1..=3).map(|seed: u64| {
                    let mut world = World::new(partial(
                        percent,
                        outcome,
                        is_shown,
                        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    ));
                    crowd(&mut world, 50, 5.0, 0.0, 600.0);
                    world.run(seconds(20_000.0));
                    slow.extend(world.delays(&[]));
                    world
                }),
            );
            slow.sort();
            let share = |part: usize| slow[(slow.len() - 1) * part / 1000].as_secs_f64();
            println!(
                "     delays: half {:.1}, 90 % {:.1}, 99 % {:.1}, all {:.1} s",
                share(500),
                share(900),
                share(990),
                share(1000)
            );
        }
    }
}

/// 613 for one thread, for so long.
#[test]
fn e_a_thread_limit_for_some() {
    for lasts in [3.0, 30.0, 90.0, 200.0, 600.0] {
        for texts in [1, 3, 8] {
            for with_others in [true, false] {
                many(
                    &format!(
                        "e. 613 for one person for {lasts} s, {texts} texts, others: {with_others}"
                    ),
                    (1..=20).map(|seed: u64| {
                        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                        let end = 10.0 + lasts + random.below(1000) as f64 / 1000.0;
                        let mut world = World::new(move |call: &Call| Answer {
                            after: Duration::from_millis(20 + random.below(400)),
                            ..answer(match call.person == "me" && call.at < seconds(end) {
                                true => REFUSED_FOR_NOW,
                                false => DELIVERED,
                            })
                        });
                        let mut at = 10.0;
                        for n in 0..texts {
                            world.write(seconds(at), "me", &format!("me {n}"));
                            if with_others {
                                crowd(&mut world, 10, 2.0, at + 0.1, at + 1.9)
                            }
                            at += 2.0;
                        }
                        if with_others {
                            crowd(&mut world, 10, 2.0, at + 0.1, 1500.0)
                        }
                        world.run(seconds(8000.0));
                        world
                    }),
                );
            }
        }
    }
}

/// Old calls still get through for seconds after the token has expired.
#[test]
fn f_a_token_expires_while_old_calls_are_in_flight() {
    for outcome in [Outcome::PageRefused, REFUSED] {
        many(
            &format!("f. {outcome:?} from 20 to 320 s, calls begun before take 5 s"),
            (1..=50).map(|seed: u64| {
                let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                let mut world = World::new(move |call: &Call| {
                    let at = call.at.as_secs_f64();
                    let slow = 15.0 < at && at < 20.0 && random.below(3) == 0;
                    Answer {
                        after: Duration::from_millis(if slow {
                            5000
                        } else {
                            20 + random.below(300)
                        }),
                        ..answer(if (20.0..320.0).contains(&at) {
                            outcome
                        } else {
                            DELIVERED
                        })
                    }
                });
                crowd(&mut world, 30, 10.0, 0.0, 100.0);
                world.run(seconds(8000.0));
                world
            }),
        );
    }
}

#[test]
fn g_people_who_blocked_the_page() {
    for outcome in [REFUSED, Outcome::OwnFault] {
        for sick in [1, 3, 6] {
            let mut world = World::new(move |call: &Call| {
                let n: usize = call.person[1..].parse().unwrap_or(99);
                answer(if n < sick { outcome } else { DELIVERED })
            });
            crowd(&mut world, 30, 1.0, 0.0, 600.0);
            world.run(seconds(8000.0));
            let names: Vec<String> = (0..sick).map(|n| format!("p{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let wrong = world
                .dropped
                .iter()
                .filter(|text| !names.contains(&text.split(' ').next().unwrap_or("")))
                .count();
            let delays = world.delays(&names);
            report(
                &format!("g. {sick} of 30 people blocked the page, {outcome:?}"),
                &world,
                &format!(
                    "wrong drops {wrong}, others slowest {:.2} s",
                    delays[delays.len() - 1].as_secs_f64()
                ),
            );
        }
    }
}

#[test]
fn h_one_or_two_testers() {
    for testers in [1, 2] {
        for texts in [2, 5, 15] {
            many(
                &format!(
                    "h. {testers} tester(s), fault of the app ends at any moment, {texts} texts each"
                ),
                (1..=200).map(|seed: u64| {
                    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                    let end = 5.0 + random.below(200_000) as f64 / 1000.0;
                    let mut world = World::new(fault(vec![(0.0, end)], REFUSED, 400, random.0));
                    for n in 0..texts {
                        for tester in 0..testers {
                            world.write(
                                seconds(1.0 + f64::from(n) * 8.0 + f64::from(tester)),
                                &format!("t{tester}"),
                                &format!("t{tester} {n}"),
                            );
                        }
                    }
                    world.run(seconds(8000.0));
                    world
                }),
            );
        }
    }
    // A forbidden text of one of two testers.
    let mut world = World::new(|call: &Call| {
        answer(if call.text.contains("bad") {
            REFUSED
        } else {
            DELIVERED
        })
    });
    for n in 0..10 {
        world.write(
            seconds(1.0 + f64::from(n) * 10.0),
            "t0",
            &format!("t0 bad {n}"),
        );
        world.write(
            seconds(3.0 + f64::from(n) * 10.0),
            "t1",
            &format!("t1 good {n}"),
        );
        world.write(
            seconds(5.0 + f64::from(n) * 10.0),
            "t0",
            &format!("t0 good {n}"),
        );
    }
    world.run(seconds(8000.0));
    report("h. two testers, ten forbidden texts", &world, "");
}

/// Shown, and answered with a fault, each time.
#[test]
fn i_copies_while_others_get_through() {
    for odd in [1, 2, 5] {
        for rate in [0.2, 2.0] {
            let mut world = World::new(move |call: &Call| match call.person.starts_with("odd") {
                true => Answer {
                    is_shown: true,
                    ..answer(Outcome::PerhapsSent)
                },
                false => answer(DELIVERED),
            });
            for n in 0..odd {
                world.write(seconds(1.0), &format!("odd{n}"), &format!("odd{n}"));
            }
            crowd(&mut world, 20, rate, 1.2, 2500.0);
            world.run(seconds(8000.0));
            let first = world.copies("odd0");
            report(
                &format!("i. {odd} odd people, others {rate}/s"),
                &world,
                &format!("copies {first}"),
            );
        }
    }
    let mut turn = 0;
    let mut world = World::new(move |call: &Call| match call.person.starts_with("odd") {
        true => {
            turn += 1;
            Answer {
                is_shown: true,
                ..answer(if turn % 2 == 0 {
                    REFUSED
                } else {
                    Outcome::PerhapsSent
                })
            }
        }
        false => answer(DELIVERED),
    });
    world.write(seconds(1.0), "odd", "odd");
    crowd(&mut world, 20, 2.0, 1.2, 1500.0);
    world.run(seconds(8000.0));
    report("i. one odd person, 500 and 400 by turns", &world, "");
    let mut alone = World::new(|_: &Call| Answer {
        is_shown: true,
        ..answer(Outcome::PerhapsSent)
    });
    alone.write(seconds(1.0), "odd", "odd");
    alone.run(seconds(86_000.0));
    report("i. one odd person alone for a day", &alone, "");
}
