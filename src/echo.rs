//! The bot: chooses the reply to an event.

use std::ops::Range;
use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use crate::event::{Event, EventKind, Platform};

/// The reply to an attachment or a pressed button.
pub const CANNOT_ECHO: &str = "I can't echo this";

/// What a bot says to a person: a text, of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(String);

impl Reply {
    /// A reply with this text. An empty one is silence.
    pub fn text(text: impl Into<String>) -> Reply {
        Reply(text.into())
    }
}

/// The echo bot's reply to an event; none when it is not answered.
pub fn reply(event: &Event) -> Option<Reply> {
    match &event.kind {
        EventKind::Text(text) => Some(Reply::text(text)),
        EventKind::Attachments | EventKind::Postback => Some(Reply::text(CANNOT_ECHO)),
        EventKind::Other(_) => None,
    }
}

/// A reply that is owed to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The page-scoped id of the person.
    pub recipient: Arc<str>,
    /// The id of the message that is answered.
    pub mid: Option<String>,
    /// The whole text, of any length.
    pub text: String,
    /// When the message was written, in milliseconds since 1970, where Messenger says so.
    pub timestamp: Option<u64>,
    /// Decides how much of the text fits into one message.
    pub platform: Platform,
}

impl Echo {
    /// The echo in a line of the log.
    pub fn label(&self) -> String {
        let mid = self.mid.as_deref().unwrap_or("-");
        format!("mid {mid}, to {}", self.recipient)
    }

    /// The echo that is owed for an event. `reply` is not called for an [`EventKind::Other`]: a reply
    /// to our own message would be answered in turn, for ever.
    pub fn answering(event: &Event, reply: fn(&Event) -> Option<Reply>) -> Option<Echo> {
        if let EventKind::Other(what) = event.kind {
            log::debug!("no reply to an event: {what}");
            return None;
        }
        let recipient = event.sender.as_deref()?;
        let Reply(text) = reply(event).filter(|reply| !reply.0.is_empty())?;
        Some(Echo {
            recipient: recipient.into(),
            mid: event.mid.clone(),
            timestamp: event.timestamp,
            text,
            platform: event.platform,
        })
    }
}

/// The next part of a text of which so many bytes are sent. No part is blank, because the Graph API
/// refuses it: blanks that fill a part, or end the text, are passed over.
pub fn next_part(text: &str, sent: usize, platform: Platform) -> Range<usize> {
    let rest = &text[sent..];
    let part = first_part(rest, platform);
    let blank = rest.len() - rest.trim_start().len();
    if part.trim().is_empty() && blank < rest.len() {
        return next_part(text, sent + blank, platform);
    }
    sent..sent + part.len()
}

/// The first part of a text that fits into one message of the platform; what is left is sent
/// next. Grapheme clusters (an emoji with its skin tone, a letter with its accents) stay whole,
/// unless one alone does not fit.
pub fn first_part(text: &str, platform: Platform) -> &str {
    let limit = limit(platform);
    // Most texts: a text has at least as many bytes as units, however they are counted.
    if text.len() <= limit.0 {
        return text;
    }
    let end = match fitting(text.graphemes(true), limit) {
        0 => fitting(text.split_inclusive(|_| true), limit),
        clusters => clusters,
    };
    &text[..end]
}

/// The length of one message at most, and how it is counted.
type Limit = (usize, fn(&str) -> usize);

fn limit(platform: Platform) -> Limit {
    match platform {
        // "2000 characters" (Send API reference): UTF-16 units satisfy every reading of it but bytes.
        Platform::Messenger => (2000, |text| text.encode_utf16().count()),
        // 1000 bytes of UTF-8 (Instagram messaging, Send API).
        Platform::Instagram => (1000, str::len),
    }
}

/// How many bytes of these pieces, from the first on, fit into the limit.
fn fitting<'a>(pieces: impl Iterator<Item = &'a str>, (most, count): Limit) -> usize {
    let mut units = 0;
    let fits = |piece: &&str| {
        units += count(piece);
        units <= most
    };
    pieces.take_while(fits).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, platform: Platform) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let part = first_part(rest, platform);
            assert!(!part.is_empty(), "a part takes the text forward");
            parts.push(part);
            rest = &rest[part.len()..];
        }
        parts
    }

    fn utf16(text: &str) -> usize {
        text.encode_utf16().count()
    }

    #[test]
    fn a_text_that_fits_is_one_part() {
        for text in [
            "a",
            &"a".repeat(2000),
            &"é".repeat(2000),
            &"😀".repeat(1000),
        ] {
            assert_eq!(parts(text, Platform::Messenger), [text]);
        }
        assert_eq!(parts(&"é".repeat(500), Platform::Instagram).len(), 1);
    }

    #[test]
    fn one_unit_more_makes_a_second_part() {
        assert_eq!(parts(&"a".repeat(2001), Platform::Messenger)[1], "a");
        assert_eq!(
            parts(&("😀".repeat(1000) + "a"), Platform::Messenger)[1],
            "a"
        );
        assert_eq!(parts(&("é".repeat(500) + "a"), Platform::Instagram)[1], "a");
    }

    #[test]
    fn a_cluster_is_never_cut() {
        let waving = "👋🏽";
        let text = "a".repeat(1998) + waving;
        assert_eq!(
            parts(&text, Platform::Messenger),
            ["a".repeat(1998).as_str(), waving]
        );
        let family = "👨‍👩‍👧‍👦".repeat(400);
        for part in parts(&family, Platform::Messenger) {
            assert!(part.chars().filter(|c| *c == '👨').count() * "👨‍👩‍👧‍👦".len() == part.len());
        }
    }

    #[test]
    fn a_cluster_longer_than_a_message_is_cut_between_characters() {
        let tower = "a".to_string() + &"\u{301}".repeat(4500);
        let parts = parts(&tower, Platform::Messenger);
        assert_eq!(
            parts.iter().map(|part| utf16(part)).collect::<Vec<_>>(),
            [2000, 2000, 501]
        );
        assert_eq!(parts.concat(), tower);
    }

    /// Two hundred texts of random pieces, from a fixed seed.
    #[test]
    fn parts_fit_stand_in_order_and_join_to_the_original() {
        let pieces = [
            "a",
            " ",
            "é",
            "e\u{301}",
            "你",
            "👋🏽",
            "👨‍👩‍👧‍👦",
            "🇫🇷",
            "\r\n",
            "ม",
            "ำ",
            "\u{200f}مرحبا",
            "\u{0}",
        ];
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).expect("it is below a usize")
        };
        for _ in 0..200 {
            let text: String = (0..next(3000))
                .map(|_| pieces[next(pieces.len())])
                .collect();
            for platform in [Platform::Messenger, Platform::Instagram] {
                let parts = parts(&text, platform);
                assert_eq!(parts.concat(), text);
                let (most, count) = limit(platform);
                assert!(parts.iter().all(|part| count(part) <= most));
                let clusters = parts.iter().map(|part| part.graphemes(true).count());
                assert_eq!(clusters.sum::<usize>(), text.graphemes(true).count());
            }
        }
    }
}
