//! Random people, faults and outages. The test knows whom a fault concerns; the outbox does not.

use std::collections::HashMap;

use super::world::{Answer, Call, REFUSED, REFUSED_FOR_NOW, Random, World, answer};
use super::*;

const PEOPLE: usize = 12;
/// People write for so many seconds; faults of the page end soon after.
const WRITING: u64 = 600;

/// What is wrong with what a person writes, always.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Person {
    Well,
    /// Refused so.
    Refused(Outcome),
    /// Delivered, and answered with a fault.
    Odd,
}

/// What is wrong with the page for some time: from when until when, for people whose names begin so.
type Fault = (u64, u64, Outcome, &'static str);

fn people(random: &mut Random) -> Vec<Person> {
    let one = |_| match random.below(16) {
        3 => Person::Odd,
        0 => Person::Refused(REFUSED),
        1 => Person::Refused(REFUSED_FOR_NOW),
        2 => Person::Refused(Outcome::OwnFault),
        _ => Person::Well,
    };
    (0..PEOPLE).map(one).collect()
}

/// One after the other, with time to recover between them.
fn faults(random: &mut Random) -> Vec<Fault> {
    let outcomes = [
        REFUSED,
        REFUSED_FOR_NOW,
        Outcome::PageRefused,
        Outcome::PageLimited(None),
        Outcome::PageLimited(Some(Duration::from_secs(60))),
        Outcome::Unsent,
        Outcome::PerhapsSent,
    ];
    let mut faults = Vec::new();
    let mut at = random.below(60);
    while at < WRITING {
        let end = at + 1 + random.below(120);
        let outcome = outcomes[random.below(outcomes.len() as u64) as usize];
        let whom = ["", "", "i", "p"][random.below(4) as usize];
        faults.push((at, end, outcome, whom));
        at = end + 20 + random.below(200);
    }
    faults
}

fn api(people: Vec<Person>, faults: Vec<Fault>, mut random: Random) -> impl FnMut(&Call) -> Answer {
    move |call| {
        let after = Duration::from_millis(20 + random.below(400));
        let now = call.at.as_secs();
        let concerns = |(from, to, _, whom): &&Fault| {
            (*from..*to).contains(&now) && call.person.starts_with(whom)
        };
        if let Some((_, _, outcome, _)) = faults.iter().find(concerns) {
            return Answer {
                after,
                ..answer(*outcome)
            };
        }
        let number: usize = call.person[1..].parse().expect("people are numbered");
        let given = match people[number] {
            Person::Well => answer(Outcome::Delivered),
            Person::Refused(outcome) => answer(outcome),
            Person::Odd => Answer {
                is_shown: true,
                ..answer(Outcome::PerhapsSent)
            },
        };
        Answer { after, ..given }
    }
}

/// Three of them are on Instagram.
fn name(person: u64) -> String {
    let platform = if person < 3 { 'i' } else { 'p' };
    format!("{platform}{person}")
}

fn play(seed: u64) -> (World, Vec<Person>) {
    let mut random = Random::new(seed);
    let people = people(&mut random);
    let faults = faults(&mut random);
    let own = Random::new(random.below(u64::MAX));
    let mut world = World::new(api(people.clone(), faults, own));
    let mut at = Duration::ZERO;
    for n in 0..WRITING {
        at += Duration::from_millis(random.below(2000));
        let person = name(random.below(PEOPLE as u64));
        world.write(at, &person, &format!("{person} {n}"));
    }
    // Long enough for the longest pauses, with somebody about.
    for n in 0..300 {
        at += Duration::from_secs(30);
        let person = name(n % 6);
        world.write(at, &person, &format!("{person} late {n}"));
    }
    world.run(at + Duration::from_secs(3600));
    (world, people)
}

#[test]
fn whatever_happens_only_what_is_at_fault_itself_is_dropped_and_the_rest_comes_once_in_order() {
    let full = std::env::var("ECHOBOT_TESTS").is_ok_and(|size| size == "full");
    let first = std::env::var("FIRST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let last = std::env::var("LAST_SEED").map_or(if full { 3000 } else { 100 }, |seed| {
        seed.parse().expect("a number")
    });
    let mut late = Vec::new();
    for seed in first..=last {
        let (world, people) = play(seed);
        let person = |text: &str| {
            let number = text[1..].split(' ').next().and_then(|n| n.parse().ok());
            people[number.unwrap_or(0_usize)]
        };
        for text in &world.dropped {
            let is_own = matches!(person(text), Person::Refused(_));
            assert!(is_own, "seed {seed}: {text} was dropped, {people:?}");
        }
        for text in &world.settled {
            assert_eq!(person(text), Person::Odd, "seed {seed}: {text} was settled");
        }
        let mut last: HashMap<&str, (usize, &str)> = HashMap::new();
        for (place, (_, who, text)) in world.shown.iter().enumerate() {
            if let Some((_, before)) = last.insert(who, (place, text)) {
                let written = |text: &str| world.written_at(text);
                if written(before) > written(text) {
                    late.push(format!("seed {seed}: {text} comes after {before}"));
                }
            }
            let most = if person(text) == Person::Odd { 30 } else { 1 };
            let copies = world.copies(text);
            assert!(
                copies <= most,
                "seed {seed}: {text} is shown {copies} times"
            );
        }
        for text in world.texts().filter(|text| person(text) == Person::Well) {
            assert_eq!(world.copies(text), 1, "seed {seed}: {text} is not shown");
        }
    }
    // Its successor is the witness of a refused message, and a fault may end between the two: above all one of a platform,
    // which does not hold the page.
    assert!(late.len() as u64 * 50 <= last - first + 50, "{late:?}");
}
