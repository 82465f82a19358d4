//! echobot, a Facebook Messenger echo bot as one small synchronous program. It sends each text back to the person who
//! wrote it, and answers an attachment or a pressed button with `I can't echo this`.
//!
//! This page describes how the program works. `README.md` describes how to run it.
//!
//! # The path of a message
//!
//! ```text
//! Messenger ─► shield ─► tiny_http ─► receiver: webhook ─► event ─► echo ─► outbox ─► writer: place ─► 200
//!                         Graph API ◄─ graph ◄──────────────── sender ◄───────┘
//! ```
//!
//! 1. [`shield`] accepts the connection, reads one request, and passes it on to tiny_http over a Unix socket. It refuses a
//!    request that is incomplete, malformed or too large. The response takes the same path back.
//! 2. A receiver (`worker.rs`) takes the request from tiny_http and calls [`webhook`], which checks the signature (over the
//!    raw bytes) and then reads the JSON. A body is parsed only after its signature is verified.
//! 3. [`event`] reads the events of the webhook. An event that it does not understand does not affect the others.
//! 4. [`echo`] chooses the reply. **Add another reply here.** For another bot, pass another function to [`serve`], as
//!    `examples/shout.rs` does.
//! 5. [`outbox`] accepts the echoes: each message once, and the messages of one person in order. If too many echoes are owed
//!    already, it accepts none of them, and the webhook is answered 503.
//! 6. The writer (`worker.rs`) commits, in one batch, all echoes that were accepted since its last commit. Then it answers
//!    their webhooks with 200. A webhook that is not safe after 4 s is answered 503, by a thread that waits for nothing else.
//!    `place.rs` has the three places to commit to; the settings choose one at the start:
//!    - memory: nothing is written, and the sender of a webhook's last echo answers the webhook;
//!    - disk ([`store`], with `DATA_DIR`): one redb file, with a lock file beside it;
//!    - a shared log (`shared`, with `REDIS_URL` and the cargo feature `redis`): every process appends to it. One process holds
//!      a lease. Its leader thread reads the log into the outbox, and its senders send.
//! 7. A sender (`worker.rs`) takes the next call that is due from the outbox, makes it ([`graph`]), and reports the outcome to
//!    the outbox. The table in `outbox/policy.rs` decides whether the echo is done, dropped, or due again later.
//!
//! [`pool`] shares the outbox between these threads. It has one mutex around the outbox, one condition variable on which
//! senders wait, and one on which the writer waits.
//!
//! # Around it
//!
//! - [`server`] starts and stops everything; `signals`, `descriptors`, `watchdog` and `systemd` are its parts.
//! - [`account`] makes the calls of the Graph API about app, page and token: for `echobot check`, for `echobot setup`, and for
//!   the running bot, which learns the page of its token and subscribes the page again when Meta has unsubscribed it.
//! - [`logger`] passes lines through a bounded queue to one thread, so logging never waits. `call_log` logs each call.
//! - `simulate` (cargo feature `simulator`, on by default) runs this bot behind the simulator, which is a crate of its own and
//!   knows no bot.
//!
//! Data flows one way, and imports form no circle. Only [`config`] reads settings (`graph` reads the environment's proxies, the
//! shield its temporary directory, `systemd` whether there is a journal). Only [`server`] and `worker` handle tiny_http's
//! requests. Only [`graph`], [`account`] and [`config`] name ureq, only [`store`] names redb, and only `shared` names redis.
//!
//! # Why it is built so
//!
//! - **Why a shield**: tiny_http is a pleasure to use, but it trusts its clients. One header can abort the process, a burst
//!   of connections can be lost, and nothing has a deadline. A reverse proxy in front of it costs one folder. Delete that
//!   folder when tiny_http has limits of its own: nothing else changes.
//! - **Why receivers and senders**: the tutorial calls the Send API in the request handler, so a Graph API that hangs blocks
//!   the webhook. Receivers never send, so webhooks are answered while every sender waits. The number of threads is fixed at
//!   the start: load lengthens a queue, and starts no threads.
//! - **Why one writer**: a commit waits for the disk, and costs the same for one webhook as for fifty. So one thread commits
//!   for all of them, and holds no lock meanwhile.
//! - **Why witnesses**: a code of the Graph API does not tell whether it refuses one message, its recipient, the page or the
//!   app. Calls for other people do: if they get through, the page is not at fault. `outbox/policy.rs` calls them witnesses. A
//!   circuit breaker holds the whole page, and any success closes it.
//!
//! # Promises
//!
//! - **A 200 is the truth**: every message in the webhook is on disk or in the shared log. In memory, it is echoed, or the
//!   Graph API has refused it for good. Otherwise the answer is 503, and Messenger delivers the webhook again.
//! - **Once**: a redelivered message (same `mid`) is answered 200 and not echoed again. If its echo is still owed, the
//!   redelivery waits for that echo, even when the first delivery was answered 503.
//! - **In order**: echoes to one person go out one at a time. After two refusals of a message, the person's next message may
//!   go first.
//! - **One person's trouble delays nobody else's echo**, whatever code the Graph API gives it.
//! - **Trouble at the Graph API is not the webhook's trouble**: echoes on disk or in the shared log wait, and go out at the
//!   page's own limit when the trouble ends.
//! - **No request and no stalled reader of the log** can kill the bot, stall it or make it grow.
//! - **Secrets stay secret**: tokens and secrets are [`config::Secret`]s, which cannot be printed. A text of a library or of
//!   the Graph API is not logged if it could quote one.
//!
//! # The log
//!
//! The log goes to stdout. Each entry is one line, whatever its text contains. The levels are a contract:
//!
//! | level | what |
//! |---|---|
//! | `error` | the bot cannot do its work now, has lost or given up something, or has a bug |
//! | `warn` | one message or request failed, or waits; with codes, never with texts or secrets |
//! | `info` | start, stop, handshakes, and one line per echo: mid, recipient, milliseconds |
//! | `debug` | people's texts, and why an event was not answered |
//! | `trace` | nothing more |
//!
//! Tokens, secrets and proofs are logged at no level. Lines of libraries are dropped.
//!
//! # Stopping
//!
//! SIGTERM, SIGINT, SIGQUIT and SIGHUP stop the bot, within 15 seconds and with exit code 0. It closes the port, answers the
//! requests that have begun to arrive, lets calls in flight end, writes the outbox, and gives the lease back. With an outbox in
//! memory it also sends what is owed; all of it then takes 25 seconds at most. Another SIGTERM changes nothing. A
//! second SIGINT ends the bot at once, and so does any of them before it has opened its port. systemd is told when the
//! bot has started, when it stops, and that the port answers.
//!
//! `cargo bench` measures the cost of an echo (`benches/README.md`). `.ci/run` is the one command that equals CI.

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
compile_error!(
    "a static glibc crashes in the host's name service modules: build the static file for musl, see deploy/README.md"
);

pub mod account;
mod call_log;
mod clock;
pub mod config;
mod descriptors;
pub mod echo;
mod essential_thread;
pub mod event;
pub mod graph;
mod hex;
mod lock;
pub mod logger;
pub mod outbox;
mod place;
pub mod pool;
mod rate_limited_log;
mod remedy;
pub mod server;
#[cfg_attr(not(feature = "redis"), path = "shared/absent.rs")]
mod shared;
pub mod shield;
mod signals;
pub mod store;
mod systemd;
mod watchdog;
pub mod webhook;
mod worker;

pub use self::config::Config;
pub use self::echo::Reply;
pub use self::event::{Event, EventKind};
pub use self::server::serve;
/// A Messenger on this machine, for the tests of this bot and of any other: a crate of its own, in `simulator/`.
#[cfg(feature = "simulator")]
#[doc(no_inline)]
pub use messenger_simulator as simulator;
