//! Connections to the Graph API that send a request at once: one system call, one packet, one
//! time that the other side wakes up. ureq's own TCP transport writes head and body apart.

use std::sync::Once;

use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout,
    RustlsConnector, TcpConnector, Transport,
};
use ureq::{Error, Proxy, ProxyProtocol};

use super::BUFFER;

/// As ureq's `DefaultConnector` with rustls, but for [`Gathering`].
pub(super) fn connector() -> impl Connector {
    ().chain(ConnectProxyConnector::default())
        .chain(GatheringConnector)
        .chain(RustlsConnector::default())
}

/// The proxy that the environment names, if it is one of HTTP. With one of SOCKS ureq leaves the
/// Graph API's name to the proxy, and without one there would be nowhere to connect to.
pub(super) fn proxy() -> Option<Proxy> {
    let proxy = Proxy::try_from_env()?;
    if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Some(proxy);
    }
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        log::warn!("SOCKS proxies are not supported: the one in the environment is not used");
    });
    None
}

#[derive(Debug)]
struct GatheringConnector;

impl<In: Transport> Connector<In> for GatheringConnector {
    type Out = Either<In, Gathering>;

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
        Ok(tcp.map(|tcp| Either::B(Gathering::new(Box::new(tcp)))))
    }
}

/// A TCP connection, beneath TLS where there is TLS.
#[derive(Debug)]
struct Gathering {
    tcp: Box<dyn Transport>,
    /// Output that waits for more of it. Sent when input is awaited: whoever has nothing left to
    /// say waits for an answer.
    unsent: Vec<u8>,
}

impl Gathering {
    fn new(tcp: Box<dyn Transport>) -> Gathering {
        Gathering {
            tcp,
            unsent: Vec::new(),
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

impl Transport for Gathering {
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
        self.tcp.await_input(timeout)
    }

    /// Whoever takes a connection out of the pool gets none with a rest of somebody else's call.
    fn is_open(&mut self) -> bool {
        self.unsent.is_empty() && self.tcp.is_open()
    }
}

#[cfg(test)]
mod tests;
