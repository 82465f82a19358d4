//! What is to be simulated, and where it listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use super::{OwnBots, SimulatorError, Trouble};

/// What is to be simulated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// A bot that runs somewhere: the address of its webhook, its verify token, its app secret.
    pub(crate) other_bot: Option<[String; 3]>,
    /// Bots that the simulator starts itself, where there is no other.
    pub(crate) own_bots: Option<OwnBots>,
    /// The trouble that the Graph API makes from the start.
    pub(crate) trouble: Trouble,
    /// Where page and Graph API listen; none: on loopback.
    pub(crate) bind: Option<IpAddr>,
    /// The page's port; none: 8080, or one near it.
    pub(crate) port: Option<u16>,
    /// The Graph API's; none: 8090 for another bot, or one near it, else any.
    pub(crate) graph_port: Option<u16>,
    /// Whether there is a proxy.
    pub(crate) has_proxy: bool,
    /// Its port; none: 8091, or one near it.
    pub(crate) proxy_port: Option<u16>,
    /// The Graph API's over TLS; none: there is none.
    pub(crate) tls_port: Option<u16>,
    /// Where key and certificate of the proxy's authority are kept; none: nowhere.
    pub(crate) certificates: Option<PathBuf>,
    /// The id of the page.
    pub(crate) page: String,
    /// A bot that has been silent for so long has said all that it has to say.
    pub(crate) quiet: Duration,
    /// So many messages are waited for instead.
    pub(crate) wait: Option<u64>,
}

/// Listens on the port that was chosen; else on the first free one from the usual one on, or on any.
pub(crate) fn listen(
    bind: Option<IpAddr>,
    chosen: Option<u16>,
    usual: u16,
    flag: &str,
) -> Result<TcpListener, SimulatorError> {
    let ip = bind.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let ports = match chosen {
        Some(port) => vec![port],
        None => (usual..usual + 100).chain([0]).collect(),
    };
    let addresses: Vec<SocketAddr> = ports.iter().map(|port| (ip, *port).into()).collect();
    TcpListener::bind(&addresses[..]).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "another program is there".to_string(),
            _ => error.to_string(),
        };
        let port = chosen.unwrap_or(usual);
        SimulatorError(format!(
            "failed to listen on port {port}: {why}; {flag} chooses another"
        ))
    })
}
