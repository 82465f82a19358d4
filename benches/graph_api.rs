//! A Graph API that costs next to nothing: it notes each call of the Send API and says yes.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::echo_log::EchoLog;
use crate::http::{Reader, find, number};

const OUTAGE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n\
    {\"recipient_id\":\"7100200300000000\",\"message_id\":\"m_AG5Hz2Uq\"}";

/// The longest that a call waits at the gate: the bot gives up a call after 10 s.
const LONGEST_HOLD: Duration = Duration::from_secs(8);

/// It is closed when this is dropped.
pub(crate) struct GraphApi {
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
}

struct Behaviour {
    echo_log: Arc<EchoLog>,
    /// From a call to its answer.
    latency: Duration,
    /// While it is closed, no call is answered.
    gate_is_open: Mutex<bool>,
    gate_moved: Condvar,
    /// Every call is answered 503.
    is_out: AtomicBool,
    is_over: AtomicBool,
}

impl GraphApi {
    /// Opens one on a free port of this machine.
    pub(crate) fn open(echo_log: &Arc<EchoLog>, latency: Duration) -> GraphApi {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let behaviour = Arc::new(Behaviour {
            echo_log: Arc::clone(echo_log),
            latency,
            gate_is_open: Mutex::new(true),
            gate_moved: Condvar::new(),
            is_out: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&behaviour);
        thread::spawn(move || accept(&listener, &of_thread));
        GraphApi { address, behaviour }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set_outage(&self, is_out: bool) {
        self.behaviour.is_out.store(is_out, SeqCst);
    }

    pub(crate) fn move_gate(&self, is_open: bool) {
        let mut gate = self.behaviour.gate_is_open.lock();
        *gate.as_deref_mut().expect("nobody panics at the gate") = is_open;
        self.behaviour.gate_moved.notify_all();
    }
}

impl Drop for GraphApi {
    fn drop(&mut self) {
        self.behaviour.is_over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, behaviour: &Arc<Behaviour>) {
    while let Ok((stream, _)) = listener.accept() {
        if behaviour.is_over.load(SeqCst) {
            return;
        }
        let behaviour = Arc::clone(behaviour);
        thread::spawn(move || serve(stream, &behaviour));
    }
}

fn serve(mut stream: TcpStream, behaviour: &Behaviour) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::new();
    while let Some(call) = reader.next(&mut stream)? {
        // The bot asks for its page once.
        if call.body.is_empty() || behaviour.is_out.load(SeqCst) {
            stream.write_all(OUTAGE)?;
            continue;
        }
        let recipient = number(value(call.body, b"\"id\":"));
        let message = number(value(call.body, b"\"text\":"));
        behaviour.echo_log.called(recipient, message);
        behaviour.take_time();
        stream.write_all(ANSWER)?;
        behaviour.echo_log.answered(message);
    }
    Ok(())
}

impl Behaviour {
    fn take_time(&self) {
        if !self.latency.is_zero() {
            thread::sleep(self.latency);
        }
        let gate = self.gate_is_open.lock();
        let gate = gate.unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .gate_moved
            .wait_timeout_while(gate, LONGEST_HOLD, |is_open| !*is_open);
        drop(waited);
    }
}

/// What stands behind this key and a quote, to the end.
fn value<'a>(body: &'a [u8], key: &[u8]) -> &'a [u8] {
    let behind = find(body, key).map_or(&[][..], |at| &body[at + key.len()..]);
    let behind = behind.trim_ascii_start();
    behind.strip_prefix(b"\"").unwrap_or(behind)
}
