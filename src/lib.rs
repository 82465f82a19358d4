//! echobot, a Facebook Messenger echo bot as one small synchronous program. It sends each text back to the person who
//! wrote it, and answers everything else that a person does with `I can't echo this`.
//!
//! This page is the map: how the program works. `README.md` tells how to run it.
//!
//! # The way of a message
//!
//! ```text
//! Messenger ─► shield ─► tiny_http ─► receiver: webhook ─► event ─► echo ─► outbox ─► writer: place ─► 200
//!                         Graph API ◄─ graph ◄──────────────── sender ◄───────┘
//! ```
//!
//! 1. [`shield`] accepts the connection, reads one whole, well-formed, bounded request, and passes it on to tiny_http.
//!    The response goes back the same way.
//! 2. A receiver (`worker.rs`) gets the request from tiny_http and asks [`webhook`], which checks the signature (over
//!    the raw bytes) and then reads the JSON. Nothing of a body is parsed before its signature is right.
//! 3. [`event`] reads the events of the webhook. An event that it does not understand costs its neighbours nothing.
//! 4. [`echo`] decides what to answer. **Add another reply here**; another bot is another function, see [`serve`] and
//!    `examples/shout.rs`.
//! 5. [`outbox`] accepts the echoes: each message once, each person's in order.
//! 6. The writer (`worker.rs`) commits what was accepted to the place that was chosen at the start (`place.rs`): everything
//!    that came within 20 ms in one batch. Then the webhook is answered 200. There are three places:
//!    - memory: nothing is written, and a webhook is answered when its last echo is done;
//!    - disk ([`store`], with `DATA_DIR`): one file of redb, with a lock file beside it;
//!    - a shared log (`shared`, with `REDIS_URL` and the cargo feature `redis`): every process appends to it. The one process
//!      that holds the lease follows the log into its outbox, and sends.
//! 7. A sender (`worker.rs`) takes the next call that is due from the outbox, makes it ([`graph`]), and tells the outbox
//!    the outcome: done, dropped for good, or due again later. `outbox/policy.rs` is the table of outcomes.
//!
//! [`pool`] is where receivers, senders and writer wait for each other: one mutex around the outbox, one condition variable
//! for the senders and one for the writer.
//!
//! # Around it
//!
//! - [`server`] starts and ends everything; `signals`, `descriptors`, `watchdog` and `notify` are its parts.
//! - [`account`] is everything that asks Meta about app, page and token: `echobot check`, `echobot setup`, and the watch of a
//!   running bot, which learns the token's page and subscribes the page again.
//! - [`logger`]: lines go through a bounded queue to one thread, so logging never waits. `call_log` writes the line of each call.
//! - `simulate` (cargo feature `simulator`, on by default) runs this bot behind the simulator, a crate of its own that knows
//!   no bot.
//!
//! Data flows one way, and no module calls back. Only [`config`] reads settings (ureq reads the environment's proxies, the shield
//! its temporary directory). Only [`server`] and `worker` handle tiny_http's requests; only [`graph`], [`account`] and [`config`]
//! name ureq; only [`store`] names redb, only `shared` redis.
//!
//! # Why it is built so
//!
//! - **Why a shield**: tiny_http is a pleasure to use and trusts what arrives: one header can abort the process, a burst
//!   can be lost, nothing has a deadline. A reverse proxy in front of it costs one folder. Delete that folder when tiny_http
//!   has limits of its own: nothing else changes.
//! - **Why receivers and senders**: the tutorial called the Send API in the request handler, so a Graph API that hung
//!   blocked the webhook. Receivers never send, so webhooks are answered while every sender waits. Their numbers are fixed at
//!   the start: load becomes a queue, not threads.
//! - **Why one writer**: a commit waits for the disk, and costs the same for one webhook as for fifty. One thread that owns
//!   the place writes together what came meanwhile, and holds no lock while it does.
//! - **Why witnesses**: a code of the Graph API does not tell whether it refuses one message, its recipient, the page or the
//!   app. So a refusal is judged by whether other people's calls get through, and the page is a circuit breaker that any
//!   success closes.
//!
//! # Promises
//!
//! - **A 200 is the truth**: every message in the webhook is on disk or in the shared log, or, with neither, echoed or refused
//!   by the Graph API for good. Anything else is 503, and Messenger still has its copy.
//! - **Once**: a redelivered message (same `mid`) is answered 200 and not echoed again. A redelivery joins a message that is
//!   still owed, even after its webhook was answered 503.
//! - **In order**: echoes to one person go out one at a time. A message that was refused twice lets the next one be tried.
//! - **One person's trouble delays nobody else's echo**, whatever code the Graph API gives it.
//! - **Trouble at the Graph API is not the webhook's trouble**: echoes on disk can wait, and go out at the page's own limit
//!   when the trouble ends.
//! - **Nothing that arrives on the port**, and nothing that reads the log badly, kills it, stalls it or makes it grow.
//! - **Secrets stay secret**: tokens and secrets are [`config::Secret`]s, which cannot be printed, and no words of a library
//!   or of the Graph API are logged that could quote one.
//!
//! # The log
//!
//! One line an entry on stdout, whatever is in it. The levels are a contract:
//!
//! | level | what |
//! |---|---|
//! | `error` | a person must act: the bot cannot do its work, or has a bug |
//! | `warn` | one message or request failed, or waits; with codes, never with texts or secrets |
//! | `info` | start, stop, handshakes, and one line per echo: mid, recipient, milliseconds |
//! | `debug` | people's texts, and why an event was not answered |
//! | `trace` | nothing more |
//!
//! Tokens, secrets and proofs are logged at no level. Lines of libraries are dropped.
//!
//! # Stopping
//!
//! On SIGTERM, SIGINT, SIGQUIT or SIGHUP the port closes, requests that have begun to arrive are answered, calls in flight end,
//! the outbox is written, the lease is given back, and the exit code is 0: within 15 seconds. Without a data directory the
//! owed echoes are sent first, for 25 seconds at most in all. More SIGTERMs change nothing; a second SIGINT exits at once.
//! systemd is told of the start, the end, and that the port answers.
//!
//! `cargo bench` tells what all this costs (`benches/README.md`). The one command that equals CI is `.ci/run`.

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
pub mod logger;
mod notify;
pub mod outbox;
mod place;
pub mod pool;
mod rate_limited_log;
pub mod server;
#[cfg_attr(not(feature = "redis"), path = "shared/absent.rs")]
mod shared;
pub mod shield;
mod signals;
pub mod store;
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
