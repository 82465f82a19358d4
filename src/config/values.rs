//! What a setting's text may be: the value, or none when it is not understood.

use std::net::Ipv6Addr;

pub(super) fn webhook_path(text: &str) -> Option<String> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
    (plain && text.starts_with('/') && text != "/healthz").then(|| text.to_string())
}

/// Whether a secret may have been put into the wrong variable: those of Meta are long, and a
/// password stands before an `@`. Such a value is not repeated.
pub(super) fn may_be_a_secret(text: &str) -> bool {
    text.len() > 24 || text.contains('@')
}

/// `http` or `https`, a name or an address, perhaps a port, perhaps a path.
pub(super) fn graph_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "443"),
    };
    let is_address = |inner: &str| {
        inner
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    let is_host = match host.strip_prefix('[') {
        Some(inner) => is_address(inner),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    let is_port =
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_path = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#@\\\"".contains(&b));
    let is_fine = matches!(scheme, "http" | "https") && is_host && is_port && is_path;
    is_fine.then(|| text.trim_end_matches('/').to_string())
}

pub(super) fn graph_version(text: &str) -> Option<String> {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (number(major) && number(minor)).then(|| text.to_string())
}
