//! What a pool thread does: answers a request, makes a call of the Send API, writes to the disk.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::config::Config;
use crate::door::{self, Request};
use crate::echo;
use crate::graph::{Action, Graph, SendError};
use crate::outbox::{Accepted, Changes, Due, GIVE_UP_AFTER, Trouble};
use crate::pool::{Outcome, Pool, Task};
use crate::webhook::{self, Answer, Verdict, Webhook};

/// What a bot that answers, but takes no webhooks, says of its health.
const UNWELL: &str = "stopping, or the outbox takes no more";

/// What the pool's threads share.
pub(super) struct Worker {
    pool: Arc<Pool<Request>>,
    webhook: Webhook,
    graph: Graph,
}

impl Worker {
    pub(super) fn new(config: &Config, pool: Arc<Pool<Request>>) -> Worker {
        Worker {
            pool,
            webhook: Webhook::new(config),
            graph: Graph::new(config),
        }
    }

    /// What the pool's thread with this number does all its life. A panic costs the task, not the
    /// thread.
    pub(super) fn work(&self, number: usize) {
        while let Some(task) = self.pool.next(number) {
            match task {
                Task::Answer(request) => {
                    shielded(|| self.answer(request));
                }
                Task::Send(due) => self.send(&due),
                Task::Write(changes) => {
                    if shielded(|| self.write(changes)).is_none() {
                        log::error!("the outbox's state is unknown: only a new start tells it");
                        std::process::exit(1);
                    }
                }
                Task::Late(late) => respond_all(late, &Answer::unavailable("not safe yet")),
            }
        }
    }

    fn answer(&self, mut request: Request) {
        let body = request.take_body();
        let verdict = self.webhook.judge(webhook::Request {
            method: request.method().as_str(),
            target: request.url(),
            signature: request.header(webhook::SIGNATURE_HEADER),
            body: &body,
        });
        match verdict {
            Verdict::Answer(answer) => respond(request, &answer),
            Verdict::Health if self.pool.is_well() => respond(request, &Answer::ok()),
            Verdict::Health => {
                respond(request, &Answer::unavailable(UNWELL));
            }
            Verdict::Events(events) => {
                let echoes = events.into_iter().filter_map(echo::reply).collect();
                match self.pool.accept(echoes, request) {
                    Accepted::Waiting => {}
                    Accepted::Safe(request) => respond(request, &Answer::ok()),
                    Accepted::Full(request) => {
                        log::error!(
                            "webhook refused: as many echoes are owed as MAX_PENDING allows"
                        );
                        respond(request, &Answer::unavailable("too many echoes are owed"));
                    }
                }
            }
        }
    }

    /// Makes one call of the Send API.
    fn send(&self, due: &Due) {
        if due.came.elapsed() >= GIVE_UP_AFTER {
            log::error!("echo given up after 24 hours: {}", Label(due));
            return self.finish(due, Outcome::GivenUp);
        }
        let sent = shielded(|| self.graph.send(&due.echo.recipient, due.text()));
        let a_bug = Outcome::Failed(Trouble::Call);
        self.finish(due, sent.map_or(a_bug, |result| outcome(due, result)));
    }

    /// Answers the webhooks that are safe with this call.
    fn finish(&self, due: &Due, outcome: Outcome) {
        let (safe, pause) = self.pool.done(due, outcome);
        if let (Outcome::Failed(Trouble::Page(_)), Some(pause)) = (outcome, pause) {
            log::error!(
                "the page is held back: nothing is sent for {} s",
                pause.as_secs()
            );
        }
        respond_all(safe, &Answer::ok());
    }

    /// Writes to the disk what was accepted and settled, and answers the webhooks that are safe
    /// with it.
    fn write(&self, changes: Changes) {
        match self.pool.write(changes) {
            Ok(safe) => respond_all(safe, &Answer::ok()),
            Err((refused, error)) => {
                log::error!("{error}; webhooks refused: {}", refused.len());
                respond_all(
                    refused,
                    &Answer::unavailable("the outbox cannot be written"),
                );
            }
        }
    }
}

/// Does something that a panic ends without ending the thread; none after a panic. A request that
/// is dropped unanswered in it is answered 500 by the door.
fn shielded<T>(task: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(task)).ok()
}

/// Logs what came of a call, and says what to do next.
fn outcome(due: &Due, result: Result<(), SendError>) -> Outcome {
    let error = match result {
        Ok(()) => {
            if due.is_last_part() {
                log::info!(
                    "echoed: {}, {} ms",
                    Label(due),
                    due.came.elapsed().as_millis()
                );
                log::debug!("echoed: {}, text {:?}", Label(due), due.echo.text);
            }
            return Outcome::Sent;
        }
        Err(error) => error,
    };
    match error.action {
        Action::Drop => {
            log::warn!("echo dropped: {}: {error}", Label(due));
            Outcome::Dropped
        }
        Action::Retry => {
            log::warn!("echo delayed: {}: {error}", Label(due));
            Outcome::Failed(Trouble::Call)
        }
        Action::HoldPage { regain_access } => {
            log::warn!("the page is limited: {}: {error}", Label(due));
            Outcome::Failed(Trouble::Page(regain_access))
        }
        Action::CallOperator => {
            log::error!(
                "nothing can be sent until somebody acts: {error}; is PAGE_ACCESS_TOKEN still \
                 valid, and is the page restricted?"
            );
            Outcome::Failed(Trouble::Page(None))
        }
    }
}

/// An echo in a line of the log.
struct Label<'a>(&'a Due);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let echo = &self.0.echo;
        let mid = echo.mid.as_deref().unwrap_or("-");
        write!(f, "mid {mid}, to {}", echo.recipient)
    }
}

fn respond_all(requests: Vec<Request>, answer: &Answer) {
    requests
        .into_iter()
        .for_each(|request| respond(request, answer));
}

/// Sends the answer. A client that has left is no trouble of ours.
pub(super) fn respond(request: Request, answer: &Answer) {
    let Answer {
        status,
        text,
        allow,
        retry_after,
    } = answer;
    let mut answer = door::Answer::new(*status, "text/plain; charset=utf-8", text.clone())
        .with_header("X-Content-Type-Options", "nosniff");
    if let Some(allow) = allow {
        answer = answer.with_header("Allow", allow);
    }
    if let Some(seconds) = retry_after {
        answer = answer.with_header("Retry-After", seconds);
    }
    request.respond(&answer);
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::shielded;
    use crate::door;

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
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let request = door.recv().expect("the request comes through");
                let done = shielded(move || {
                    let _request = request;
                    panic!("this panic is meant");
                });
                assert_eq!(done, None::<()>);
            });
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .expect("the door takes a request");
            let mut answer = String::new();
            client
                .read_to_string(&mut answer)
                .expect("there is an answer");
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        });
    }
}
