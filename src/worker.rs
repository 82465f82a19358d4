//! What the threads do: receive requests, make calls of the Send API, write to the disk.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::Level;
use tiny_http::{Header, Request, Response};

use crate::call_log;
use crate::config::Config;
use crate::echo::{Echo, Reply};
use crate::event::{Event, Platform};
use crate::graph::{Graph, Outcome, Report};
use crate::outbox::{Accepted, Due, GIVE_UP_AFTER, Outbox, WriteBatch};
use crate::pool::{Pool, WriterTask};
use crate::rate_limited_log::RateLimitedLog;
#[cfg(feature = "redis")]
use crate::shared::{Answers, Appender, Committer};
use crate::shield::Shield;
use crate::store::Store;
use crate::watch::TokenPage;
use crate::webhook::{self, Answer, Verdict, Webhook};

/// What a bot that answers, but takes no webhooks, says of its health.
const NOT_OK: &str = "stopping, or the outbox takes no more";

/// Where the writer writes to.
pub(crate) enum Place {
    /// A file of our own.
    Disk(Store),
    /// The outbox that several processes share.
    #[cfg(feature = "redis")]
    Shared(Committer),
}

/// What the threads share.
pub(crate) struct Worker {
    pool: Pool<Request>,
    /// Takes what is accepted where several processes share the outbox.
    #[cfg(feature = "redis")]
    appender: Option<Appender<Request>>,
    webhook: Webhook,
    graph: Graph,
    reply: fn(&Event) -> Option<Reply>,
    /// The page that the token is for, when it is known.
    page: Arc<OnceLock<TokenPage>>,
    other_pages: RateLimitedLog,
    /// Requests that the receivers have taken up since the start.
    received: AtomicU64,
}

impl Worker {
    pub(crate) fn new(
        config: &Config,
        pool: Pool<Request>,
        reply: fn(&Event) -> Option<Reply>,
        page: Arc<OnceLock<TokenPage>>,
    ) -> Worker {
        Worker {
            pool,
            #[cfg(feature = "redis")]
            appender: None,
            webhook: Webhook::new(config),
            graph: Graph::new(config),
            reply,
            page,
            other_pages: RateLimitedLog::new(module_path!(), Duration::from_secs(60)),
            received: AtomicU64::new(0),
        }
    }

    /// What is accepted goes to the outbox that several processes share.
    #[cfg(feature = "redis")]
    pub(crate) fn sharing(self, appender: Appender<Request>) -> Worker {
        let appender = Some(appender);
        Worker { appender, ..self }
    }

