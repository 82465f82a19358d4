//! From the start to the end: threads, signals, and the way down.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::config::Config;
use crate::descriptors;
use crate::echo::Reply;
use crate::essential_thread;
use crate::event::Event;
use crate::logger;
use crate::notify::Notifier;
use crate::outbox::{Limits, Outbox, StoredEcho};
use crate::pool::Pool;
#[cfg(feature = "redis")]
use crate::shared::{Appender, Committer, Leader, Shared};
use crate::shield::{self, Shield};
use crate::signals;
use crate::store::{Store, StoreError};
use crate::watch;
use crate::watchdog;
use crate::webhook;
use crate::worker::{Place, Worker};

/// On the way down, how long requests that have begun to arrive may take to be answered. A webhook
/// waits for 4 s at most.
const ANSWERS_END_WITHIN: Duration = Duration::from_secs(5);

/// On the way down, how long calls of the Send API that are in flight may take: with the time for
/// answers it is 15 s, and systemd and Heroku wait longer.
const CALLS_END_WITHIN: Duration = Duration::from_secs(10);

/// On the way down without a disk, how long all that is owed is still sent, answers included.
/// Heroku kills after 30 s.
const ECHOES_END_WITHIN: Duration = Duration::from_secs(25);

/// Connections that wait until they are let in; the shield lets them in at once.
const BACKLOG: i32 = 1024;

/// One of so many threads receives requests, two at least; the others send.
const RECEIVING_SHARE: usize = 32;

/// Calls whose end is not on disk yet, as a share of the senders, that keep no sender waiting.
const UNWRITTEN_SHARE: usize = 8;

