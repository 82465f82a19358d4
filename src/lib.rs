//! echobot, a Facebook Messenger echo bot as one small synchronous program: a text is sent back
//! to the person who wrote it, anything else is answered with `I can't echo this`.
//!
//! This page is the map. `README.md` tells how to run it; here stands how it works.
//!
//! # The way of a message
//!
//! ```text
//! Messenger ─► shield ─► tiny_http ─► receiver: webhook ─► event ─► echo ─► outbox ─► 200
//!                                                                             │   └► writer: store
//!                         Graph API ◄─ graph ◄──────────────── sender ◄───────┘
//! ```
//!
//! 1. [`shield`] takes the connection, reads one whole, well-formed, bounded request, and passes it
//!    on to tiny_http. The response goes back the same way.
//! 2. A receiver (`worker`) gets the request from tiny_http and asks [`webhook`], which checks the
//!    signature (over the raw bytes) and then JSON. Before the signature is right nothing
//!    of a body is parsed.
//! 3. [`event`] reads the events; what it does not understand costs its neighbours nothing.
//! 4. [`echo`] decides what an event is answered with. **Here another reply is added**; another bot
//!    is another function, see [`serve`] and `examples/shout.rs`.
//! 5. [`outbox`] takes what is owed: each message once, each person's in order. With a data
//!    directory the writer hands it to [`store`], all that came in 20 ms in one commit, and each webhook is
//!    answered 200 when it is on disk.
//! 6. A sender takes the next call that is due and makes it ([`graph`]), and tells the outbox what
//!    came of it: done, refused for good, or due again later. Without a data directory the webhook is
//!    answered when its last echo is done.
//!
//! `place` is where the writer writes to: nowhere, to the disk, or, with `REDIS_URL` (cargo feature `redis`), to a log that
//! several processes share. There a webhook is answered when its echoes are in the log, and the process with the lease
//! follows the log into its [`outbox`] and sends. `shared` has the rest.
//!
//! Data flows one way; no file calls back. Only [`config`] reads settings (the environment also
//! names the temporary directory and proxies), only [`server`] and `worker` handle tiny_http's
//! requests, only [`graph`] (and the simulator's Messenger) names ureq, only [`store`] names redb, only `shared` redis.
//! [`simulator`] (cargo feature, on by default) plays Messenger and Graph API to try and to test any bot; the bot never
//! names it.
//!
//! Beside the way of a message: [`server`] starts and ends everything, [`pool`] is where its threads
//! wait for each other, [`check`] is `echobot check`, [`setup`] is `echobot setup`, `watch` looks whether
//! the page is still subscribed. Under [`graph`], `network` makes the connections: `resolver` finds the
//! addresses (in a static program by `names`, without libc), `tls` trusts or tells why not, `proxy` warns.
//! `call_log` writes the line of each call.
//!
//! # Why it is built so
//!
//! - **Why a shield**: tiny_http is a pleasure to use and trusts what arrives: a header can abort the
//!   process, a burst can be lost, nothing has a deadline. A reverse proxy in front of it costs one
//!   folder, and is deleted the day tiny_http has limits of its own: nothing else would change.
//! - **Why receivers and senders**: the tutorial called the Send API in the request handler, so a Graph
//!   API that hung blocked the webhook. Receivers never send, so webhooks are answered while every
//!   sender waits. Their numbers are fixed at the start: load becomes a queue, not threads.
//! - **Why one writer**: a commit waits for the disk, and costs the same for one webhook as for fifty. One
//!   thread that owns the store writes together what came meanwhile, and no lock is held while it does.
//! - **Why evidence**: a code of the Graph API does not tell whether one message, its recipient, the page or
//!   the app is refused. So a refusal is judged by whether other people's calls get through, and the page
//!   is a circuit breaker that any success closes. `outbox/ended.rs` is the policy.
//!
//! # Promises
//!
//! - **A 200 is the truth**: every message in the webhook is on disk, or, without a data directory,
//!   echoed or refused by the Graph API for good. Anything else is 503, and Messenger still has its
//!   copy.
//! - **Once**: a redelivered message (same `mid`) is answered 200 and not echoed again. One that
//!   is still owed is joined, also after its webhook was answered 503.
//! - **In order**: echoes to one person go out one at a time.
//! - **One person's trouble delays nobody else's echo**, whatever code the Graph API gives it.
//! - **Trouble at the Graph API is not the webhook's trouble**: what is on disk can wait, and goes out at
//!   the page's own limit when the trouble ends.
//! - **Nothing that arrives on the port** kills it, stalls it or makes it grow: see [`shield`].
//! - **Secrets stay secret**: tokens and secrets are [`config::Secret`]s, which cannot be printed,
//!   and no words of a library or of the Graph API are logged that could quote one.
//!
//! # The log
//!
//! One line an entry on stdout, whatever is in it (see [`logger`]). The levels are a contract:
//!
//! | level | what |
//! |---|---|
//! | `error` | a person must act: the bot cannot do its work, or has a bug |
//! | `warn` | one message or request failed, or waits; with codes, never with texts or secrets |
//! | `info` | start, stop, handshakes, and one line per echo: mid, recipient, milliseconds |
//! | `debug` | people's texts, and why an event was not answered |
//! | `trace` | nothing more |
//!
//! Tokens, secrets and proofs are logged at no level. What libraries log is dropped.
//!
//! # Stopping
//!
//! On SIGTERM, SIGINT, SIGQUIT or SIGHUP the port closes, what has begun to arrive is answered, calls in flight come to
//! their end, the outbox is written, and the exit code is 0: within 15 seconds. Without a data
//! directory what is owed is sent first, for 25 seconds at most in all. More SIGTERMs change nothing; a
//! second SIGINT exits at once.
//!
//! systemd is told of the start and the end, and that the port answers: see [`notify`].
//!
//! What all this costs, `cargo bench` tells; the README has the figures. The one command that equals CI is
//! `.ci/run`.

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
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod store;
mod watchdog;
pub mod webhook;
mod worker;

pub use self::config::Config;
pub use self::echo::Reply;
pub use self::event::{Event, EventKind};
pub use self::server::serve;
