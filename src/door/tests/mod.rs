//! The door with real sockets.

mod backend;
mod bursts;
mod closing;
mod limits;
mod reply;
mod serving;

use std::borrow::Cow;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use super::*;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const ROOMY: Limits = Limits {
    connections: 512,
    requests: 256,
    headers_passed: &["X-Kept"],
};
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A door with a loop that hands the requests over as they come.
struct House {
    door: Arc<Door>,
    requests: Option<Receiver<Request>>,
}

impl House {
    /// Nobody receives the requests but the test.
    fn unattended(limits: Limits, deadlines: Deadlines) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let places = [std::env::temp_dir()];
        let door = open_with(&places, listener, limits, deadlines).expect("the door opens");
        Self {
            door: Arc::new(door),
            requests: None,
        }
    }

    fn open(limits: Limits, deadlines: Deadlines) -> Self {
        let mut house = Self::unattended(limits, deadlines);
        let (sender, requests) = mpsc::channel();
        let receiving = Arc::clone(&house.door);
        thread::spawn(move || {
            while let Ok(request) = receiving.recv() {
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        house.requests = Some(requests);
        house
    }

    /// Requests wait in `requests` until the test answers them.
    fn holding() -> Self {
        Self::open(ROOMY, DEADLINES)
    }

    /// Requests are answered with method, target, the values of their headers and the length of the body.
    fn answering() -> Self {
        Self::open(ROOMY, DEADLINES).answer_all()
    }

    fn answer_all(mut self) -> Self {
        let requests = self.requests.take().expect("answer_all is called once");
        thread::spawn(move || requests.into_iter().for_each(answer));
        self
    }

    fn next_request(&self) -> Request {
        let requests = self
            .requests
            .as_ref()
            .expect("this house holds its requests");
        requests.recv_timeout(PATIENCE).expect("a request arrives")
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.door.address()).expect("the door is open");
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

impl Drop for House {
    fn drop(&mut self) {
        self.door.close();
        self.door.unblock();
        self.door.wait_until_empty(Duration::ZERO);
    }
}

fn answer(mut request: Request) {
    let body = request.take_body();
    let kept: Vec<_> = request
        .headers()
        .map(|header| header.value.as_str())
        .collect();
    let text = format!(
        "{} {} {kept:?} {}",
        request.method(),
        request.url(),
        body.len()
    );
    request.respond(&text_answer(200, text));
}

fn text_answer(status: u16, text: impl Into<Cow<'static, str>>) -> Answer {
    Answer::new(status, "text/plain", text)
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
            .expect("the door reads");
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
            if let Some((head_len, body_len)) = reply::frame(&self.received, is_head)
                && self.received.len() >= head_len + body_len
            {
                break (head_len, body_len);
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

impl House {
    fn connections(&self) -> usize {
        self.door.shared.registry.counts().0
    }

    fn idle_connections(&self) -> usize {
        self.door.shared.registry.counts().1
    }

    /// Opens that many connections at once, sends a request on each and waits until all are in hand.
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
