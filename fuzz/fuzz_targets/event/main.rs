//! A webhook's body -> events -> replies. Nothing panics, a person's text is echoed as it is, the page's own messages
//! never are, and mending changes nothing but halves of surrogate pairs.

#![no_main]

use echobot::echo::{self, CANNOT_ECHO, Echo};
use echobot::event;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde::de::IgnoredAny;
use serde_json::Value;

mod mutation;

fuzz_target!(|body: &[u8]| {
    let mended = event::mend_lone_surrogates(body);
    check_mending(body, &mended);
    let Ok(document) = serde_json::from_slice::<Value>(&mended) else {
        assert!(event::read(body).is_err());
        return;
    };
    let Ok(events) = event::read(body) else {
        assert!(!(document["object"].is_string() && document["entry"].is_array()));
        return;
    };
    let told = told(&document);
    assert_eq!(events.len(), told.len());
    for (event, (page, told)) in events.into_iter().zip(told) {
        check_reply(page, told, Echo::answering(&event, echo::reply));
    }
});

// Half of the changes keep a document a document; the rest are libFuzzer's own.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutated = match seed % 2 {
        0 => mutation::mutate(&data[..size], seed),
        _ => None,
    };
    match mutated.filter(|mutated| mutated.len() <= max_size) {
        Some(mutated) => {
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

fn check_mending(body: &[u8], mended: &[u8]) {
    assert_eq!(mended.len(), body.len());
    assert_eq!(event::mend_lone_surrogates(mended), mended);
    if serde_json::from_slice::<Value>(body).is_ok() {
        assert_eq!(mended, body, "a good document was changed");
    }
    let is_json =
        str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok();
    if is_json && let Err(error) = serde_json::from_slice::<Value>(mended) {
        let error = error.to_string();
        let is_limit = ["number out of range", "recursion limit exceeded"]
            .iter()
            .any(|limit| error.starts_with(limit));
        assert!(is_limit, "not mended: {error}");
    }
}

/// What the document says happened, each with the id of its page.
fn told(document: &Value) -> Vec<(&Value, &Value)> {
    let is_ours = document["object"] == "page" || document["object"] == "instagram";
    let entries = document["entry"].as_array().filter(|_| is_ours);
    let mut told = Vec::new();
    for entry in entries.into_iter().flatten() {
        let events = entry["messaging"].as_array().into_iter().flatten();
        told.extend(events.map(|event| (&entry["id"], event)));
    }
    told
}

fn check_reply(page: &Value, event: &Value, reply: Option<Echo>) {
    let sender = &event["sender"]["id"];
    let Some(echo) = reply else {
        assert!(!is_plain_text(page, event), "a person got no answer");
        return;
    };
    let message = &event["message"];
    assert_ne!(sender, page, "the page answers itself");
    assert!(!says_yes(&message["is_echo"]), "an echo is answered");
    assert!(!says_yes(&message["is_deleted"]), "a deletion is answered");
    assert!(message.is_object() || event["postback"].is_object());
    assert!(!echo.text.is_empty() && !echo.recipient.is_empty());
    match sender {
        Value::String(id) => assert_eq!(**id, *echo.recipient),
        id => assert_eq!(id.to_string(), *echo.recipient),
    }
    match message["text"].as_str() {
        Some(text) if !text.is_empty() => assert_eq!(echo.text, text),
        _ => assert_eq!(echo.text, CANNOT_ECHO),
    }
}

/// Nobody would take it for anything but a person's text.
fn is_plain_text(page: &Value, event: &Value) -> bool {
    let is_filled = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let (sender, message) = (&event["sender"]["id"], &event["message"]);
    let flags = ["is_echo", "is_deleted", "is_unsupported"];
    is_filled(sender)
        && page.is_string()
        && page != sender
        && is_filled(&message["text"])
        && flags.iter().all(|flag| message[flag].is_null())
}

/// The ways to say yes that a platform might use.
fn says_yes(flag: &Value) -> bool {
    *flag == true || *flag == 1 || *flag == "true" || *flag == "1"
}