/// Why the bot could not start, or stopped by itself.
#[derive(Debug)]
pub enum ServeError {
    /// The data directory cannot be used: a setting is wrong.
    Store(StoreError),
    /// Something that the operating system refused.
    System(String, io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Store(error) => error.fmt(f),
            ServeError::System(what, cause) => write!(f, "failed to {what}: {cause}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until SIGTERM or SIGINT, then finishes what it has begun. `reply` is the bot: what an
/// event is answered with, if it is.
///
/// # Errors
/// [`ServeError`] when it cannot start, or when it receives no requests any more.
pub fn serve(config: &Config, reply: fn(&Event) -> Option<Reply>) -> Result<(), ServeError> {
    let system = |what: &'static str| move |error| ServeError::System(what.into(), error);
    logger::start(config.log_level, config.systemd.is_journal);
    let signals = signals::watch().map_err(system("watch signals"))?;
    let share = descriptors::claim(config.threads).map_err(system("get enough open files"))?;
    let receivers = receivers(share.threads);
    let senders = share.threads - receivers;
    #[cfg(feature = "redis")]
    let shared = config.shared.as_ref().map(Shared::new);
    let (place, kept) = open_store(config)?.unzip();
    #[cfg(feature = "redis")]
    let place = shared
        .as_ref()
        .map(|shared| Place::Shared(Committer::new(shared)))
        .or(place);
    let (shield, server) = listen(config, share.limits())?;
    let (shield, server) = (Arc::new(shield), Arc::new(server));
    let limits = Limits {
        max_pending: config.max_pending,
        send_rate: config.send_rate,
        // Half of the calls are for people whose messages get through.
        max_retries: senders.div_ceil(2),
        max_repeated: senders + senders.div_ceil(UNWRITTEN_SHARE),
        durable: place.is_some(),
    };
    let outbox = Outbox::new(limits, kept.unwrap_or_default(), Instant::now());
    let page = watch::start(config).map_err(system("look after the subscription"))?;
    let worker = Worker::new(config, Pool::new(outbox), reply, page);
    #[cfg(feature = "redis")]
    let worker = match &shared {
        Some(shared) => worker.sharing(Appender::new(shared, config.max_pending)),
        None => worker,
    };
    let worker = Arc::new(worker);
    let threads = start_threads(&worker, &shield, &server, receivers, senders, place);
    #[allow(unused_mut, reason = "there are more of them with the feature redis")]
    let mut threads = threads.map_err(system("start the threads"))?;
    #[cfg(feature = "redis")]
    if let Some(shared) = &shared {
        let more = start_shared(&worker, Leader::new(shared));
        threads.extend(more.map_err(system("start the threads"))?);
    }
    let notifier = Arc::new(Notifier::new(&config.systemd));
    signals::close_on(signals, Arc::clone(&shield), Arc::clone(&notifier))
        .map_err(system("watch signals"))?;

    let (address, path) = (shield.address(), &config.webhook_path);
    log::info!("listening on http://{address}{path}");
    notifier.ready();
    if let Some(within) = config.systemd.watchdog {
        watchdog::start(within, Arc::clone(&shield), Arc::clone(&worker), notifier)
            .map_err(system("start the watchdog"))?;
    }
    let ended = shield.wait().map_err(system("receive requests"));
    if let Err(error) = &ended {
        log::error!("stopping, to be started again: {error}");
        shield.close();
    }
    if !shield.wait_until_answered(ANSWERS_END_WITHIN) {
        log::warn!("some requests were not answered in time");
    }
    (0..receivers).for_each(|_| server.unblock());
    finish(&worker, &threads, config);
    ended
}

/// How many of the threads receive.
fn receivers(threads: usize) -> usize {
    match threads {
        0..4 => 1,
        _ => (threads / RECEIVING_SHARE).max(2),
    }
}

/// Opens the outbox on disk, if there is to be one, with what it has kept.
fn open_store(config: &Config) -> Result<Option<(Place, Vec<StoredEcho>)>, ServeError> {
    let Some(directory) = &config.data_dir else {
        if !config.is_shared() {
            log::info!("no DATA_DIR: what is owed is kept in memory");
        }
        return Ok(None);
    };
    let (store, kept) = Store::open(directory).map_err(ServeError::Store)?;
    let (directory, owed) = (directory.display(), kept.len());
    log::info!("the outbox is in {directory}: {owed} echoes are owed");
    Ok(Some((Place::Disk(store), kept)))
}

fn listen(
    config: &Config,
    (connections, requests): (usize, usize),
) -> Result<(Shield, tiny_http::Server), ServeError> {
    let mut bound = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in &config.listen {
        bound = bind(*address);
        if bound.is_ok() {
            break;
        }
    }
    let listener = bound.map_err(|error: io::Error| {
        let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let why = format!("{error}; is another program there? BIND and PORT choose the address");
        let error = io::Error::new(error.kind(), why);
        ServeError::System(format!("listen on {}", addresses.join(" and ")), error)
    })?;
    let limits = shield::Limits {
        connections,
        requests,
        headers_passed: &[webhook::SIGNATURE_HEADER],
        directory: config.data_dir.clone(),
        deadlines: shield::DEADLINES,
    };
    shield::listen(listener, limits)
        .map_err(|error| ServeError::System("start the shield".into(), error))
}

/// As the standard library does it, but `[::]` is IPv4 too whatever the system's default is (ipv6(7), `IPV6_V6ONLY`).
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn start_threads(
    worker: &Arc<Worker>,
    shield: &Arc<Shield>,
    server: &Arc<tiny_http::Server>,
    receivers: usize,
    senders: usize,
    place: Option<Place>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for n in 0..receivers {
        let (worker, shield, server) = (Arc::clone(worker), Arc::clone(shield), Arc::clone(server));
        threads.push(essential_thread::spawn(
            format!("receiver-{n}"),
            move || {
                worker.receive(&server, &shield);
            },
        )?);
    }
    for n in 0..senders {
        let worker = Arc::clone(worker);
        threads.push(essential_thread::spawn(format!("sender-{n}"), move || {
            worker.send()
        })?);
    }
    let (worker, shield) = (Arc::clone(worker), Arc::clone(shield));
    threads.push(essential_thread::spawn("writer".to_string(), move || {
        worker.write(place, &shield);
    })?);
    Ok(threads)
}

/// The two threads more where several processes share the outbox.
#[cfg(feature = "redis")]
fn start_shared(worker: &Arc<Worker>, leader: Leader) -> io::Result<[JoinHandle<()>; 2]> {
    let (appending, leading) = (Arc::clone(worker), Arc::clone(worker));
    Ok([
        essential_thread::spawn("appender".to_string(), move || appending.append())?,
        essential_thread::spawn("leader".to_string(), move || leader.run(leading.pool()))?,
    ])
}

/// Calls that are in flight come to their end. Without a disk, what is owed is sent as long as
/// there is time.
fn finish(worker: &Worker, threads: &[JoinHandle<()>], config: &Config) {
    let pool = worker.pool();
    let is_durable = pool.change(|outbox, _| outbox.is_durable());
    let within = if is_durable {
        CALLS_END_WITHIN
    } else {
        ECHOES_END_WITHIN - ANSWERS_END_WITHIN
    };
    let deadline = Instant::now() + within;
    worker.stop();
    while Instant::now() < deadline && !threads.iter().all(JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(5));
    }
    let (owed, unwritten) = pool.change(|outbox, _| (outbox.owed(), outbox.unwritten()));
    if unwritten > 0 {
        log::error!(
            "the outbox could not be written: what was sent last is sent again after the next start"
        );
    }
    match owed {
        0 => log::info!("stopped: nothing is owed"),
        owed if config.is_shared() => {
            log::info!("stopped: {owed} echoes are owed, and kept in the shared outbox");
        }
        owed if config.data_dir.is_some() && !is_durable => {
            log::error!("stopped: {owed} echoes are lost")
        }
        owed if is_durable => log::info!("stopped: {owed} echoes are owed, and kept on disk"),
        owed => log::warn!("stopped: {owed} echoes are owed; Messenger redelivers them"),
    }
}

#[cfg(test)]
mod tests {
    use super::receivers;

    #[test]
    fn one_of_32_threads_receives_and_there_is_one_left_to_send() {
        for (threads, expected) in [(2, 1), (3, 1), (4, 2), (64, 2), (1024, 32)] {
            assert_eq!(receivers(threads), expected, "{threads}");
        }
    }
}
