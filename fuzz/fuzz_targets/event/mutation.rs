//! Changes of a JSON document that leave it one, which random changes of bytes seldom do.

use serde_json::{Map, Value};

/// What Messenger's documents are made of.
const NAMES: &str = "object entry id messaging standby changes sender recipient timestamp message mid text \
    attachments postback is_echo is_deleted is_unsupported user_ref";

/// What may stand where something else was expected.
const VALUES: &str = r#"[null, true, false, 0, 1, -0.0, 1.5, 18446744073709551615, 1763900000, 1763900000000,
    "", "0", "1", "7", "true", "false", "page", "instagram", "\ud83d\ude00\u0000\"\\", [], {}, [{}], {"id": "7"}]"#;

/// Halves of a surrogate pair, and what looks like them.
const ESCAPES: &str = r"\ud83d \ude00 \\ud83d \\\ud83d \ud83d\u0041 \ud83d\ud83d\ude00 \ud800\udc00 \udbff\udfff
    \ud7ff \ue000";

/// One document made of another; `None` when it was none.
pub fn mutate(body: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(body).ok()?;
    let mut random = Random(u64::from(seed));
    for _ in 0..=random.below(3) {
        change(&mut document, &mut random);
    }
    let mut text = document.to_string();
    if random.below(4) == 0 && text.contains('"') {
        break_a_pair(&mut text, &mut random);
    }
    Some(text.into_bytes())
}

fn change(document: &mut Value, random: &mut Random) {
    let other = node(document, &mut random.below(count(document))).clone();
    let new = [other, odd_value(random)];
    let new = random.pick(new.into());
    let node = node(document, &mut random.below(count(document)));
    match (random.below(3), node) {
        (0, Value::Array(items)) => items.push(new),
        (1, Value::Array(items)) if !items.is_empty() => {
            drop(items.remove(random.below(items.len())))
        }
        (0, Value::Object(fields)) => {
            drop(fields.insert(random.pick(words(NAMES)).to_string(), new))
        }
        (1, Value::Object(fields)) if !fields.is_empty() => remove_one(fields, random),
        (_, node) => *node = new,
    }
}

fn remove_one(fields: &mut Map<String, Value>, random: &mut Random) {
    let names: Vec<String> = fields.keys().cloned().collect();
    fields.remove(&random.pick(names));
}

fn odd_value(random: &mut Random) -> Value {
    let values: Vec<Value> = serde_json::from_str(VALUES).expect("it is JSON, as written here");
    random.pick(values)
}

/// Writes an escape behind some quotation mark.
fn break_a_pair(text: &mut String, random: &mut Random) {
    let quotes = text.match_indices('"').map(|(at, _)| at + 1).collect();
    text.insert_str(random.pick(quotes), random.pick(words(ESCAPES)));
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value at this place, in the order in which they are written.
fn node<'a>(value: &'a mut Value, place: &mut usize) -> &'a mut Value {
    if *place == 0 {
        return value;
    }
    *place -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => unreachable!("the place is in the document"),
    };
    for child in children {
        let nodes = count(child);
        if *place < nodes {
            return node(child, place);
        }
        *place -= nodes;
    }
    unreachable!("the place is in the document")
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn pick<T>(&mut self, mut choices: Vec<T>) -> T {
        choices.swap_remove(self.below(choices.len()))
    }
}
