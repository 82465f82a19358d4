//! Connections to the Graph API that cost few system calls.
//!
//! ureq's own TCP transport writes head and body of a request apart, and asks the system twice
//! per call whether the connection is open. [`Sparing`] stands before it.

use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout,
    RustlsConnector, TcpConnector, Transport,
};
use ureq::{Error, ProxyProtocol};

use super::BUFFER;

/// As `ureq::DefaultConnector` with rustls, but for [`Sparing`].
pub(super) fn connector() -> impl Connector {
    ().chain(NoSocks)
        .chain(ConnectProxyConnector::default())
        .chain(SparingConnector)
        .chain(RustlsConnector::default())
}

/// Tells of a proxy in the environment that is not used.
#[derive(Debug)]
struct NoSocks;

impl Connector for NoSocks {
    type Out = ();

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<()>, Error> {
        let protocol = details.config.proxy().map(|proxy| proxy.protocol());
        if !matches!(
            protocol,
            None | Some(ProxyProtocol::Http | ProxyProtocol::Https)
        ) {
            log::warn!("SOCKS proxies are not supported: the one in the environment is not used");
        }
        Ok(None)
    }
}

#[derive(Debug)]
struct SparingConnector;

impl<In: Transport> Connector<In> for SparingConnector {
    type Out = Either<In, Sparing>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // A tunnel through a proxy: this connector has opened the connection to that.
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let tcp = TcpConnector::default().connect(details, None::<()>)?;
        Ok(tcp.map(|tcp| Either::B(Sparing::new(Box::new(tcp)))))
    }
}

/// A TCP connection, beneath TLS where there is TLS.
#[derive(Debug)]
struct Sparing {
    tcp: Box<dyn Transport>,
    /// Output that waits for more of it. Sent when input is awaited: whoever has nothing left to
    /// say waits for an answer.
    unsent: Vec<u8>,
    /// Something was read since the connection was last asked whether it is open.
    has_read: bool,
}

impl Sparing {
    fn new(tcp: Box<dyn Transport>) -> Sparing {
        Sparing {
            tcp,
            unsent: Vec::new(),
            has_read: false,
        }
    }

    fn send_unsent(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        for part in self.unsent.chunks(BUFFER) {
            self.tcp.buffers().output()[..part.len()].copy_from_slice(part);
            self.tcp.transmit_output(part.len(), timeout)?;
        }
        self.unsent.clear();
        Ok(())
    }
}

impl Transport for Sparing {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.tcp.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = &self.tcp.buffers().output()[..amount];
        self.unsent.extend_from_slice(output);
        if self.unsent.len() < BUFFER {
            return Ok(());
        }
        self.send_unsent(timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.send_unsent(timeout)?;
        let progress = self.tcp.await_input(timeout);
        self.has_read = matches!(progress, Ok(true));
        progress
    }

    /// ureq asks when a connection goes back to its pool, and again when it is taken out.
    /// Between a call's last reading and the first asking nothing can have happened that the
    /// second does not notice as well, so only that asks the system: the pool may hold a dead
    /// connection, but nobody gets it.
    fn is_open(&mut self) -> bool {
        let returns_from_call = std::mem::take(&mut self.has_read);
        self.unsent.is_empty() && (returns_from_call || self.tcp.is_open())
    }
}

#[cfg(test)]
mod tests;
