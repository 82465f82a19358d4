//! From the start to the end: the accept loop, the pool's threads, and the way down. The only room
//! that handles tiny_http's requests.

mod descriptors;
mod watchdog;
mod worker;

use std::fmt;
use std::io;
use std::mem;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::descriptors::Share;
use self::worker::Worker;
use crate::config::Config;
use crate::door::{self, Door, Request};
use crate::notify::Notifier;
use crate::outbox::Record;
use crate::pool::Pool;
use crate::store::{Store, StoreError};
use crate::watch;
use crate::webhook;

/// Connections at once at most. Messenger comes through a proxy, which needs a few dozen.
const MAX_CONNECTIONS: usize = 512;

/// Requests in hand at once at most; each costs a thread at the door.
const MAX_REQUESTS: usize = 256;

/// On the way down, how long requests that are inside may take to be answered. A webhook waits
/// for 4 s at most.
const ANSWERS_END_WITHIN: Duration = Duration::from_secs(5);

/// On the way down, how long calls of the Send API that are under way may take: with the time for
/// answers it is 15 s, and systemd and Heroku wait longer.
const CALLS_END_WITHIN: Duration = Duration::from_secs(10);

/// On the way down without a disk, how long all that is owed is still sent, answers included.
/// Heroku kills after 30 s.
const ECHOES_END_WITHIN: Duration = Duration::from_secs(25);

/// The stack of a pool thread, in bytes. TLS and JSON need a few dozen kilobytes of it.
const STACK: usize = 512 * 1024;

/// Why the bot could not start, or stopped by itself.
#[derive(Debug)]
pub enum ServeError {
    /// The data directory cannot be used: a setting is wrong.
    Store(StoreError),
    /// No address could be bound; with the addresses that were tried.
    Listen(String, io::Error),
    /// Something that the operating system refused.
    System(&'static str, io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Store(error) => error.fmt(f),
            ServeError::Listen(addresses, cause) => write!(
                f,
                "failed to listen on {addresses}: {cause}; is another program there? BIND and PORT \
                 choose the address"
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
    let system = |what| move |error| ServeError::System(what, error);
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(system("watch signals"))?;
    let share = claim_descriptors(config).map_err(system("get enough open files"))?;
    let config = &Config {
        threads: share.threads,
        ..config.clone()
    };
    let store = open_store(config)?;
    let door = Arc::new(open_door(config, share)?);
    let pool = Arc::new(Pool::new(config, store));
    let threads = start_threads(config, &pool).map_err(system("start the pool"))?;
    let notifier = Arc::new(Notifier::new(&config.systemd));
    close_on_signal(signals, Arc::clone(&door), Arc::clone(&notifier))
        .map_err(system("watch signals"))?;

    watch::start(config).map_err(system("look after the subscription"))?;

    log::info!(
        "listening on http://{}{}",
        door.address(),
        config.webhook_path
    );
    notifier.ready();
    if let Some(within) = config.systemd.watchdog {
        watchdog::start(within, Arc::clone(&door), Arc::clone(&pool), notifier)
            .map_err(system("start the watchdog"))?;
    }
    accept_requests(&door, &pool).map_err(system("receive requests"))?;
    finish(&pool, &threads);
    Ok(())
}

fn claim_descriptors(config: &Config) -> io::Result<Share> {
    descriptors::claim(Share {
        connections: MAX_CONNECTIONS,
        requests: MAX_REQUESTS,
        threads: config.threads,
    })
}

/// Opens the outbox on disk, if there is to be one, with what it has kept.
fn open_store(config: &Config) -> Result<Option<(Store, Vec<Record>)>, ServeError> {
    let Some(directory) = &config.data_dir else {
        log::info!("no DATA_DIR: what is owed is kept in memory");
        return Ok(None);
    };
    let (store, kept) = Store::open(directory).map_err(ServeError::Store)?;
    log::info!(
        "the outbox is in {}: {} echoes are owed",
        directory.display(),
        kept.len()
    );
    Ok(Some((store, kept)))
}

fn open_door(config: &Config, share: Share) -> Result<Door, ServeError> {
    let listener = TcpListener::bind(&config.listen[..]).map_err(|error| {
        let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        ServeError::Listen(addresses.join(" and "), error)
    })?;
    let limits = door::Limits {
        connections: share.connections,
        requests: share.requests,
        headers_passed: &[webhook::SIGNATURE_HEADER],
    };
    door::open_or_in(config.data_dir.as_deref(), listener, limits)
        .map_err(|error| ServeError::System("open the door", error))
}

fn start_threads(config: &Config, pool: &Arc<Pool<Request>>) -> io::Result<Vec<JoinHandle<()>>> {
    let worker = Arc::new(Worker::new(config, Arc::clone(pool)));
    let start = |n| {
        let worker = Arc::clone(&worker);
        let thread = thread::Builder::new().name(format!("pool-{n}"));
        thread.stack_size(STACK).spawn(move || worker.work(n))
    };
    (0..config.threads).map(start).collect()
}

/// On the first signal the door is closed: when all that is inside is answered, the accept loop
/// ends. Heroku sends SIGTERM several times, and means one; a second SIGINT means now.
fn close_on_signal(
    mut signals: Signals,
    door: Arc<Door>,
    notifier: Arc<Notifier>,
) -> io::Result<()> {
    let watch = move || {
        let mut interrupts = 0;
        let mut is_closing = false;
        for signal in signals.forever() {
            interrupts += u32::from(signal == SIGINT);
            if interrupts > 1 {
                log::warn!("interrupted twice: stopping at once");
                std::process::exit(130);
            }
            if mem::replace(&mut is_closing, true) {
                continue;
            }
            log::info!("stopping: the door is closed");
            notifier.stopping();
            let inside = Arc::clone(&door);
            let thread = thread::Builder::new().name("closing".into());
            if thread.spawn(move || close(&inside)).is_err() {
                // There is no thread to be had: a second SIGINT waits then.
                close(&door);
            }
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

/// The accept loop: hands requests to the pool until the door is closed and empty.
fn accept_requests(door: &Door, pool: &Pool<Request>) -> io::Result<()> {
    loop {
        match door.recv() {
            Ok(request) => {
                if let Err(request) = pool.submit(request) {
                    worker::respond(request, &webhook::Answer::unavailable("too busy"));
                }
            }
            Err(_) if door.is_closed() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Calls that are under way come to their end. Without a disk, what is owed is sent as long as
/// there is time.
fn finish(pool: &Pool<Request>, threads: &[JoinHandle<()>]) {
    let is_durable = pool.is_durable();
    let within = if is_durable {
        CALLS_END_WITHIN
    } else {
        ECHOES_END_WITHIN - ANSWERS_END_WITHIN
    };
    let deadline = Instant::now() + within;
    pool.stop(deadline);
    while Instant::now() < deadline && !threads.iter().all(JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(5));
    }
    if pool.unwritten() > 0 {
        log::error!(
            "the outbox could not be written: what was sent last is sent again after the next start"
        );
    }
    match pool.owed() {
        0 => log::info!("stopped: nothing is owed"),
        owed if is_durable => log::info!("stopped: {owed} echoes are owed, and kept on disk"),
        owed => log::warn!("stopped: {owed} echoes are owed; Messenger redelivers them"),
    }
}
