//! `/etc/hosts` and DNS, for the static file. A static glibc loads the host's own modules for names into the program,
//! which are built for another glibc: it crashes at the first name.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};
use rsdns::clients::std::Client;
use rsdns::clients::{ClientConfig, ProtocolStrategy};
use rsdns::errors::Error;
use rsdns::message::RCode;
use rsdns::records::Class;
use rsdns::records::data::{A, Aaaa, RData};

/// A name server that does not answer within this time is passed over; so the next one has time left.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

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
    for server in std::iter::repeat_n(servers, config.attempts.max(1) as usize).flatten() {
        match ask(name, server.into(), config) {
            Ok(addresses) => return Ok(addresses),
            Err(Error::IoError(error)) => failures.push(format!("{server} ({error})")),
            Err(error) => failures.push(format!("{server} ({error})")),
        }
    }
    failures.dedup();
    let failures = failures.join(", ");
    Err(io::Error::other(format!(
        "no name server answers: {failures}"
    )))
}

fn ask(name: &str, server: IpAddr, config: &Config) -> Result<Vec<IpAddr>, Error> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let within = Duration::from_secs(config.timeout.max(1).into());
    let transport = match config.use_vc {
        true => ProtocolStrategy::Tcp,
        false => ProtocolStrategy::Udp,
    };
    let settings = ClientConfig::with_nameserver(SocketAddr::new(server, 53))
        .set_bind_addr((any, 0).into())
        .set_protocol_strategy(transport)
        .set_query_timeout(None)
        .set_query_lifetime(within.min(ANSWER_WITHIN));
    let mut client = Client::new(settings)?;
    let v4 = records::<A>(&mut client, name)?;
    let v4 = v4.into_iter().map(|record| record.address.into());
    // Some servers refuse or forget this question. What the first one brought is good all the same.
    let v6 = match config.no_aaaa {
        true => Vec::new(),
        false => records::<Aaaa>(&mut client, name).unwrap_or_default(),
    };
    let v6 = v6.into_iter().map(|record| record.address.into());
    Ok(v6.chain(v4).collect())
}

/// The records of a name; none when there is no such name.
fn records<D: RData>(client: &mut Client, name: &str) -> Result<Vec<D>, Error> {
    match client.query_rrset::<D>(name, Class::IN) {
        Ok(records) => Ok(records.rdata),
        Err(Error::NoAnswer | Error::BadResponseCode(RCode::NXDOMAIN)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
