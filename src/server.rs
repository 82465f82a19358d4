//! The accept loop, the pool's threads and the way down. The only file that names tiny_http's
//! `Server` and `Request`.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tiny_http::{Header, Request, Response};

use crate::config::Config;
use crate::door::{self, Door};
use crate::echo;
use crate::graph::{Graph, Remedy, SendError};
use crate::outbox::{Accepted, Due};
use crate::pool::{Outcome, Pool, Task};
use crate::webhook::{self, Answer, Verdict, Webhook};

/// Connections at once at most. Messenger comes through a proxy, which needs a few dozen.
const MAX_CONNECTIONS: usize = 512;

/// Requests in hand at once at most; each costs a thread at the door and one inside tiny_http.
const MAX_REQUESTS: usize = 256;

/// On the way down, how long requests that are inside may take to be answered. Without a disk
/// a webhook waits for its echoes, 4 s at most.
const ANSWERS_END_WITHIN: Duration = Duration::from_secs(5);

/// On the way down, how long echoes that are owed are still sent. Heroku kills after 30 s.
const ECHOES_END_WITHIN: Duration = Duration::from_secs(25);

/// The stack of a pool thread, in bytes. TLS and JSON need a few dozen kilobytes of it.
const STACK: usize = 512 * 1024;

/// Why the bot could not start, or stopped by itself.
#[derive(Debug)]
pub enum ServeError {
    /// No address could be bound; with the addresses that were tried.
    Listen(String, io::Error),
    /// Something that the operating system refused.
    System(&'static str, io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Listen(addresses, cause) => write!(
                f,
                "failed to listen on {addresses}: {cause}; is another program there? BIND and \
                 PORT choose the address"
            ),
            ServeError::System(what, cause) => write!(f, "failed to {what}: {cause}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until SIGTERM or SIGINT, then finishes what it has begun.
///
/// # Errors
/// [`ServeError`] when it cannot start, or when the accept loop ends by itself.
pub fn serve(config: &Config) -> Result<(), ServeError> {
    let signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|e| ServeError::System("watch signals", e))?;
    let listener = TcpListener::bind(&config.listen[..])
        .map_err(|error| ServeError::Listen(addresses(config), error))?;
    let limits = door::Limits {
        connections: MAX_CONNECTIONS,
        requests: MAX_REQUESTS,
        headers_passed: &[webhook::SIGNATURE_HEADER],
    };
    let door = door::open(listener, limits).map_err(|e| ServeError::System("open the door", e))?;
    let door = Arc::new(door);
    let bot = Arc::new(Bot {
        pool: Pool::new(config.threads),
        webhook: Webhook::new(config),
        graph: Graph::new(config),
    });
    let threads = bot
        .start_threads(config.threads)
        .map_err(|e| ServeError::System("start the pool", e))?;
    close_on_signal(signals, Arc::clone(&door))
        .map_err(|e| ServeError::System("watch signals", e))?;

    log::info!(
        "listening on http://{}{}",
        door.address(),
        config.webhook_path
    );
    let accepted = bot.accept_requests(&door);
    bot.stop(threads);
    accepted
}

fn addresses(config: &Config) -> String {
    let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    addresses.join(" and ")
}

/// On the first signal the door is closed: when all that is inside is answered, the accept loop
/// ends. Heroku sends SIGTERM several times, and means one; a second SIGINT means now.
fn close_on_signal(mut signals: Signals, door: Arc<Door>) -> io::Result<()> {
    let watch = move || {
        let mut interrupts = 0;
        let mut closing = None;
        for signal in signals.forever() {
            interrupts += u32::from(signal == SIGINT);
            if interrupts > 1 {
                log::warn!("interrupted twice: stopping at once");
                std::process::exit(130);
            }
            let door = Arc::clone(&door);
            closing.get_or_insert_with(|| {
                log::info!("stopping: the door is closed, echoes that are owed are sent");
                thread::spawn(move || close(&door))
            });
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

fn close(door: &Door) {
    door.close();
    if !door.wait_until_empty(ANSWERS_END_WITHIN) {
        log::warn!("some requests were not answered in time");
    }
    door.unblock();
}

/// What the pool's threads share.
struct Bot {
    pool: Pool<Request>,
    webhook: Webhook,
    graph: Graph,
}

impl Bot {
    fn start_threads(self: &Arc<Bot>, count: usize) -> io::Result<Vec<JoinHandle<()>>> {
        let start = |n| {
            let bot = Arc::clone(self);
            let builder = thread::Builder::new()
                .name(format!("pool-{n}"))
                .stack_size(STACK);
            builder.spawn(move || bot.work())
        };
        (0..count).map(start).collect()
    }

    /// The accept loop: hands requests to the pool until the door is closed.
    fn accept_requests(&self, door: &Door) -> Result<(), ServeError> {
        loop {
            match door.recv() {
                Ok(request) => {
                    if let Err(request) = self.pool.submit(request) {
                        respond(request, &Answer::unavailable("too busy"));
                    }
                }
                Err(_) if door.is_closed() => return Ok(()),
                Err(error) => return Err(ServeError::System("receive requests", error)),
            }
        }
    }

    /// The way down: what is owed is sent as long as there is time.
    fn stop(&self, threads: Vec<JoinHandle<()>>) {
        self.pool.stop(Instant::now() + ECHOES_END_WITHIN);
        for thread in threads {
            let _ = thread.join();
        }
        match self.pool.owed() {
            0 => log::info!("stopped: nothing is owed"),
            owed => log::warn!("stopped: {owed} echoes are still owed; Messenger redelivers them"),
        }
    }

    /// What a pool thread does all its life. A panic costs the task, not the thread.
    fn work(&self) {
        while let Some(task) = self.pool.next() {
            match task {
                Task::Answer(request) => {
                    shielded(|| self.answer(request));
                }
                Task::Send(due) => self.send(&due),
                Task::Late(requests) => requests
                    .into_iter()
                    .for_each(|request| respond(request, &Answer::unavailable("not echoed yet"))),
            }
        }
    }

    fn answer(&self, mut request: Request) {
        let body = match read_body(&mut request) {
            Ok(body) => body,
            Err(error) => return log::warn!("failed to read a request: {error}"),
        };
        let signature = header(&request, webhook::SIGNATURE_HEADER);
        let verdict = self.webhook.judge(webhook::Request {
            method: request.method().as_str(),
            target: request.url(),
            signature: signature.as_deref(),
            body: &body,
        });
        match verdict {
            Verdict::Answer(answer) => respond(request, &answer),
            Verdict::Health if self.pool.is_well() => respond(request, &Answer::ok()),
            Verdict::Health => respond(
                request,
                &Answer::unavailable("stopping, or too much is owed"),
            ),
            Verdict::Events(events) => {
                let echoes = events.into_iter().filter_map(echo::reply).collect();
                match self.pool.accept(echoes, request) {
                    Accepted::Waiting => {}
                    Accepted::Settled(request) => respond(request, &Answer::ok()),
                    Accepted::Full(request) => {
                        log::error!("webhook refused: too many echoes are owed");
                        respond(request, &Answer::unavailable("too many echoes are owed"));
                    }
                }
            }
        }
    }

    /// Makes one call of the Send API, and answers the webhooks that are safe with it.
    fn send(&self, due: &Due) {
        let sent = shielded(|| self.graph.send(&due.echo.recipient, due.text()));
        let outcome = sent.map_or(Outcome::TryAgain, |result| outcome(due, result));
        for request in self.pool.done(due, outcome) {
            respond(request, &Answer::ok());
        }
    }
}

/// Does something that a panic ends without ending the thread; none after a panic. A request that
/// is dropped unanswered in it is answered 500 by tiny_http.
fn shielded<T>(task: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(task)).ok()
}

/// Logs what came of a call, and says what to do next.
fn outcome(due: &Due, result: Result<(), SendError>) -> Outcome {
    let mid = due.echo.mid.as_deref().unwrap_or("-");
    let to = &due.echo.recipient;
    match result {
        Ok(()) if !due.is_last_part() => Outcome::Sent,
        Ok(()) => {
            log::info!(
                "echoed: mid {mid}, to {to}, {} ms",
                due.since.elapsed().as_millis()
            );
            log::debug!("echoed: mid {mid}, text {:?}", due.echo.text);
            Outcome::Sent
        }
        Err(error) if error.remedy == Remedy::Drop => {
            log::warn!("echo dropped: mid {mid}, to {to}: {error}");
            Outcome::Refused
        }
        Err(error) => {
            log::warn!("echo delayed: mid {mid}, to {to}: {error}");
            Outcome::TryAgain
        }
    }
}

/// The body, whole: a shorter one than announced is an error, because tiny_http does not tell.
fn read_body(request: &mut Request) -> io::Result<Vec<u8>> {
    let length = request
        .body_length()
        .unwrap_or_default()
        .min(webhook::MAX_BODY);
    let mut body = vec![0; length];
    request.as_reader().read_exact(&mut body)?;
    Ok(body)
}

fn header(request: &Request, name: &str) -> Option<String> {
    let found = request
        .headers()
        .iter()
        .find(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name))?;
    Some(found.value.to_string())
}

/// Writes the answer. A client that has left is no trouble of ours.
fn respond(request: Request, answer: &Answer) {
    let mut response = Response::from_string(&answer.text).with_status_code(answer.status);
    response.add_header(fixed_header("Content-Type", "text/plain; charset=utf-8"));
    response.add_header(fixed_header("X-Content-Type-Options", "nosniff"));
    if let Some(allow) = answer.allow {
        response.add_header(fixed_header("Allow", allow));
    }
    if let Some(seconds) = answer.retry_after {
        response.add_header(fixed_header("Retry-After", &seconds.to_string()));
    }
    if let Err(error) = request.respond(response) {
        log::debug!("failed to answer: {error}");
    }
}

fn fixed_header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("it is a valid header because we wrote it")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::{door, shielded};

    #[test]
    fn a_panic_costs_the_request_and_not_the_thread() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let limits = door::Limits {
            connections: 8,
            requests: 8,
            headers_passed: &[],
        };
        let door = door::open(listener, limits).expect("the door opens");
        let mut client = TcpStream::connect(door.address()).expect("the door is open");
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("the door takes a request");
        let request = door.recv().expect("the request comes through");
        let done = shielded(move || {
            let _request = request;
            panic!("this panic is meant");
        });
        assert_eq!(done, None::<()>);
        let mut answer = String::new();
        client
            .read_to_string(&mut answer)
            .expect("there is an answer");
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    }
}
