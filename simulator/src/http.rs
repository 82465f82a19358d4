//! The HTTP server of Graph API, page and proxy: a thread a connection, one whole request after the other.
//!
//! It is looser than a bot's own port need be, as the servers are that it plays: chunked bodies and uploads are taken.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) use self::read::read;
use super::lock;

mod read;

/// A client that is silent for so long is forgotten.
const IDLE: Duration = Duration::from_secs(75);

/// While an answer waits, it is looked so often whether the client is still there.
const LOOKED_AFTER_EVERY: Duration = Duration::from_millis(100);

/// A whole request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query; of a request to a proxy the whole address.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// Answers a request that came over this socket; none: the client has gone.
pub(crate) type Handler = dyn Fn(&Request, &TcpStream) -> Option<Response> + Send + Sync;

impl Request {
    /// The value of a header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let header = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// `http://host/path` -> `host`, `/path`; `host:443` -> `host:443`, `/`; `/path` -> nothing, `/path`.
    pub(crate) fn parts(&self) -> (&str, &str) {
        let target = &self.target;
        let rest = match target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest,
            _ => target,
        };
        let path = rest.find('/');
        path.map_or((rest, "/"), |at| rest.split_at(at))
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Request line and headers.
    pub(crate) fn head(&self, line_end: &str) -> String {
        let mut text = format!("{} {} HTTP/1.1{line_end}", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}{line_end}");
        }
        text + line_end
    }
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: vec![("Content-Type", content_type.to_string())],
            body: body.into(),
        }
    }

    pub(crate) fn print(&self, is_head: bool, is_last: bool) -> Vec<u8> {
        let status = self.status;
        let known = ureq::http::StatusCode::from_u16(status).ok();
        let reason = known
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown");
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let connection = if is_last { "close" } else { "keep-alive" };
        let length = self.body.len();
        head += &format!("Content-Length: {length}\r\nConnection: {connection}\r\n\r\n");
        [head.as_bytes(), if is_head { &[] } else { &self.body }].concat()
    }
}

/// A server that runs until it is dropped.
pub(crate) struct HttpServer {
    address: SocketAddr,
    /// The listening socket once more, in a type that has `shutdown`.
    listening: TcpStream,
    /// The connections by their other ends; none: the server has ended.
    open: Arc<Mutex<Option<HashMap<SocketAddr, TcpStream>>>>,
    accepting: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Calls `handle` with each request, in the thread of its connection.
    pub(crate) fn start(listener: TcpListener, handle: Arc<Handler>) -> io::Result<HttpServer> {
        let run = move |stream| serve(&stream, &stream, None, &*handle);
        HttpServer::accept(listener, run)
    }

    /// Calls `run` with each connection, in a thread of its own.
    pub(crate) fn accept(
        listener: TcpListener,
        run: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> io::Result<HttpServer> {
        let address = listener.local_addr()?;
        let listening = TcpStream::from(OwnedFd::from(listener.try_clone()?));
        let open = Arc::new(Mutex::new(Some(HashMap::new())));
        let (connections, run) = (Arc::clone(&open), Arc::new(run));
        let accept = move || {
            while lock(&connections).is_some() {
                let Ok((stream, peer)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let (connections, run) = (Arc::clone(&connections), Arc::clone(&run));
                let serve = move || {
                    match (lock(&connections).as_mut(), stream.try_clone()) {
                        (Some(open), Ok(copy)) => drop(open.insert(peer, copy)),
                        _ => return,
                    }
                    let _ = stream.set_nodelay(true);
                    run(stream);
                    let _ = lock(&connections).as_mut().map(|open| open.remove(&peer));
                };
                // Without a thread the connection is dropped.
                let _ = thread::Builder::new().name("simulator".into()).spawn(serve);
            }
        };
        let accepting = thread::Builder::new()
            .name("simulator".into())
            .spawn(accept)?;
        Ok(HttpServer {
            address,
            listening,
            open,
            accepting: Some(accepting),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let open = lock(&self.open).take();
        let _ = self.listening.shutdown(Shutdown::Both);
        let _ = self.accepting.take().map(JoinHandle::join);
        for stream in open.iter().flat_map(HashMap::values) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers the requests of one connection, of which the first may have been read; `stream` is what is said over the
/// socket.
pub(crate) fn serve(
    stream: impl Read + Write,
    socket: &TcpStream,
    mut first: Option<Request>,
    handle: &Handler,
) {
    let mut stream = BufReader::new(stream);
    let _ = socket.set_read_timeout(Some(IDLE));
    while let Some(mut request) = first.take().or_else(|| read(&mut stream).ok().flatten()) {
        // A server takes whole addresses too.
        request.target = request.parts().1.to_string();
        let Some(response) = handle(&request, socket) else {
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
pub(crate) fn wait(socket: &TcpStream, mut left: Duration) -> bool {
    while !left.is_zero() {
        let part = left.min(LOOKED_AFTER_EVERY);
        thread::sleep(part);
        left -= part;
        let _ = socket.set_nonblocking(true);
        let is_gone = match socket.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        let _ = socket.set_nonblocking(false);
        if is_gone {
            return false;
        }
    }
    true
}
