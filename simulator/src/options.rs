//! What is to be simulated, and where it listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use super::{Fault, OwnBots, PAGE, SimulatorError, Trouble};

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// A bot that runs somewhere.
    pub other_bot: Option<OtherBot>,
    /// Bots that the simulator starts itself, where there is no other.
    pub own_bots: Option<OwnBots>,
    /// The trouble that the Graph API makes from the start.
    pub trouble: Trouble,
    /// The fault that it has besides.
    pub fault: Fault,
    /// Where page and Graph API listen.
    pub bind: IpAddr,
    /// On which ports.
    pub ports: Ports,
    /// Where key and certificate of the proxy's authority are kept; none: nowhere.
    pub certificates: Option<PathBuf>,
    /// The id of the page.
    pub page: String,
    /// A bot that has been silent for so long has said all that it has to say.
    pub quiet: Duration,
    /// So many messages are waited for instead.
    pub wait: Option<usize>,
}

/// Ports; none: one near the usual one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// The page's: 8080.
    pub page: Option<u16>,
    /// The Graph API's: 8090 for another bot, else any.
    pub graph: Option<u16>,
    /// Whether there is a proxy, and its port: 8091.
    pub proxy: Option<Option<u16>>,
    /// The Graph API's over TLS; none: there is none.
    pub tls: Option<u16>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            other_bot: None,
            own_bots: None,
            trouble: Trouble::default(),
            fault: Fault::default(),
            bind: Ipv4Addr::LOCALHOST.into(),
            ports: Ports::default(),
            certificates: None,
            page: PAGE.to_string(),
            quiet: Duration::from_millis(500),
            wait: None,
        }
    }
}

/// A bot that is running somewhere.
#[derive(Debug, Clone, Default)]
pub struct OtherBot {
    /// The address of its webhook.
    pub webhook: String,
    /// What it expects in the handshake.
    pub verify_token: String,
    /// What it checks signatures with.
    pub app_secret: String,
}

/// Listens on this port, or says which one is taken.
pub(crate) fn listen(ip: IpAddr, port: u16, flag: &str) -> Result<TcpListener, SimulatorError> {
    TcpListener::bind((ip, port)).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "another program is there".to_string(),
            _ => error.to_string(),
        };
        SimulatorError(format!(
            "failed to listen on port {port}: {why}; {flag} chooses another"
        ))
    })
}

/// Listens on the port that was chosen; else on the first free one from the usual one on, or on any.
pub(crate) fn listen_near(
    ip: IpAddr,
    chosen: Option<u16>,
    usual: u16,
    flag: &str,
) -> Result<TcpListener, SimulatorError> {
    if let Some(port) = chosen {
        return listen(ip, port, flag);
    }
    let near = (usual..usual + 100).find_map(|port| TcpListener::bind((ip, port)).ok());
    near.map_or_else(|| listen(ip, 0, flag), Ok)
}
