//! What is to be simulated, and where it listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::Duration;

use super::{Fault, PAGE, SimulatorError, Trouble};

/// The first port that the Graph API for another bot takes, if it is free.
const GRAPH_PORT: u16 = 8090;

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// Another bot; none: echobot itself.
    pub other_bot: Option<OtherBot>,
    /// The trouble that the Graph API makes from the start.
    pub trouble: Trouble,
    /// The fault that it has besides.
    pub fault: Fault,
    /// Where page and Graph API listen.
    pub bind: IpAddr,
    /// The Graph API's port; none: one near 8090 for another bot, else any.
    pub graph_port: Option<u16>,
    /// The id of the page.
    pub page: String,
    /// A bot that has been silent for so long has said all that it has to say.
    pub quiet: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            other_bot: None,
            trouble: Trouble::default(),
            fault: Fault::default(),
            bind: Ipv4Addr::LOCALHOST.into(),
            graph_port: None,
            page: PAGE.to_string(),
            quiet: Duration::from_millis(500),
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

/// Whether it is the address of a webhook.
pub(super) fn check_address(url: &str) -> Result<(), SimulatorError> {
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    let why = || {
        SimulatorError(format!(
            "{url} is no address of a webhook; it begins with http:// or https://"
        ))
    };
    is_url.then_some(()).ok_or_else(why)
}

/// The Graph API's listener, by the port that was asked for.
pub(super) fn graph_listener(options: &Options) -> Result<TcpListener, SimulatorError> {
    let listener = match (options.graph_port, &options.other_bot) {
        (Some(port), _) => listen(options.bind, port, "--graph-port")?,
        // Another bot is told the address by hand: the same one each time, if it is free.
        (None, Some(_)) => listen_near(options.bind, GRAPH_PORT)?,
        (None, None) => listen(options.bind, 0, "--graph-port")?,
    };
    Ok(listener)
}

/// Listens on this port, or says which one is taken.
pub(super) fn listen(ip: IpAddr, port: u16, flag: &str) -> Result<TcpListener, SimulatorError> {
    TcpListener::bind((ip, port)).map_err(|error| {
        let error = match error.kind() {
            io::ErrorKind::AddrInUse => "another program is there".to_string(),
            _ => error.to_string(),
        };
        SimulatorError(format!(
            "failed to listen on port {port}: {error}; {flag} chooses another"
        ))
    })
}

/// Listens on the first free port from this one on, or on any, when there is none near.
pub(super) fn listen_near(ip: IpAddr, port: u16) -> Result<TcpListener, SimulatorError> {
    let mut ports = port..port + 100;
    let near = ports.find_map(|port| TcpListener::bind((ip, port)).ok());
    near.map_or_else(|| listen(ip, 0, "--port"), Ok)
}