    pub(crate) fn pool(&self) -> &Pool<Request> {
        &self.pool
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What a receiver does until the port is closed.
    pub(crate) fn receive(&self, server: &tiny_http::Server, shield: &Shield) {
        loop {
            match server.recv() {
                Ok(request) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    catch(|| self.answer(request));
                }
                Err(_) if shield.is_closed() => return,
                Err(error) => {
                    let why = format!("tiny_http has stopped accepting: {error}");
                    return shield.fail(io::Error::new(error.kind(), why));
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
            Verdict::Answer(answer) => respond(request, answer),
            Verdict::Health if self.is_ok() => respond(request, self.health()),
            Verdict::Health => respond(request, Answer::unavailable(NOT_OK)),
            Verdict::Events(events) => self.accept(&events, request),
        }
    }

    fn is_ok(&self) -> bool {
        #[cfg(feature = "redis")]
        if self
            .appender
            .as_ref()
            .is_some_and(|one| !one.shared().is_ok())
        {
            return false;
        }
        self.pool.is_ok()
    }

    /// What `echobot check` is told of a bot that runs.
    fn health(&self) -> Answer {
        #[cfg(feature = "redis")]
        if self
            .appender
            .as_ref()
            .is_some_and(|one| !one.shared().leads())
        {
            return Answer::new(200, "ok: another process sends");
        }
        let look = |outbox: &mut Outbox<_>, _| (outbox.owed(), outbox.held());
        match self.pool.change(look) {
            (0, None) => Answer::ok(),
            (owed, None) => Answer::new(200, format!("ok: {owed} echoes are owed")),
            (owed, Some(reason)) => {
                let why = call_log::why(reason);
                Answer::new(200, format!("ok: {owed} echoes are owed, because {why}"))
            }
        }
    }

    fn accept(&self, events: &[Event], request: Request) {
        let ours = events.iter().filter(|event| self.is_ours(event));
        let echo = |event| Echo::answering(event, self.reply);
        let echoes: Vec<Echo> = ours.filter_map(echo).collect();
        #[cfg(feature = "redis")]
        if let Some(appender) = self.appender.as_ref().filter(|_| !echoes.is_empty()) {
            return appender.append(echoes, request);
        }
        let accept = |outbox: &mut Outbox<_>, now| outbox.accept(echoes, request, now);
        match self.pool.change(accept) {
            Accepted::Waiting => {}
            Accepted::Safe(request) => respond(request, Answer::ok()),
            Accepted::Full(request) => {
                log::error!(
                    "webhook refused: as many echoes are owed as MAX_PENDING allows, in all or to one person"
                );
                respond(request, Answer::unavailable("too many echoes are owed"));
            }
        }
    }

    /// Whether the token can answer it: an app hears all its pages.
    fn is_ours(&self, event: &Event) -> bool {
        let (Some(page), Some(other)) = (self.page.get(), &event.page) else {
            return true;
        };
        // Instagram's accounts have ids of their own.
        if *other == page.id || event.platform == Platform::Instagram {
            return true;
        }
        let line = format_args!(
            "passed over: an event of the page {other}; PAGE_ACCESS_TOKEN is for {page}: unsubscribe \
             the app from the other page, or run another bot with that page's token"
        );
        let log = &self.other_pages;
        log.log("other page", Level::Warn, line);
        false
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
            respond_all(safe, &Answer::ok());
        }
    }

    fn end(&self, due: &Due, report: Option<Report>) -> Vec<Request> {
        // A panic is a bug, and no reason to drop the echo.
        let outcome = report
            .as_ref()
            .map_or(Outcome::Unsent, |report| report.outcome);
        let tell = |outbox: &mut Outbox<_>, now| (outbox.ended(due, outcome, now), outbox.owed());
        let (ended, owed) = self.pool.change(tell);
        if let Some(report) = report {
            call_log::call(due, &report, &ended);
            if let Some(notice) = ended.notice {
                call_log::page(notice, &report, owed, self.page.get());
            }
        }
        ended.safe
    }

    /// What the writer does. Without a store there is nothing to write, and webhooks that are late
    /// are answered all the same.
    pub(crate) fn write(&self, mut place: Option<Place>, shield: &Shield) {
        while let Some(task) = self.pool.next_task() {
            match (task, &mut place) {
                (WriterTask::Late(late), _) => {
                    respond_all(late, &Answer::unavailable("not safe yet"));
                }
                (WriterTask::Write(batch), Some(Place::Disk(store))) => {
                    self.commit(batch, store, shield);
                }
                #[cfg(feature = "redis")]
                (WriterTask::Write(batch), Some(Place::Shared(committer))) => {
                    let written = committer.commit(&batch);
                    // No caller waits for it: the webhooks were answered when they were appended.
                    self.pool.change(|outbox, now| match written {
                        Ok(()) => outbox.written(&batch, &[], now),
                        Err(_) => outbox.not_written(batch, now),
                    });
                }
                (WriterTask::Write(_), None) => unreachable!("only a durable outbox is written"),
            }
        }
    }

    /// What the appender does, where several processes share the outbox.
    #[cfg(feature = "redis")]
    pub(crate) fn append(&self) {
        let answer = |Answers { safe, refused }| {
            respond_all(safe, &Answer::ok());
            respond_all(
                refused,
                &Answer::unavailable("the shared outbox takes no more"),
            );
        };
        if let Some(appender) = &self.appender {
            appender.run(answer);
        }
    }

    /// Lets the threads stop when their work is done. Returns at once.
    pub(crate) fn stop(&self) {
        #[cfg(feature = "redis")]
        if let Some(appender) = &self.appender {
            appender.stop();
        }
        self.pool.stop();
    }

    /// Answers the webhooks that are safe with this batch.
    fn commit(&self, batch: WriteBatch, store: &mut Store, shield: &Shield) {
        match store.commit(&batch) {
            Ok(known) => {
                let written = |outbox: &mut Outbox<_>, now| outbox.written(&batch, &known, now);
                respond_all(self.pool.change(written), &Answer::ok());
            }
            Err(error) if error.is_gone() => {
                let refused = self.pool.change(|outbox, _| outbox.lose_store(&batch));
                shield.fail(io::Error::other(error.to_string()));
                respond_all(refused, &Answer::unavailable("the outbox is gone"));
            }
            Err(error) => {
                let refused = self
                    .pool
                    .change(|outbox, now| outbox.not_written(batch, now));
                log::error!("{error}; webhooks refused: {}", refused.len());
                respond_all(
                    refused,
                    &Answer::unavailable("the outbox cannot be written"),
                );
            }
        }
    }
}

/// Both since it came and by Messenger's own time of it: neither a wrong clock nor an odd time
/// loses a message.
fn is_too_old(due: &Due) -> bool {
    let written = due
        .echo
        .timestamp
        .map(|at| UNIX_EPOCH + Duration::from_millis(at));
    let age = |written: SystemTime| written.elapsed().unwrap_or_default();
    due.came.elapsed() >= GIVE_UP_AFTER && written.is_none_or(|at| age(at) >= GIVE_UP_AFTER)
}

/// Does something that a panic ends without ending the thread; none after a panic. A request that
/// is dropped unanswered in it is answered 500 by tiny_http.
fn catch<T>(task: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(task)).ok()
}

fn respond_all(requests: Vec<Request>, answer: &Answer) {
    for request in requests {
        respond(request, answer.clone());
    }
}

/// Sends the answer. A client that has left is no trouble of ours.
fn respond(request: Request, answer: Answer) {
    let always = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    let mut response =
        Response::from_data(answer.text.into_owned()).with_status_code(answer.status);
    for (name, value) in always.into_iter().chain(answer.header) {
        let header = Header::from_bytes(name, value);
        response.add_header(header.expect("it is a header because it is ASCII of our own"));
    }
    let _ = request.respond(response);
}
