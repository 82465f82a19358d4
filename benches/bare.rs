//! Bare tiny_http: what the server library alone needs to answer a handshake. It checks nothing.

use std::io;
use std::sync::Arc;
use std::thread;

use tiny_http::{Request, Response, Server};

const THREADS: usize = 4;

/// Answers handshakes until it is killed.
pub(crate) fn run() -> io::Result<()> {
    let server = Server::http("127.0.0.1:0").map_err(io::Error::other)?;
    println!("listening on http://{}/", server.server_addr());
    let server = Arc::new(server);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let server = Arc::clone(&server);
            thread::spawn(move || server.incoming_requests().for_each(answer))
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn answer(request: Request) {
    let challenge = request.url().split("hub.challenge=").nth(1);
    let answer = Response::from_string(challenge.unwrap_or_default());
    let _ = request.respond(answer);
}
