//! echobot, a Facebook Messenger echo bot as one small synchronous program: a text is sent back
//! to the person who wrote it, anything else is answered with `I can't echo this`.
//!
//! This page is the map. `README.md` tells how to run it; here stands how it works.
//!
//! # The way of a message
//!
//! ```text
//! Messenger ──► door ──► server: accept loop ──► pool thread: webhook ──► event ──► echo ──► outbox
//!                                                                                             │
//!                        Graph API ◄── graph ◄── pool thread: the next call that is due ◄─────┘
//! ```
//!
//! 1. [`door`] takes the connection and lets one whole, well-formed, bounded request in at a time.
//!    Who answers it writes to the client directly.
//! 2. [`server`]'s accept loop (tiny_http) hands the request to the [`pool`], or answers 503 at
//!    once when too many wait.
//! 3. A pool thread asks [`webhook`], which checks size, signature (over the raw bytes) and JSON,
//!    in that order. Before the signature is right nothing of a body is parsed.
//! 4. [`event`] reads the events; what it does not understand costs its neighbours nothing.
//! 5. [`echo`] decides what an event is answered with. **Here another reply is added.**
//! 6. [`outbox`] takes what is owed: each message once, each person's in order. With a data
//!    directory, [`store`] writes it to disk, webhooks that arrive together with one sync, and the
//!    webhook is answered 200.
//! 7. Whichever pool thread is free makes the next call of the Send API that is due ([`graph`])
//!    and settles it: done, refused for good, or due again later. Without a data directory the
//!    webhook is answered when its last echo is settled.
//!
//! Data flows one way; no file calls back. Only [`config`] reads settings (the environment
//! also names the temporary directory and proxies), only [`server`]
//! (and the simulator) answers requests, only [`door`] names tiny_http's server, only [`graph`] (and the
//! simulator's Messenger) names ureq, only [`store`] names redb. [`simulator`] plays Messenger and Graph API to try and to
//! test the bot; the bot never names it.
//!
//! Beside the way of a message: [`setup`] is `echobot check` and `echobot setup`, `watch` looks whether the
//! page is still subscribed.
//!
//! # Promises
//!
//! - **A 200 is the truth**: every message in the webhook is on disk, or, without a data directory,
//!   echoed or refused by the Graph API for good. Anything else is 503, and Messenger still has its
//!   copy.
//! - **Once**: a redelivered message (same `mid`) is answered 200 and not echoed again. One that
//!   is still owed is joined.
//! - **In order**: echoes to one person go out one at a time. One person's trouble delays nobody.
//! - **Trouble at the Graph API is not the webhook's trouble**: what is on disk can wait.
//! - **Nothing that arrives on the port** kills it, stalls it or makes it grow: see [`door`].
//! - **Secrets stay secret**: tokens and secrets are [`config::Secret`]s, which cannot be printed,
//!   and no words of a library or of the Graph API are logged that could quote one.
//!
//! # The log
//!
//! One line an entry on stdout, whatever is in it (see [`logger`]). The levels are a contract:
//!
//! | level | what |
//! |---|---|
//! | `error` | somebody must act: the bot cannot do its work, or has a bug |
//! | `warn` | one message or request failed, or waits; with codes, never with texts or secrets |
//! | `info` | start, stop, handshakes, and one line per echo: mid, recipient, milliseconds |
//! | `debug` | people's texts, and why an event was not answered |
//! | `trace` | nothing more |
//!
//! Tokens, secrets and proofs are logged at no level. What libraries log is dropped.
//!
//! # Stopping
//!
//! On SIGTERM or SIGINT the door closes, what is inside is answered, calls under way come to their
//! end, the outbox is written, and the exit code is 0: within 15 seconds. Without a data directory
//! what is owed is sent first, for 25 seconds at most in all. More SIGTERMs change nothing; a second
//! SIGINT exits at once.
//!
//! systemd is told of the start and the end, and that the port answers: see [`notify`].
//!
//! What all this costs, `cargo bench` tells; the README has the figures. The one command that equals CI is
//! `.ci/run`.

pub mod config;
mod descriptors;
pub mod echo;
mod essential_thread;
pub mod event;
pub mod graph;
mod hex;
pub mod logger;
pub mod notify;
pub mod outbox;
pub mod pool;
mod private_directory;
mod rate_limited_log;
pub mod server;
pub mod setup;
pub mod shield;
mod signals;
pub mod simulator;
pub mod store;
mod watch;
mod watchdog;
pub mod webhook;
mod worker;

pub use self::config::Config;
pub use self::echo::Reply;
pub use self::event::{Event, EventKind};
pub use self::server::serve;
