//! The HTTP server of Graph API, page and proxy: a thread a connection, one whole request after the other.
//!
//! It is looser than the bot's own port, as the servers are that it plays: the Graph API takes chunked bodies and uploads.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(super) use self::read::read;
use super::lock;

mod read;

/// A client that is silent for so long is forgotten.
const IDLE: Duration = Duration::from_secs(75);

/// While an answer waits, it is looked so often whether the client is still there.
const LOOKED_AFTER_EVERY: Duration = Duration::from_millis(500);

/// A whole request.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query; of a request to a proxy the whole address.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What is answered.
#[derive(Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// How long it takes.
    pub(super) after: Duration,
    /// Is called right before it is sent.
    pub(super) answered: Option<Box<dyn FnOnce() + Send>>,
}

impl Request {
    /// The value of a header; empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let header = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// As it came: request line, headers, body.
    pub(super) fn as_text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\n", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\n");
        }
        text + "\n" + &String::from_utf8_lossy(&self.body)
    }
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: vec![("Content-Type", content_type.to_string())],
            body: body.into(),
            ..Response::default()
        }
    }
}

/// A server that runs until it is dropped.
pub(super) struct HttpServer {
    address: SocketAddr,
    /// The listening socket once more, in a type that has `shutdown`.
    listening: TcpStream,
    shared: Arc<Connections>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Connections {
    is_closed: AtomicBool,
    count: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl HttpServer {
    /// Calls `handle` with each request, in the thread of its connection.
    pub(super) fn start(
        listener: TcpListener,
        handle: impl Fn(Request) -> Response + Send + Sync + 'static,
    ) -> io::Result<HttpServer> {
        HttpServer::accept(listener, move |stream| {
            serve(&stream, &stream, &handle);
        })
    }

    /// Calls `run` with each connection, in a thread of its own.
    pub(super) fn accept(
        listener: TcpListener,
        run: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> io::Result<HttpServer> {
        let address = listener.local_addr()?;
        let listening = TcpStream::from(OwnedFd::from(listener.try_clone()?));
        let shared = Arc::new(Connections::default());
        let (connections, run) = (Arc::clone(&shared), Arc::new(run));
        let accepting = thread::Builder::new()
            .name("simulator".into())
            .spawn(move || {
                while !connections.is_closed.load(Ordering::SeqCst) {
                    let Ok((stream, _)) = listener.accept() else {
                        thread::sleep(Duration::from_millis(10));
                        continue;
                    };
                    let (connections, run) = (Arc::clone(&connections), Arc::clone(&run));
                    let run = move || connections.run(stream, &*run);
                    // Without a thread the connection is dropped.
                    let _ = thread::Builder::new().name("simulator".into()).spawn(run);
                }
            })?;
        Ok(HttpServer {
            address,
            listening,
            shared,
            accepting: Some(accepting),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        let _ = self.listening.shutdown(Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Connections {
    fn run(&self, stream: TcpStream, run: &(dyn Fn(TcpStream) + Send + Sync)) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let Ok(copy) = stream.try_clone() else { return };
        lock(&self.open).insert(number, copy);
        if !self.is_closed.load(Ordering::SeqCst) {
            let _ = stream.set_nodelay(true);
            run(stream);
        }
        lock(&self.open).remove(&number);
    }
}

/// Answers the requests of one connection; `stream` is what is said over the socket.
pub(super) fn serve(
    mut stream: impl Read + Write,
    socket: &TcpStream,
    handle: &dyn Fn(Request) -> Response,
) {
    let mut received = Vec::new();
    loop {
        let _ = socket.set_read_timeout(Some(IDLE));
        let Ok(Some(request)) = read(&mut stream, &mut received) else {
            return;
        };
        let response = handle(request.clone());
        if respond(&mut stream, socket, response, &request).is_err() {
            return;
        }
    }
}

/// Sends a response when it is time.
///
/// # Errors
/// When the connection has ended, or is to end.
pub(super) fn respond(
    stream: &mut impl Write,
    socket: &TcpStream,
    mut response: Response,
    request: &Request,
) -> io::Result<()> {
    let is_last = request.header("Connection").eq_ignore_ascii_case("close");
    if !wait(socket, response.after) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if let Some(answered) = response.answered.take() {
        answered();
    }
    stream.write_all(&print(&response, request.method == "HEAD", is_last))?;
    stream.flush()?;
    match is_last {
        true => Err(io::ErrorKind::ConnectionAborted.into()),
        false => Ok(()),
    }
}

/// Waits; whether the client is still there.
fn wait(socket: &TcpStream, after: Duration) -> bool {
    let deadline = Instant::now() + after;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let left = left.min(LOOKED_AFTER_EVERY);
        let _ = socket.set_read_timeout(Some(left));
        match socket.peek(&mut [0]) {
            Ok(0) => return false,
            Ok(_) => thread::sleep(left),
            Err(error) if is_time_out(&error) => {}
            Err(_) => return false,
        }
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn print(response: &Response, is_head: bool, is_last: bool) -> Vec<u8> {
    let reason = match response.status {
        200 => "OK",
        400 => "Bad Request",
        _ => "Answer",
    };
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status);
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let connection = if is_last { "close" } else { "keep-alive" };
    head += &format!(
        "Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
        response.body.len()
    );
    let mut bytes = head.into_bytes();
    if !is_head {
        bytes.extend_from_slice(&response.body);
    }
    bytes
}
