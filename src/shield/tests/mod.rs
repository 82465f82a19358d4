//! The shield with real sockets.

mod backend;
mod bursts;
mod closing;
mod limits;
mod serving;

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use tiny_http::{Request, Response, Server};

use super::*;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const ROOMY: Limits = Limits {
    connections: 512,
    directory: None,
    deadlines: DEADLINES,
};
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn with(deadlines: Deadlines) -> Limits {
    Limits { deadlines, ..ROOMY }
}

/// A shielded server with a loop that hands the requests over as they come.
struct Shielded {
    // Dropped before the shield, whose Unix socket it needs to stop.
    server: Arc<Server>,
    shield: Shield,
    requests: Option<Receiver<Request>>,
}

impl Shielded {
    /// Nobody receives the requests but the test.
    fn unattended(limits: Limits) -> Shielded {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let listening = listen(listener, limits);
        let (shield, server) = listening.expect("the shield listens");
        Shielded {
            server: Arc::new(server),
            shield,
            requests: None,
        }
    }

    fn open(limits: Limits) -> Shielded {
        let mut shielded = Shielded::unattended(limits);
        let (sender, requests) = mpsc::channel();
        let server = Arc::clone(&shielded.server);
        thread::spawn(move || {
            while let Ok(request) = server.recv() {
                if request.url() == "*" {
                    answer(request);
                } else if sender.send(request).is_err() {
                    return;
                }
            }
        });
        shielded.requests = Some(requests);
        shielded
    }

    /// Requests wait in `requests` until the test answers them.
    fn holding() -> Shielded {
        Shielded::open(ROOMY)
    }

    /// Requests are answered with method, target, the values of their headers and the length of the body.
    fn answering() -> Shielded {
        Shielded::open(ROOMY).answer_all()
    }

    fn answer_all(mut self) -> Shielded {
        let requests = self.requests.take().expect("answer_all is called once");
        thread::spawn(move || requests.into_iter().for_each(answer));
        self
    }

    fn next_request(&self) -> Request {
        let requests = self
            .requests
            .as_ref()
            .expect("this shielded holds its requests");
        requests.recv_timeout(PATIENCE).expect("a request arrives")
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.shield.address()).expect("the port is open");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        Client {
            stream,
            received: Vec::new(),
        }
    }

    fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "waited in vain for: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Shielded {
    fn drop(&mut self) {
        self.shield.close();
        self.server.unblock();
    }
}

fn answer(mut request: Request) {
    let mut body = Vec::new();
    let read = request.as_reader().read_to_end(&mut body);
    read.expect("the body arrives whole");
    let headers = request.headers().iter();
    let kept: Vec<_> = headers
        .filter(|header| !header.field.equiv("Content-Length"))
        .map(|header| header.value.as_str())
        .collect();
    let text = format!(
        "{} {} {kept:?} {}",
        request.method(),
        request.url(),
        body.len()
    );
    respond(request, 200, text);
}

fn respond(request: Request, status: u16, text: impl Into<String>) {
    let response = Response::from_string(text)
        .with_status_code(status)
        .with_chunked_threshold(usize::MAX);
    let _ = request.respond(response);
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream
            .write_all(text.as_ref())
            .expect("the shield reads");
    }

    fn ask(&mut self, text: impl AsRef<[u8]>) -> Reply {
        self.send(text);
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        self.reply_to(false)
    }

    fn reply_to(&mut self, is_head: bool) -> Reply {
        let (head_len, body_len) = loop {
            let measured = measure(&self.received, is_head).expect("a good response");
            if let Some(response) = measured.filter(|r| self.received.len() >= r.0 + r.1) {
                break response;
            }
            assert_ne!(
                self.read(),
                0,
                "closed in the middle of an answer: {:?}",
                self.received
            );
        };
        let body = self.received.split_off(head_len);
        let head = String::from_utf8(std::mem::take(&mut self.received)).expect("ASCII");
        let (body, rest) = body.split_at(body_len);
        self.received = rest.to_vec();
        Reply {
            status: head[9..12].parse().expect("a status code"),
            body: String::from_utf8(body.to_vec()).expect("text"),
            head,
        }
    }

    fn read(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let count = self
            .stream
            .read(&mut chunk)
            .expect("an answer or the end in time");
        self.received.extend_from_slice(&chunk[..count]);
        count
    }

    fn assert_closed(&mut self) {
        assert_eq!(self.read(), 0);
    }
}

fn post(len: usize, lines: &str) -> String {
    format!("POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n{lines}\r\n")
}

impl Shielded {
    fn connections(&self) -> usize {
        self.shield.shared.registry.state().connections.len()
    }

    fn idle_connections(&self) -> usize {
        let state = self.shield.shared.registry.state();
        let connections = state.connections.values();
        connections
            .filter(|entry| entry.idle_since.is_some())
            .count()
    }

    /// Opens that many connections at once, sends a request on each and waits until all are in flight.
    fn fill(&self, count: usize) -> (Vec<Client>, Vec<Request>) {
        let mut clients: Vec<_> = (0..count).map(|_| self.client()).collect();
        clients.iter_mut().for_each(|client| client.send(GET));
        let requests = (0..count).map(|_| self.next_request()).collect();
        (clients, requests)
    }

    fn empty(&self, (mut clients, requests): (Vec<Client>, Vec<Request>)) {
        requests.into_iter().for_each(answer);
        for client in &mut clients {
            assert_eq!(client.reply().status, 200);
        }
    }
}

/// The lengths of a response, in bytes; none while its head is incomplete.
fn measure(bytes: &[u8], to_head: bool) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let is_status = |code: &&str| head[9..].starts_with(*code);
    let has_body = !to_head && !["1", "204", "304"].iter().any(is_status);
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let body_len = if has_body { length } else { Some(0) };
    Ok(Some((
        end + 4,
        body_len.ok_or_else(|| io::Error::other("no length"))?,
    )))
}
