//! The HTTP server of Graph API, page and proxy: a thread a connection, one whole request after the other.
//!
//! It is looser than a bot's own port need be, as the servers are that it plays: chunked bodies and uploads are taken.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ureq::http::StatusCode;

use self::read::read;
use super::lock;

mod read;

/// A client that is silent for so long is forgotten.
const IDLE: Duration = Duration::from_secs(75);

/// A whole request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Of a request to a proxy: the host that is meant, and its port.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
    /// A line each.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// A line each.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self
            .headers
            .lines()
            .filter_map(|line| line.split_once(": "));
        let header = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value)
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Request line and headers.
    pub(crate) fn head(&self) -> String {
        format!(
            "{} {} HTTP/1.1\n{}\n",
            self.method, self.target, self.headers
        )
    }
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: format!("Content-Type: {content_type}\n"),
            body: body.into(),
        }
    }

    fn print(&self, is_head: bool, is_last: bool) -> Vec<u8> {
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        let connection = if is_last { "close" } else { "keep-alive" };
        let (headers, length) = (&self.headers, self.body.len());
        let head = format!(
            "HTTP/1.1 {status}\n{headers}Content-Length: {length}\nConnection: {connection}\n\n"
        );
        let head = head.replace('\n', "\r\n").into_bytes();
        if is_head {
            head
        } else {
            [&head[..], &self.body].concat()
        }
    }
}

/// A server that runs until it is dropped.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    /// The connections; none: the server has ended.
    open: Arc<Mutex<Option<Vec<Weak<TcpStream>>>>>,
    accepting: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Calls `serve` with each connection, in a thread of its own.
    pub(crate) fn start(
        listener: TcpListener,
        serve: impl Fn(&TcpStream) + Send + Sync + 'static,
    ) -> io::Result<HttpServer> {
        let (address, serve) = (listener.local_addr()?, Arc::new(serve));
        let open = Arc::new(Mutex::new(Some(Vec::<Weak<TcpStream>>::new())));
        let connections = Arc::clone(&open);
        let accept = move || {
            loop {
                let accepted = listener.accept();
                let mut open = lock(&connections);
                let Some(open) = open.as_mut() else { return };
                let Ok((stream, _)) = accepted else {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let (stream, serve) = (Arc::new(stream), Arc::clone(&serve));
                open.retain(|other| other.strong_count() > 0);
                open.push(Arc::downgrade(&stream));
                let thread = thread::Builder::new().name("simulator".into());
                // Without a thread the connection is dropped.
                let _ = thread.spawn(move || serve(&stream));
            }
        };
        let thread = thread::Builder::new().name("simulator".into());
        Ok(HttpServer {
            address,
            open,
            accepting: Some(thread.spawn(accept)?),
        })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let open = lock(&self.open).take().unwrap_or_default();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        for stream in open.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers the requests of one connection; `stream` is what is said over the socket. `answer` returns none when the client
/// has gone.
pub(crate) fn serve(
    stream: impl Read + Write,
    socket: &TcpStream,
    answer: impl Fn(&Request, &TcpStream) -> Option<Response>,
) {
    let mut stream = BufReader::new(stream);
    let _ = socket.set_read_timeout(Some(IDLE));
    while let Ok(request) = read(&mut stream) {
        let Some(response) = answer(&request, socket) else {
            return;
        };
        let is_last = request.header("Connection").eq_ignore_ascii_case("close");
        let bytes = response.print(request.method == "HEAD", is_last);
        let stream = stream.get_mut();
        let sent = stream.write_all(&bytes).and_then(|()| stream.flush());
        if sent.is_err() || is_last {
            return;
        }
    }
}

/// Waits for so long; whether the client is still there then.
pub(crate) fn wait(socket: &TcpStream, time: Duration) -> bool {
    if time.is_zero() {
        return true;
    }
    let begun = Instant::now();
    let _ = socket.set_read_timeout(Some(time));
    let is_there = match socket.peek(&mut [0]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    let _ = socket.set_read_timeout(Some(IDLE));
    if is_there {
        // It may have sent its next request already.
        thread::sleep(time.saturating_sub(begun.elapsed()));
    }
    is_there
}
