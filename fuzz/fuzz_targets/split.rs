//! Text -> parts, on both platforms. The parts join to the text, each fits, and none is smaller than need be.

#![no_main]

use echobot::echo::first_part;
use echobot::event::Platform;
use libfuzzer_sys::fuzz_target;
use unicode_segmentation::UnicodeSegmentation;

/// UTF-16 units of the longest message of either platform.
const MESSAGE: usize = 2000;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Some(last) = text.chars().next_back() else {
        return;
    };
    let times = 1 + MESSAGE / text.encode_utf16().count();
    let mut texts = vec![text.to_string(), text.repeat(times)];
    if is_accent(last) {
        // One cluster is longer than a message.
        texts.push(format!("{text}{}", last.to_string().repeat(MESSAGE)));
    }
    for text in texts {
        check(&text, Platform::Messenger);
        check(&text, Platform::Instagram);
    }
});

fn is_accent(character: char) -> bool {
    format!("a{character}").graphemes(true).count() == 1
}

fn check(text: &str, platform: Platform) {
    let mut rest = text;
    while !rest.is_empty() {
        let part = first_part(rest, platform);
        assert!(!part.is_empty(), "no way forward");
        assert!(rest.starts_with(part));
        assert!(fits(part, platform));
        check_end(rest, part.len(), platform);
        rest = &rest[part.len()..];
    }
}

/// A part ends where the next cluster would be too much; or, within a cluster that is too much alone, where the next
/// character would be.
fn check_end(rest: &str, end: usize, platform: Platform) {
    if end == rest.len() {
        return;
    }
    let first_cluster = rest.graphemes(true).next().unwrap_or_default();
    let next = if fits(first_cluster, platform) {
        let mut clusters = rest.grapheme_indices(true);
        let next = clusters.find(|(start, _)| *start >= end);
        let (start, cluster) = next.expect("there is more text");
        assert_eq!(start, end, "a cluster is cut");
        cluster.len()
    } else {
        let next = rest[end..].chars().next();
        next.expect("there is more text").len_utf8()
    };
    assert!(
        !fits(&rest[..end + next], platform),
        "more would have fitted"
    );
}

fn fits(text: &str, platform: Platform) -> bool {
    match platform {
        Platform::Messenger => text.encode_utf16().count() <= MESSAGE,
        Platform::Instagram => text.len() <= 1000,
    }
}
