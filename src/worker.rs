//! What the threads do: receive requests, make calls of the Send API, write what is owed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use tiny_http::{Header, Request, Response};

use crate::account::TokenPage;
use crate::call_log;
use crate::clock::{self, milliseconds};
use crate::config::Config;
use crate::echo::{Echo, Reply};
use crate::event::Event;
use crate::graph::{Graph, Report};
use crate::outbox::{ANSWER_WITHIN, Accepted, Due, GIVE_UP_AFTER, Outbox, Outcome, WriteBatch};
use crate::place::Place;
use crate::pool::Pool;
use crate::rate_limited_log::RateLimitedLog;
use crate::shield::Shield;
use crate::store::StoreError;
use crate::webhook::{self, Answer, Verdict, Webhook};

/// The answer to a webhook that is not taken, the health of a bot that takes none, and the usual reason.
const TAKES_NO_MORE: &str = "the outbox accepts no more echoes";
const NO_ROOM: &str = "as many echoes are owed as MAX_PENDING allows, in all or to one person";
const NOT_WRITTEN: &str =
    "it was not written within 4 s: the disk, or the shared outbox's server, is too slow";

/// Two commits begin at least this far apart: what comes meanwhile is written together. A commit costs as much as
/// several echoes, however little is in it, and Messenger waits for 5 s.
const COMMITS_APART: Duration = Duration::from_millis(15);

/// After a failed commit the next one begins this much later: only a commit tells whether there is room again.
const NEXT_TRY: Duration = Duration::from_secs(1);

/// What the threads share.
pub(crate) struct Worker {
    pub(crate) pool: Pool<Request>,
    webhook: Webhook,
    graph: Graph,
    reply: fn(&Event) -> Option<Reply>,
    pub(crate) page: Arc<TokenPage>,
    refusals: RateLimitedLog,
    /// Requests that the receivers have taken up since the watchdog looked last.
    pub(crate) received: AtomicU64,
    /// Dropped before the shield, whose socket it uses.
    pub(crate) server: tiny_http::Server,
    pub(crate) shield: Arc<Shield>,
}

impl Worker {
    pub(crate) fn new(
        config: &Config,
        pool: Pool<Request>,
        reply: fn(&Event) -> Option<Reply>,
        page: Arc<TokenPage>,
        server: tiny_http::Server,
        shield: Shield,
    ) -> Worker {
        Worker {
            pool,
            webhook: Webhook::new(config),
            graph: Graph::new(config),
            reply,
            page,
            refusals: RateLimitedLog::new(module_path!(), Duration::from_secs(1)),
            received: AtomicU64::new(0),
            server,
            shield: Arc::new(shield),
        }
    }

