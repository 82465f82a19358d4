//! `/etc/hosts` and DNS, for the static file. A static glibc loads the host's own modules for names into the program,
//! which are built for another glibc: it crashes at the first name.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use resolv_conf::{Config, ScopedIp};
use simple_dns::TYPE;

use super::dns;

/// The addresses of a name, as `/etc/hosts` has them, else as the name servers of `/etc/resolv.conf` do.
pub(super) fn addresses_of(name: &str) -> io::Result<Vec<IpAddr>> {
    let known = in_hosts(&fs::read("/etc/hosts").unwrap_or_default(), name);
    if !known.is_empty() {
        return Ok(known);
    }
    if is_localhost(name) {
        return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
    }
    let file = fs::read("/etc/resolv.conf").unwrap_or_default();
    let (config, _) = Config::parse_with_errors(&file);
    let mut reason = io::Error::other("there is no such name");
    for candidate in candidates(name, &config) {
        match ask_all(&candidate, &config) {
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => return Ok(addresses),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn in_hosts(file: &[u8], name: &str) -> Vec<IpAddr> {
    let file = String::from_utf8_lossy(file);
    let addresses = file.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let is_it = |word: &str| word.eq_ignore_ascii_case(name.trim_end_matches('.'));
        words.any(is_it).then_some(address)
    });
    addresses.collect()
}

/// These names never lead to another machine (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The names to ask for, in this order (resolv.conf(5), "search" and "ndots").
fn candidates(name: &str, config: &Config) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_string()];
    }
    let domains = config.get_last_search_or_domain();
    let mut candidates: Vec<_> = domains
        .filter(|domain| *domain != ".")
        .map(|domain| format!("{name}.{domain}"))
        .collect();
    let dots = name.matches('.').count();
    let first = dots >= config.ndots as usize;
    let at = if first { 0 } else { candidates.len() };
    candidates.insert(at, name.to_string());
    candidates
}

/// Asks one server after the other, until one answers. Without an address there is no such name.
fn ask_all(name: &str, config: &Config) -> io::Result<Vec<IpAddr>> {
    let default = [ScopedIp::V4(Ipv4Addr::LOCALHOST)];
    let servers = match &config.nameservers[..] {
        [] => &default[..],
        servers => servers,
    };
    let mut failures = Vec::new();
    let attempts = config.attempts.max(1) as usize;
    for server in std::iter::repeat_n(servers, attempts).flatten() {
        match dns::ask(name, TYPE::A, server.into(), config.use_vc) {
            Ok(v4) => {
                // Some servers refuse or forget this question. What the first one brought is good all the same.
                let v6 = match config.no_aaaa {
                    true => Vec::new(),
                    false => {
                        dns::ask(name, TYPE::AAAA, server.into(), config.use_vc).unwrap_or_default()
                    }
                };
                return Ok([v6, v4].concat());
            }
            Err(error) => failures.push(format!("{server} ({error})")),
        }
    }
    failures.truncate(servers.len());
    let failures = failures.join(", ");
    Err(io::Error::other(format!(
        "no name server answers: {failures}"
    )))
}
