//! What the text of a setting means, and what is expected where it means nothing.

use std::net::{Ipv6Addr, SocketAddr};

use log::LevelFilter;
use ureq::http::Uri;

/// What is expected, and whether a value is that.
pub(super) type Meaning<T> = (&'static str, fn(&T) -> bool);

pub(super) const PORT: Meaning<u16> = ("a port number from 0 to 65535", |_| true);

pub(super) const ADDRESS: Meaning<SocketAddr> = (
    "an address and a port such as 127.0.0.1:5000 or [::]:5000",
    |_| true,
);

pub(super) const WEBHOOK_PATH: Meaning<String> =
    ("a path such as / or /webhook, but not /healthz", |path| {
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
        path.starts_with('/') && path.bytes().all(is_plain) && path != "/healthz"
    });

pub(super) const THREADS: Meaning<usize> =
    ("a whole number from 2 to 1024", |n| (2..=1024).contains(n));

pub(super) const MAX_PENDING: Meaning<usize> = ("a whole number from 1 to 10000000", |n| {
    (1..=10_000_000).contains(n)
});

pub(super) const SEND_RATE: Meaning<u32> = (
    "a whole number of calls a second from 1 to 100000, or 0 for no limit",
    |n| *n <= 100_000,
);

pub(super) const GRAPH_URL: Meaning<String> =
    ("an address such as https://graph.facebook.com", |url| {
        is_address(url) == Some(true)
    });

pub(super) const GRAPH_VERSION: Meaning<String> = ("a version such as v26.0", |version| {
    let numbers = version.strip_prefix('v').and_then(|n| n.split_once('.'));
    numbers.is_some_and(|(major, minor)| is_number(major) && is_number(minor))
});

pub(super) const APP_ID: Meaning<String> =
    ("your app's id, the number in App settings > Basic", |id| {
        is_number(id)
    });

pub(super) const LOG_LEVEL: Meaning<LevelFilter> =
    ("one of error, warn, info, debug, trace, off", |_| true);

pub(super) const YES_OR_NO: Meaning<bool> = ("true or false", |_| true);

pub(super) const KEY_PREFIX: Meaning<String> = (
    "a name such as echobot, of letters, digits, - _ . and :",
    |name| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        name.bytes().all(is_plain)
    },
);

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A name or an IP address, perhaps with a port, perhaps with a path; without a password, which would be shown.
fn is_address(text: &str) -> Option<bool> {
    let uri: Uri = text.parse().ok()?;
    let (host, authority) = (uri.host()?, uri.authority()?.as_str());
    let in_brackets = host.strip_prefix('[').map(|ip| ip.trim_end_matches(']'));
    let is_host = in_brackets.map_or(!host.is_empty(), |ip| ip.parse::<Ipv6Addr>().is_ok());
    let has_port = |port: u16| port > 0 && authority == format!("{host}:{port}");
    let is_place = authority == host || uri.port_u16().is_some_and(has_port);
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    Some(is_host && is_place && is_http && uri.query().is_none() && !text.contains('#'))
}

/// The text without the white space around it; or what is wrong with it. Quotes and invisible characters are easily
/// overlooked, and the value would never match.
pub(super) fn usable(text: &str) -> Result<String, String> {
    let text = text.trim();
    let quotes = ['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»'];
    if text.is_empty() {
        return Err("is empty".to_string());
    }
    if text.len() > 1 && text.starts_with(quotes) && text.ends_with(quotes) {
        return Err("has quotes around it; leave them out".to_string());
    }
    match text.chars().find(|c| is_unseen(*c)).map(u32::from) {
        Some(c) => Err(format!("contains an invisible character (U+{c:04X})")),
        None => Ok(text.to_string()),
    }
}

/// Control characters, white space but the plain one, and characters without a width (Unicode, "Format").
fn is_unseen(c: char) -> bool {
    let has_no_width = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || has_no_width || (c.is_whitespace() && c != ' ')
}
