//! Feeds the service manager's watchdog while the bot really answers: it asks itself over its own
//! port, as any client would. A receiver must have taken up that request or, where the port is so
//! full that the shield rejects it, another one.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::config::reachable;
use crate::essential_thread;
use crate::systemd::Systemd;
use crate::worker::Worker;

/// The pause after a question without an answer, at most.
const PAUSE: Duration = Duration::from_secs(1);

/// Feeds the watchdog, if there is one, twice within its time, until the port is closed.
pub(crate) fn start(systemd: Systemd, worker: Arc<Worker>) -> io::Result<()> {
    let Some(within) = systemd.watchdog else {
        return Ok(());
    };
    let every = within / 2;
    let feed = move || {
        let shield = &worker.shield;
        let address = reachable(shield.address());
        while !shield.is_closed() {
            let _ = ask(address, every / 2);
            if worker.received.swap(0, Ordering::Relaxed) > 0 {
                systemd.tell("WATCHDOG=1");
                thread::sleep(every);
            } else if !shield.is_closed() {
                log::error!("the bot does not answer on its own port: systemd will restart it");
                thread::sleep(PAUSE.min(every));
            }
        }
    };
    essential_thread::spawn("watchdog".to_string(), feed).map(drop)
}

/// Requests `/healthz`, and waits for the answer. Any answer shows that the bot is alive: a restart
/// does not help a full outbox.
fn ask(address: SocketAddr, at_most: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, at_most)?;
    stream.set_read_timeout(Some(at_most))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}