    /// What a receiver does until the port is closed.
    pub(crate) fn receive(&self) {
        loop {
            match self.server.recv() {
                Ok(request) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    catch(|| self.answer(request));
                }
                Err(_) if self.shield.is_closed() => return,
                Err(error) => {
                    let why = format!("tiny_http has stopped accepting: {error}");
                    return self.shield.fail(io::Error::new(error.kind(), why));
                }
            }
        }
    }

    fn answer(&self, mut request: Request) {
        let mut body = Vec::new();
        // The shield lets only whole requests in.
        let _ = request.as_reader().read_to_end(&mut body);
        let mut headers = request.headers().iter();
        let signature = headers.find(|header| header.field.equiv(webhook::SIGNATURE_HEADER));
        let verdict = self.webhook.judge(webhook::Request {
            method: request.method().as_str(),
            target: request.url(),
            signature: signature.map(|header| header.value.as_str()),
            body: &body,
        });
        match verdict {
            Verdict::Answer(answer) => respond([request], &answer),
            Verdict::Health => respond([request], &self.health()),
            Verdict::Events(events) => self.accept(&events, request),
        }
    }

    fn health(&self) -> Answer {
        self.pool.change(|outbox, now| {
            let owed = outbox.owed();
            match outbox.held().map(call_log::why) {
                _ if !outbox.is_ok(now) => Answer::unavailable(TAKES_NO_MORE),
                _ if outbox.lease.epoch == Some(0) => Answer::new(200, "ok: another process sends"),
                None if owed == 0 => Answer::ok(),
                None => Answer::new(200, format!("ok: {owed} echoes are owed")),
                Some(why) => Answer::new(200, format!("ok: {owed} echoes are owed, because {why}")),
            }
        })
    }

    fn accept(&self, events: &[Event], request: Request) {
        let ours = events.iter().filter(|event| self.page.is_ours(event));
        let echo = |event| Echo::answering(event, self.reply);
        let echoes: Vec<Echo> = ours.filter_map(echo).collect();
        let accept = |outbox: &mut Outbox<_>, now| outbox.accept(echoes, request, now);
        match self.pool.change(accept) {
            Accepted::Waiting => {}
            Accepted::Safe(request) => respond([request], &Answer::ok()),
            Accepted::Full(request) => self.refuse(vec![request], NO_ROOM),
        }
    }

    fn refuse(&self, requests: Vec<Request>, why: &str) {
        let line = format_args!("webhook refused: {why}");
        self.refusals.log("refused", Level::Error, line);
        respond(requests, &Answer::unavailable(TAKES_NO_MORE));
    }

    /// What a sender does: one call of the Send API after the other.
    pub(crate) fn send(&self) {
        while let Some(due) = self.pool.next_call() {
            let safe = if is_too_old(&due) {
                log::error!("echo given up after 24 hours: {}", due.echo.label());
                self.pool.change(|outbox, now| outbox.expire(&due, now))
            } else {
                let report = catch(|| self.graph.send(&due.echo.recipient, due.text()));
                self.end(&due, report)
            };
            respond(safe, &Answer::ok());
        }
    }

    fn end(&self, due: &Due, report: Option<Report>) -> Vec<Request> {
        let outcome = report.as_ref().map(|report| report.outcome);
        // A panic is a bug, and no reason to drop the echo.
        let outcome = outcome.unwrap_or(Outcome::Unsent);
        let tell = |outbox: &mut Outbox<_>, now| (outbox.ended(due, outcome, now), outbox.owed());
        let (ended, owed) = self.pool.change(tell);
        if let Some(report) = report {
            call_log::call(due, &report, &ended);
            if let Some(notice) = ended.notice {
                call_log::page(notice, &report, owed, &self.page);
            }
        }
        ended.safe
    }

    /// What the writer does.
    pub(crate) fn write(&self, mut place: Place) {
        while let Some(batch) = self.pool.next_batch() {
            let pause = self.commit(batch, &mut place);
            thread::sleep(pause);
        }
    }

    /// Answers the webhooks that are not safe in time. Returns when the next ones may be late.
    pub(crate) fn answer_late(&self) -> Instant {
        let (late, is_durable, next) = self.pool.change(|outbox, now| {
            let next = outbox.next_deadline().unwrap_or(now + ANSWER_WITHIN);
            (outbox.late(now), outbox.limits.durable, next)
        });
        match is_durable && !late.is_empty() {
            true => self.refuse(late, NOT_WRITTEN),
            false => respond(late, &Answer::unavailable("not echoed yet")),
        }
        next
    }

    /// Returns the pause before the next commit.
    fn commit(&self, batch: WriteBatch, place: &mut Place) -> Duration {
        let start = Instant::now();
        let refused = match place.commit(&batch, &self.page.outbox_owner()) {
            Ok(written) => {
                let end = |outbox: &mut Outbox<_>, now| outbox.written(&batch, &written, now);
                let (safe, refused) = self.pool.change(end);
                respond(safe, &Answer::ok());
                if !refused.is_empty() {
                    self.refuse(refused, written.why.as_deref().unwrap_or(NO_ROOM));
                }
                return COMMITS_APART.saturating_sub(start.elapsed());
            }
            Err(StoreError::Gone(why)) => {
                let refused = self.pool.change(|outbox, _| outbox.lose_store(&batch));
                self.shield.fail(io::Error::other(why));
                refused
            }
            Err(_) => self.pool.change(|outbox, _| outbox.not_written(batch)),
        };
        respond(refused, &Answer::unavailable(TAKES_NO_MORE));
        NEXT_TRY
    }
}

/// Whether an echo is given up: both its arrival and Messenger's stamp must be too long ago, so that neither an odd stamp
/// nor a clock that is set while the bot runs loses a message. After a restart both come from the same clock.
fn is_too_old(due: &Due) -> bool {
    let is_old = |at| clock::now().saturating_sub(at) >= milliseconds(GIVE_UP_AFTER);
    due.came.elapsed() >= GIVE_UP_AFTER && due.echo.timestamp.is_none_or(is_old)
}

/// Runs a task. A panic in it does not end the thread, and returns none. tiny_http answers 500 to a request that is dropped
/// without an answer.
fn catch<T>(task: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(task)).ok()
}

/// Sends the answer. A client that has left is no trouble of ours.
fn respond(requests: impl IntoIterator<Item = Request>, answer: &Answer) {
    let always = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        // A cache on the way would answer for a bot that has ended.
        ("Cache-Control", "no-store"),
    ];
    for request in requests {
        let mut response =
            Response::from_data(answer.text.as_bytes()).with_status_code(answer.status);
        for (name, value) in always.into_iter().chain(answer.header) {
            let header = Header::from_bytes(name, value);
            response.add_header(header.expect("it is a header because it is ASCII of our own"));
        }
        let _ = request.respond(response);
    }
}
