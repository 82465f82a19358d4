//! The HTTP server of Graph API and page: tiny_http behind the bot's own shield.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tiny_http::{Header, Request, Response, Server};

use crate::shield::{self, Limits, Shield};

/// A server that runs until it is dropped.
pub(super) struct HttpServer {
    // Dropped before the shield, whose Unix socket it needs to stop.
    server: Arc<Server>,
    shield: Shield,
    receiving: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Calls `handle` with each request, in one thread: it must not wait for anything.
    pub(super) fn start(
        listener: TcpListener,
        limits: Limits,
        mut handle: impl FnMut(Request) + Send + 'static,
    ) -> io::Result<HttpServer> {
        let (shield, server) = shield::listen(listener, limits)?;
        let server = Arc::new(server);
        let receiver = Arc::clone(&server);
        let receive = move || {
            while let Ok(request) = receiver.recv() {
                handle(request);
            }
        };
        let receiving = thread::Builder::new().name("simulator".into());
        let receiving = Some(receiving.spawn(receive)?);
        Ok(HttpServer {
            server,
            shield,
            receiving,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.shield.address()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shield.close();
        self.server.unblock();
        if let Some(receiving) = self.receiving.take() {
            let _ = receiving.join();
        }
    }
}

/// The value of a header; empty where there is none.
pub(super) fn header<'a>(request: &'a Request, name: &'static str) -> &'a str {
    let mut headers = request.headers().iter();
    let header = headers.find(|header| header.field.equiv(name));
    header.map_or("", |header| header.value.as_str())
}

/// The whole body.
pub(super) fn read_body(request: &mut Request) -> Vec<u8> {
    let mut body = Vec::new();
    // The shield lets only whole requests in.
    let _ = request.as_reader().read_to_end(&mut body);
    body
}

/// Responds with these headers. A client that has left is no error.
pub(super) fn respond(
    request: Request,
    status: u16,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) {
    let mut response = Response::from_data(body)
        .with_status_code(status)
        .with_chunked_threshold(usize::MAX);
    for (name, value) in headers {
        let header = Header::from_bytes(*name, *value);
        response.add_header(header.expect("it is a header because the simulator wrote it"));
    }
    let _ = request.respond(response);
}
