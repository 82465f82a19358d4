//! The HTTP server of Graph API, page and proxy: a thread a connection, one whole request after the other.
//!
//! It is looser than a bot's own port need be, as the servers are that it plays: chunked bodies and uploads are taken.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ureq::http::StatusCode;

use super::lock;

const MAX_HEAD: u64 = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// Meta takes uploads of 25 MB.
const MAX_BODY: usize = 32 * 1024 * 1024;

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
        let thread = || thread::Builder::new().name("simulator".into());
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
                // Without a thread the connection is dropped.
                let _ = thread().spawn(move || serve(&stream));
            }
        };
        Ok(HttpServer {
            address,
            open,
            accepting: Some(thread().spawn(accept)?),
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

/// Answers the requests of one connection; `stream` is what is said over the socket. It ends when
/// `answer` has none.
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

/// The next request; an error at the end.
fn read(stream: &mut BufReader<impl Read + Write>) -> io::Result<Request> {
    let (mut head, mut lines) = (Vec::new(), stream.by_ref().take(MAX_HEAD));
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if lines.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(io::Error::other)?;
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value);
        format!("{}: {value}\n", header.name)
    });
    // `http://host/path` -> `host`, `/path`; `host:443` -> `host:443`, `/`; `/path` -> nothing, `/path`.
    let target = parsed.path.unwrap_or_default();
    let target = target.trim_start_matches("http://");
    let target = target.trim_start_matches("https://");
    let path = target.find('/');
    let (authority, target) = path.map_or((target, "/"), |at| target.split_at(at));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_string(),
        authority: authority.to_string(),
        target: target.to_string(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    let expects = request.header("Expect");
    if expects.eq_ignore_ascii_case("100-continue") {
        let stream = stream.get_mut();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = request.header("Content-Length").parse().unwrap_or(0);
    request.body = match request.header("Transfer-Encoding") {
        "" => take(stream, length)?,
        _ => read_chunks(stream)?,
    };
    Ok(request)
}

fn read_chunks(stream: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.by_ref().take(MAX_HEAD).read_line(&mut line)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        body.extend(take(stream, size)?);
        if body.len() > MAX_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // Behind each chunk, and at the end, stands an empty line. Nobody sends trailers.
        take(stream, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn take(stream: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    if count > MAX_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
