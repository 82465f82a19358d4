//! What the text of a setting means: its value, or, for a text that is not understood, what was
//! expected. No setting may be empty.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use log::LevelFilter;

type Parsed<T> = Result<T, &'static str>;

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().or(Err("a port number from 0 to 65535"))
}

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let expected = "an address and a port such as 127.0.0.1:5000 or [::]:5000";
    text.parse().or(Err(expected))
}

pub(super) fn webhook_path(text: &str) -> Parsed<String> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
    let is_path = text.starts_with('/') && text.bytes().all(is_plain) && text != "/healthz";
    let path = is_path.then(|| text.to_string());
    path.ok_or("a path such as / or /webhook, but not /healthz")
}

pub(super) fn threads(text: &str) -> Parsed<usize> {
    number(text, 2..=1024).ok_or("a whole number from 2 to 1024")
}

pub(super) fn max_pending(text: &str) -> Parsed<usize> {
    number(text, 1..=10_000_000).ok_or("a whole number from 1 to 10000000")
}

pub(super) fn send_rate(text: &str) -> Parsed<u32> {
    let expected = "a whole number of calls a second from 1 to 100000, or 0 for no limit";
    number(text, 0..=100_000).ok_or(expected)
}

pub(super) fn yes_or_no(text: &str) -> Parsed<bool> {
    text.parse().or(Err("true or false"))
}

pub(super) fn key_prefix(text: &str) -> Parsed<String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    let is_prefix = !text.is_empty() && text.bytes().all(is_plain);
    is_prefix
        .then(|| text.to_string())
        .ok_or("a name such as echobot, of letters, digits, - _ . and :")
}

fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

pub(super) fn graph_url(text: &str) -> Parsed<String> {
    let url = text.trim_end_matches('/');
    let is_fine = url
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && is_place(rest));
    let url = is_fine.then(|| url.to_string());
    url.ok_or("an address such as https://graph.facebook.com")
}

/// Whether this is a name or an address, perhaps with a port, perhaps with a path.
fn is_place(text: &str) -> bool {
    let (authority, path) = text.split_once('/').unwrap_or((text, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "443"),
    };
    let in_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_ipv6 = in_brackets.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    let is_name = !host.is_empty() && host.bytes().all(in_name);
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
    let in_path = |b: u8| b.is_ascii_graphic() && !b"?#@\\\"".contains(&b);
    (is_ipv6 || is_name) && is_port && path.bytes().all(in_path)
}

pub(super) fn graph_version(text: &str) -> Parsed<String> {
    let parts = text.strip_prefix('v').and_then(|text| text.split_once('.'));
    let is_version = parts.is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    let version = is_version.then(|| text.to_string());
    version.ok_or("a version such as v26.0")
}

pub(super) fn app_id(text: &str) -> Parsed<String> {
    let id = is_number(text).then(|| text.to_string());
    id.ok_or("your app's id, the number in App settings > Basic")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn log_level(text: &str) -> Parsed<LevelFilter> {
    let expected = "one of error, warn, info, debug, trace, off";
    text.parse().or(Err(expected))
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
