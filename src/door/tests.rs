//! The door with real sockets.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{self, Receiver};

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
    requests: Option<Receiver<tiny_http::Request>>,
}

impl House {
    fn open(limits: Limits, deadlines: Deadlines) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let door = Arc::new(open_with(listener, limits, deadlines).expect("the door opens"));
        let (sender, requests) = mpsc::channel();
        let receiving = Arc::clone(&door);
        thread::spawn(move || {
            while let Ok(request) = receiving.recv() {
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self {
            door,
            requests: Some(requests),
        }
    }

    /// Requests wait in `requests` until the test answers them.
    fn holding() -> Self {
        Self::open(ROOMY, DEADLINES)
    }

    /// Requests are answered with method, target, `X-Kept` and the length of the body.
    fn answering() -> Self {
        Self::open(ROOMY, DEADLINES).answer_all()
    }

    fn answer_all(mut self) -> Self {
        let requests = self.requests.take().expect("answer_all is called once");
        thread::spawn(move || requests.into_iter().for_each(answer));
        self
    }

    fn next_request(&self) -> tiny_http::Request {
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

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
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

fn answer(mut request: tiny_http::Request) {
    let mut body = Vec::new();
    request
        .as_reader()
        .read_to_end(&mut body)
        .expect("the door sends whole bodies");
    assert_eq!(request.body_length().unwrap_or(0), body.len());
    let kept: Vec<_> = request
        .headers()
        .iter()
        .map(|header| header.value.as_str())
        .collect();
    let text = format!(
        "{} {} {kept:?} {}",
        request.method(),
        request.url(),
        body.len()
    );
    request
        .respond(tiny_http::Response::from_string(text))
        .expect("the door listens");
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
        let frame = loop {
            let parsed = framing::parse_answer(&self.received, is_head).expect("a good answer");
            if let Some(frame) = parsed
                && self.received.len() >= frame.head_len + frame.body_len
            {
                break frame;
            }
            assert_ne!(
                self.read(),
                0,
                "closed in the middle of an answer: {:?}",
                self.received
            );
        };
        let body = self.received.split_off(frame.head_len);
        let head = String::from_utf8(std::mem::take(&mut self.received)).expect("ASCII");
        let (body, rest) = body.split_at(frame.body_len);
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

#[test]
fn a_connection_serves_one_request_after_another() {
    let house = House::answering();
    let mut client = house.client();
    for _ in 0..50 {
        let reply = client.ask(post(3, "x-kept: y\r\nX-Dropped: z\r\n") + "abc");
        assert_eq!(reply.body, r#"POST /hook ["3", "y"] 3"#);
        assert!(!reply.head.contains("Connection:"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let house = House::answering();
    let mut client = house.client();
    let requests: String = (0..50)
        .map(|i| {
            format!(
                "POST /{i} HTTP/1.1\r\nHost: x\r\nContent-Length: {i}\r\n\r\n{}",
                "b".repeat(i)
            )
        })
        .collect();
    client.send(requests + "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET);
    for i in 0..50 {
        assert_eq!(client.reply().body, format!(r#"POST /{i} ["{i}"] {i}"#));
    }
    let last = client.reply();
    assert!(last.body.starts_with("GET /last") && last.head.contains("Connection: close\r\n"));
    client.assert_closed();
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let house = House::answering();
    let mut client = house.client();
    for _ in 0..2 {
        for byte in (post(5, "") + "hello").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.reply().body, r#"POST /hook ["5"] 5"#);
    }
}

#[test]
fn http_1_0_is_closed_unless_it_asks_for_keep_alive() {
    let house = House::answering();
    let mut client = house.client();
    let kept = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(kept.head.contains("Connection: keep-alive\r\n"));
    let closed = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(closed.head.contains("Connection: close\r\n"));
    client.assert_closed();
}

#[test]
fn answers_to_head_have_no_body() {
    let house = House::answering();
    let mut client = house.client();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = client.reply_to(true);
    assert!(
        reply.head.contains("Content-Length: 11\r\n"),
        "{}",
        reply.head
    );
    assert_eq!(client.ask(GET).body, "GET / [] 0");
}

#[test]
fn answers_without_content_keep_the_connection_in_step() {
    let house = House::holding();
    let mut client = house.client();
    for code in [204, 304, 200] {
        client.send(GET);
        let response = tiny_http::Response::empty(code);
        house
            .next_request()
            .respond(response)
            .expect("the door listens");
        assert_eq!(client.reply().status, code);
    }
}

#[test]
fn continue_is_sent_only_to_those_who_wait_for_it() {
    let house = House::answering();
    let mut client = house.client();
    assert_eq!(client.ask(post(5, "Expect: 100-continue\r\n")).status, 100);
    assert_eq!(client.ask("hello").body, r#"POST /hook ["5"] 5"#);
    assert_eq!(
        client
            .ask(post(5, "Expect: 100-continue\r\n") + "hello")
            .status,
        200
    );
    assert_eq!(
        client
            .ask(post(5_000_000, "Expect: 100-continue\r\n"))
            .status,
        413
    );
    client.assert_closed();
}

#[test]
fn a_body_of_exactly_the_limit_is_served() {
    let house = House::answering();
    let mut client = house.client();
    for len in [framing::MAX_BODY, 1, 5000, framing::MAX_BODY] {
        client.send(post(len, ""));
        let reply = client.ask("b".repeat(len));
        assert_eq!(reply.body, format!(r#"POST /hook ["{len}"] {len}"#));
    }
}

#[test]
fn a_client_that_uploads_too_much_still_sees_the_413() {
    let house = House::answering();
    for len in [framing::MAX_BODY + 1, 3 * framing::MAX_BODY] {
        let mut client = house.client();
        client.send(post(len, ""));
        let reply = client.ask("b".repeat(len));
        assert_eq!(reply.status, 413);
        assert!(reply.head.contains("Connection: close\r\n"));
        client.assert_closed();
    }
}

#[test]
fn what_kills_tiny_http_is_refused_and_everybody_else_is_served() {
    let house = House::answering();
    for (text, status) in [
        (post(100_000_000_000_000_000, ""), 413),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".into(), 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("\x16\x03\x01\x02".into(), 400),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400),
        (post(5, "Transfer-Encoding: chunked\r\n"), 400),
        (post(5, "Content-Length: 6\r\n"), 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            411,
        ),
        (format!("GET /{}", "x".repeat(9000)), 431),
    ] {
        let mut client = house.client();
        let reply = client.ask(&text);
        assert_eq!(reply.status, status, "{text:.60?}");
        assert!(reply.head.contains("Connection: close\r\n"));
        client.assert_closed();
    }
    let mut client = house.client();
    let upgrade = post(5, "Connection: upgrade\r\nUpgrade: x\r\n") + "hello";
    assert_eq!(client.ask(upgrade).body, r#"POST /hook ["5"] 5"#);
    assert_eq!(client.ask(GET).status, 200);
}

#[test]
fn a_slow_request_gets_408_and_a_silent_connection_gets_nothing() {
    let deadlines = Deadlines {
        idle: Duration::from_millis(300),
        request: Duration::from_millis(300),
        ..DEADLINES
    };
    let house = House::open(ROOMY, deadlines).answer_all();
    for beginning in [
        "G",
        "GET / HTTP/1.1\r\n",
        "\r\n",
        &post(5, ""),
        &(post(5, "") + "hell"),
    ] {
        let mut client = house.client();
        assert_eq!(client.ask(beginning).status, 408);
    }
    house.client().assert_closed();
    let mut client = house.client();
    assert_eq!(client.ask(GET).status, 200);
    client.assert_closed();
}

#[test]
fn dripping_bytes_do_not_extend_the_deadline() {
    let deadlines = Deadlines {
        request: Duration::from_millis(300),
        ..DEADLINES
    };
    let house = House::open(ROOMY, deadlines).answer_all();
    let mut client = house.client();
    let started = Instant::now();
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a timeout can be set");
    let mut first = [0; 12];
    while client
        .stream
        .read(&mut first)
        .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    {
        assert!(started.elapsed() < PATIENCE);
        client.send("x");
    }
    assert_eq!(&first, b"HTTP/1.1 408");
}

#[test]
fn a_client_that_does_not_take_its_answer_is_given_up() {
    let deadlines = Deadlines {
        answer: Duration::from_millis(200),
        ..DEADLINES
    };
    let house = House::open(ROOMY, deadlines);
    let mut client = house.client();
    client.send(GET.repeat(40));
    let long = "x".repeat(1024 * 1024);
    for _ in 0..40 {
        let requests = house
            .requests
            .as_ref()
            .expect("this house holds its requests");
        let Ok(request) = requests.recv_timeout(Duration::from_millis(500)) else {
            break;
        };
        let response = tiny_http::Response::from_string(long.as_str());
        let _ = request.respond(response.with_chunked_threshold(usize::MAX));
    }
    house.wait_until("the connection to be gone", |house| {
        house.connections() == 0
    });
    assert!(house.door.wait_until_empty(PATIENCE));
}

impl House {
    fn connections(&self) -> usize {
        self.door.shared.registry.counts().0
    }

    fn idle_connections(&self) -> usize {
        self.door.shared.registry.counts().1
    }

    /// Opens that many connections at once, sends a request on each and waits until all are in hand.
    fn fill(&self, count: usize) -> (Vec<Client>, Vec<tiny_http::Request>) {
        let mut clients: Vec<_> = (0..count).map(|_| self.client()).collect();
        clients.iter_mut().for_each(|client| client.send(GET));
        let requests = (0..count).map(|_| self.next_request()).collect();
        (clients, requests)
    }

    fn empty(&self, (mut clients, requests): (Vec<Client>, Vec<tiny_http::Request>)) {
        requests.into_iter().for_each(answer);
        for client in &mut clients {
            assert_eq!(client.reply().status, 200);
        }
    }
}

#[test]
fn a_cold_burst_of_256_requests_is_received_whole() {
    let house = House::holding();
    house.empty(house.fill(256));
    house.empty(house.fill(256));
}

#[test]
fn a_burst_of_256_requests_after_a_quiet_time_is_received_whole() {
    let house = House::holding();
    house.empty(house.fill(64));
    house.door.shared.backend.end_idle_connections();
    // tiny_http's free threads give up after 5 s: the burst comes while some of them do.
    thread::sleep(Duration::from_millis(4995));
    house.empty(house.fill(256));
}

#[test]
fn bursts_while_the_pools_threads_come_and_go_are_received_whole() {
    let house = House::holding();
    for _ in 0..30 {
        house.empty(house.fill(16));
        house.door.shared.backend.end_idle_connections();
    }
}

#[test]
fn sixty_four_connections_opened_at_once_are_served_three_times() {
    let house = House::answering();
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..64).map(|_| house.client()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| client.send(GET));
            for client in &mut clients {
                assert_eq!(client.reply().status, 200);
            }
        }
    }
}

#[test]
fn a_full_house_sends_the_longest_idle_connection_away() {
    let house = House::open(
        Limits {
            connections: 2,
            ..ROOMY
        },
        DEADLINES,
    )
    .answer_all();
    let mut first = house.client();
    assert_eq!(first.ask(GET).status, 200);
    house.wait_until("the first to be idle", |house| {
        house.idle_connections() == 1
    });
    let mut second = house.client();
    assert_eq!(second.ask(GET).status, 200);
    house.wait_until("both to be idle", |house| house.idle_connections() == 2);
    assert_eq!(house.client().ask(GET).status, 200);
    first.assert_closed();
}

#[test]
fn a_house_full_of_busy_connections_turns_the_next_away() {
    let house = House::open(
        Limits {
            connections: 2,
            ..ROOMY
        },
        DEADLINES,
    );
    let inside = house.fill(2);
    let mut late = house.client();
    let reply = late.reply();
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("Retry-After: 1\r\n"));
    late.assert_closed();
    house.empty(inside);
}

#[test]
fn too_many_requests_in_hand_get_503_and_may_try_again() {
    let house = House::open(
        Limits {
            requests: 2,
            ..ROOMY
        },
        DEADLINES,
    );
    let inside = house.fill(2);
    let mut client = house.client();
    let reply = client.ask(GET);
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("Retry-After: 1\r\n") && !reply.head.contains("Connection:"));
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply_to(true).status, 503);
    house.empty(inside);
    assert!(house.door.wait_until_empty(PATIENCE));
    client.send(GET);
    answer(house.next_request());
    assert_eq!(client.reply().status, 200);
}

#[test]
fn too_many_large_bodies_on_the_way_get_503() {
    let house = House::answering();
    let announced = post(framing::MAX_BODY, "Expect: 100-continue\r\n");
    let mut waiting: Vec<_> = (0..16).map(|_| house.client()).collect();
    for client in &mut waiting {
        assert_eq!(client.ask(&announced).status, 100);
    }
    assert_eq!(house.client().ask(&announced).status, 503);
    assert_eq!(house.client().ask(post(5, "") + "hello").status, 200);
    drop(waiting);
    house.wait_until("a large body to be let in", |house| {
        house.client().ask(&announced).status == 100
    });
}

#[test]
fn closing_answers_what_is_in_hand_and_shuts_the_rest() {
    let house = House::holding();
    let mut idle = house.client();
    let mut busy = house.client();
    busy.send(GET);
    let request = house.next_request();
    house.wait_until("both connections to be inside", |house| {
        house.connections() == 2
    });

    let started = Instant::now();
    house.door.close();
    house.door.close();
    assert!(started.elapsed() < Duration::from_secs(1));
    idle.assert_closed();
    let refused = TcpStream::connect(house.door.address()).expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(!house.door.wait_until_empty(Duration::from_millis(20)));

    answer(request);
    let reply = busy.reply();
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("Connection: close\r\n"));
    busy.assert_closed();
    assert!(house.door.wait_until_empty(PATIENCE));
}

#[test]
fn the_port_can_be_opened_again_after_close() {
    let house = House::answering();
    assert_eq!(house.client().ask(GET).status, 200);
    house.door.close();
    let listener = TcpListener::bind(house.door.address()).expect("the port is free");
    drop(listener);
}

#[test]
fn a_client_that_leaves_costs_only_its_own_answer() {
    let house = House::holding();
    for _ in 0..8 {
        let mut client = house.client();
        client.send(GET);
        answer(house.next_request());
        client.stream.peek(&mut [0]).expect("the answer arrives");
        client.send(GET);
        let request = house.next_request();
        // An answer is unread, so this close is a reset.
        drop(client);
        answer(request);
    }
    let mut half = house.client();
    half.send(post(500, "") + "abc");
    drop(half);
    let mut client = house.client();
    client.send(GET);
    answer(house.next_request());
    assert_eq!(client.reply().status, 200);
    drop(client);
    house.wait_until("everybody to be gone", |house| house.connections() == 0);
    assert!(house.door.wait_until_empty(PATIENCE));
}

#[test]
fn a_request_dropped_unanswered_is_a_500() {
    let house = House::holding();
    let mut client = house.client();
    client.send(GET);
    drop(house.next_request());
    assert_eq!(client.reply().status, 500);
}

#[test]
fn an_answer_without_a_length_is_a_500_and_harms_nobody() {
    let house = House::holding();
    let mut client = house.client();
    client.send(GET);
    let endless = tiny_http::Response::new(200.into(), vec![], "x".as_bytes(), None, None);
    house
        .next_request()
        .respond(endless)
        .expect("the door listens");
    assert_eq!(client.reply().status, 500);
    client.assert_closed();
    let mut client = house.client();
    client.send(GET);
    answer(house.next_request());
    assert_eq!(client.reply().status, 200);
}

#[test]
fn the_unix_socket_is_private_and_removed_at_the_end() {
    let house = House::answering();
    assert_eq!(house.client().ask(GET).status, 200);
    let path = house.door.shared.backend.directory().to_owned();
    let mode = fs::metadata(&path)
        .expect("the directory exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    house.door.close();
    assert!(house.door.wait_until_empty(PATIENCE));
    assert!(!path.exists());
}

#[test]
fn the_unix_socket_is_removed_when_the_door_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let door = open(listener, ROOMY).expect("the door opens");
    let path = door.shared.backend.directory().to_owned();
    assert!(path.exists());
    drop(door);
    assert!(!path.exists());
}
