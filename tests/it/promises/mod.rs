//! The promises, under trouble: nothing is lost, doubled or put out of order.
//!
//! In reduced size by default; `ECHOBOT_TESTS=full` plays them in full.

#![allow(
    clippy::print_stdout,
    reason = "what was measured is shown with --nocapture"
)]

mod kills;
mod outages;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Reply, Trouble, text_message, webhook};
use serde_json::json;

use crate::delivery::Delivery;
use crate::graph_api::{Call, GraphApi};

/// Longer than any drain takes: after its fourth failure a message is tried every 5 minutes.
const DRAIN: Duration = Duration::from_secs(1200);

/// Webhooks with one message each, `each` from everybody in turn; the text is the number.
pub fn crowd(people: usize, each: usize) -> Vec<(usize, Vec<u8>)> {
    let message = |number: usize| {
        let person = number % people;
        let mut message = text_message(
            &person.to_string(),
            &format!("m_{number}"),
            &number.to_string(),
        );
        message["timestamp"] = json!(1_763_900_000_000_u64 + number as u64);
        (person, webhook("page", &[message]))
    };
    (0..people * each).map(message).collect()
}

pub fn delivery(connections: usize, rate: Option<u32>) -> Delivery {
    Delivery {
        connections,
        rate,
        patience: DRAIN,
    }
}

/// Waits until so many different texts were delivered; all deliveries.
pub fn delivered(graph_api: &GraphApi, count: usize) -> Vec<Call> {
    let deadline = Instant::now() + DRAIN;
    loop {
        let calls = graph_api.calls().into_iter().filter(|call| call.delivered);
        let calls: Vec<Call> = calls.collect();
        let texts: HashSet<&str> = calls.iter().map(|call| call.text.as_str()).collect();
        if texts.len() >= count {
            return calls;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages are echoed",
            texts.len()
        );
        // There may be a hundred thousand: they are not counted at each call.
        thread::sleep(Duration::from_millis(50));
    }
}

/// The numbers that each person got, in order, first copies only.
pub fn first_copies(calls: &[Call]) -> HashMap<String, Vec<usize>> {
    let mut people: HashMap<String, Vec<usize>> = HashMap::new();
    for call in calls {
        let numbers = people.entry(call.recipient.clone()).or_default();
        let number = call.text.parse().expect("the text is a number");
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    people
}

#[track_caller]
pub fn assert_in_order(calls: &[Call]) {
    for (person, numbers) in first_copies(calls) {
        assert!(numbers.is_sorted(), "to {person}: {numbers:?}");
    }
}

#[track_caller]
pub fn assert_once(calls: &[Call]) {
    let mut seen = HashSet::new();
    let twice: Vec<_> = calls
        .iter()
        .filter(|call| !seen.insert(&call.text))
        .collect();
    assert!(
        twice.is_empty(),
        "{} echoes came twice, the first {:?}",
        twice.len(),
        twice[0]
    );
}

/// Makes trouble that can be changed while the Graph API runs.
pub struct TroubleMaker(Mutex<Trouble>);

impl TroubleMaker {
    pub fn set(&self, trouble: Trouble) {
        *self.0.lock().expect("nobody panics with it") = trouble;
    }

    fn reply(&self, call: &Call) -> Reply {
        let mut trouble = self.0.lock().expect("nobody panics with it");
        trouble.reply(&call.recipient)
    }
}

pub fn trouble_maker(
    trouble: Trouble,
) -> (Arc<TroubleMaker>, impl Fn(&Call) -> Reply + Send + Sync) {
    let maker = Arc::new(TroubleMaker(Mutex::new(trouble)));
    let behave = Arc::clone(&maker);
    (maker, move |call: &Call| behave.reply(call))
}
