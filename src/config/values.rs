//! What the text of a setting means, and what is expected where it means nothing.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use log::LevelFilter;
use ureq::http::Uri;

/// What is expected, and the value of a text that is that. The text is not empty.
pub(super) type Meaning<T> = (&'static str, fn(&str) -> Option<T>);

pub(super) const PORT: Meaning<u16> = ("a port number from 0 to 65535", |text| text.parse().ok());

pub(super) const ADDRESS: Meaning<SocketAddr> = (
    "an address and a port such as 127.0.0.1:5000 or [::]:5000",
    |text| text.parse().ok(),
);

pub(super) const WEBHOOK_PATH: Meaning<String> =
    ("a path such as / or /webhook, but not /healthz", |text| {
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
        let is_path = text.starts_with('/') && text.bytes().all(is_plain) && text != "/healthz";
        is_path.then(|| text.to_string())
    });

pub(super) const THREADS: Meaning<usize> = ("a whole number from 2 to 1024", |text| {
    number(text, 2..=1024)
});

pub(super) const MAX_PENDING: Meaning<usize> = ("a whole number from 1 to 10000000", |text| {
    number(text, 1..=10_000_000)
});

pub(super) const SEND_RATE: Meaning<u32> = (
    "a whole number of calls a second from 1 to 100000, or 0 for no limit",
    |text| number(text, 0..=100_000),
);

pub(super) const GRAPH_URL: Meaning<String> =
    ("an address such as https://graph.facebook.com", address);

pub(super) const GRAPH_VERSION: Meaning<String> = ("a version such as v26.0", |text| {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    (is_number(major) && is_number(minor)).then(|| text.to_string())
});

pub(super) const APP_ID: Meaning<String> = (
    "your app's id, the number in App settings > Basic",
    |text| is_number(text).then(|| text.to_string()),
);

pub(super) const LOG_LEVEL: Meaning<LevelFilter> =
    ("one of error, warn, info, debug, trace, off", |text| {
        text.parse().ok()
    });

pub(super) const YES_OR_NO: Meaning<bool> = ("true or false", |text| text.parse().ok());

pub(super) const KEY_PREFIX: Meaning<String> = (
    "a name such as echobot, of letters, digits, - _ . and :",
    |text| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        text.bytes().all(is_plain).then(|| text.to_string())
    },
);

fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A name or an IP address, perhaps with a port, perhaps with a path; without a password, which would be shown.
fn address(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (host, authority) = (uri.host()?, uri.authority()?.as_str());
    let in_brackets = host.strip_prefix('[').map(|ip| ip.trim_end_matches(']'));
    let is_host = in_brackets.map_or(!host.is_empty(), |ip| ip.parse::<Ipv6Addr>().is_ok());
    let has_port = |port: u16| port > 0 && authority == format!("{host}:{port}");
    let is_place = authority == host || uri.port_u16().is_some_and(has_port);
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = uri.query().is_none() && !text.contains('#');
    (is_host && is_place && is_http && is_bare).then(|| text.trim_end_matches('/').to_string())
}

/// What is wrong with a text that was copied or quoted badly: nobody sees it, and everything that is compared with it
/// is refused.
pub(super) fn spoiled(text: &str) -> Option<String> {
    let quotes = ['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»'];
    if text.len() > 1 && text.starts_with(quotes) && text.ends_with(quotes) {
        return Some("has quotes around it: write it without them".to_string());
    }
    let unseen = text.chars().find(|c| is_unseen(*c))?;
    let number = u32::from(unseen);
    Some(format!(
        "has a character in it that cannot be seen (U+{number:04X}): type it again, or copy it without that"
    ))
}

/// Control characters, white space but the plain one, and characters without a width (Unicode, "Format").
fn is_unseen(c: char) -> bool {
    let has_no_width = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || has_no_width || (c.is_whitespace() && c != ' ')
}

/// Whether the text may be a secret in the wrong variable, which must not be shown: Meta's are
/// long, and a password stands before an `@`.
pub(super) fn may_be_a_secret(text: &str) -> bool {
    text.len() > 24 || text.contains('@')
}
