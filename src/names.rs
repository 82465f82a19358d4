//! Names -> addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};

#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
mod dns;
#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
mod without_libc;

/// All addresses of a host, which is a name, an IPv4 address, or an IPv6 address (also in brackets, as in a URL).
///
/// # Errors
/// When there is no such name, or nobody tells; in words.
pub(crate) fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = match bare.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => addresses_of(bare)?,
    };
    let addresses = addresses.into_iter();
    Ok(addresses.map(|address| (address, port).into()).collect())
}

#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
use self::without_libc::addresses_of;

#[cfg(not(all(target_feature = "crt-static", target_env = "gnu")))]
fn addresses_of(name: &str) -> io::Result<Vec<IpAddr>> {
    use std::net::ToSocketAddrs as _;

    let found = (name, 0).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        let text = text.strip_prefix("failed to lookup address information: ");
        text.map_or(error, io::Error::other)
    })?;
    Ok(found.map(|address| address.ip()).collect())
}
