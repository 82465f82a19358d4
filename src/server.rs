//! From the start to the end: threads, signals, and the way down.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::Level;
use rustix::net::{self, SocketAddrAny, SocketFlags, SocketType, sockopt};

use crate::account;
use crate::config::Config;
use crate::descriptors;
use crate::echo::Reply;
use crate::essential_thread;
use crate::event::Event;
use crate::logger;
use crate::outbox::{Limits, Outbox};
use crate::place::Place;
use crate::pool::Pool;
use crate::shield::{self, Shield};
use crate::signals;
use crate::store::StoreError;
use crate::watchdog;
use crate::worker::Worker;

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
pub struct ServeError {
    line: String,
    exit_code: u8,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for ServeError {}

impl ServeError {
    /// What a program that ends with it exits with: 2 where a setting is wrong, 75 where another bot uses the data
    /// directory, which may be over soon (sysexits.h, `EX_TEMPFAIL`), else 1.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

/// Serves until SIGTERM or SIGINT, then finishes what it has begun. `reply` is the bot: what an
/// event is answered with, if it is.
///
/// # Errors
/// [`ServeError`] when it cannot start, or when it receives no requests any more.
pub fn serve(config: &Config, reply: fn(&Event) -> Option<Reply>) -> Result<(), ServeError> {
    let started = logger::start(config.log_level);
    let _flush = started.map_err(system("start the log"))?;
    let port = signals::watch(config.systemd.clone()).map_err(system("watch signals"))?;
    let share = descriptors::claim(config.threads).map_err(system("get enough open files"))?;
    let (place, kept) = Place::open(config).map_err(|error| ServeError {
        line: error.to_string(),
        exit_code: [2, 75][usize::from(matches!(error, StoreError::Busy(_)))],
    })?;
    let (shield, server) = listen(config, share.connections)?;
    let outbox = Outbox::new(limits(config, share.threads, &place), kept, Instant::now());
    let page = account::watch(config).map_err(system("start watching the subscription"))?;
    let worker = Worker::new(config, Pool::new(outbox), reply, page, server, shield);
    let worker = Arc::new(worker);
    let _ = port.set(Arc::clone(&worker.shield));
    let threads = start(&worker, share.threads, place);
    let threads = threads.map_err(system("start the threads"))?;
    let ended = wait(&worker, config);
    finish(&worker, &threads, config);
    ended
}

fn system(what: &str) -> impl Fn(io::Error) -> ServeError {
    move |error| {
        let advice = "; allow more threads (ulimit -u, TasksMax=), or lower THREADS";
        let advice = ["", advice][usize::from(error.kind() == ErrorKind::WouldBlock)];
        let line = format!("failed to {what}: {error}{advice}");
        ServeError { line, exit_code: 1 }
    }
}

fn limits(config: &Config, threads: usize, place: &Place) -> Limits {
    let senders = threads - receivers(threads);
    Limits {
        max_pending: config.max_pending,
        send_rate: config.send_rate,
        // Half of the calls are for people whose messages get through.
        max_retries: senders.div_ceil(2),
        max_repeated: senders + senders.div_ceil(UNWRITTEN_SHARE),
        durable: !matches!(place, Place::Memory),
    }
}

/// How many of the threads receive.
fn receivers(threads: usize) -> usize {
    match threads {
        0..4 => 1,
        _ => (threads / RECEIVING_SHARE).max(2),
    }
}

fn listen(config: &Config, connections: usize) -> Result<(Shield, tiny_http::Server), ServeError> {
    let mut bound = Err(ErrorKind::AddrNotAvailable.into());
    for address in &config.listen {
        bound = bound.or_else(|_| bind(*address));
    }
    let listener = bound.map_err(|error: io::Error| {
        let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => {
                "a port below 1024 needs a privilege (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE): grant it, or set \
                 PORT to a higher one, behind a reverse proxy"
            }
            _ => "choose another address with BIND and PORT",
        };
        let error = io::Error::other(format!("{error}; {advice}"));
        system(&format!("listen on {}", addresses.join(" and ")))(error)
    })?;
    let limits = shield::Limits {
        connections,
        directory: config.data_dir.clone(),
        deadlines: shield::DEADLINES,
    };
    shield::listen(listener, limits).map_err(system("start the shield"))
}

/// Binds like the standard library, but `[::]` also accepts IPv4, whatever the system's default is (ipv6(7), `IPV6_V6ONLY`).
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = SocketAddrAny::from(address).address_family();
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn start(worker: &Arc<Worker>, threads: usize, place: Place) -> io::Result<Vec<JoinHandle<()>>> {
    let mut started = Vec::new();
    for n in 0..threads {
        let worker = Arc::clone(worker);
        started.push(match n < receivers(threads) {
            true => essential_thread::spawn(format!("receiver-{n}"), move || worker.receive())?,
            false => essential_thread::spawn(format!("sender-{n}"), move || worker.send())?,
        });
    }
    if let Place::Shared(log) = &place {
        let (leader, worker) = (log.leader(), Arc::clone(worker));
        let lead = move || leader.run(&worker.pool, || worker.page.outbox_owner());
        started.push(essential_thread::spawn("leader".to_string(), lead)?);
    }
    let (writer, worker) = (Arc::clone(worker), Arc::downgrade(worker));
    let write = move || writer.write(place);
    started.push(essential_thread::spawn("writer".to_string(), write)?);
    // The writer cannot answer what a disk keeps it from writing.
    let answer_late = move || {
        while let Some(next) = worker.upgrade().map(|worker| worker.answer_late()) {
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    };
    essential_thread::spawn("late".to_string(), answer_late)?;
    Ok(started)
}

/// Tells that it has started, and waits until the port is closed and what has begun to arrive is answered.
fn wait(worker: &Arc<Worker>, config: &Config) -> Result<(), ServeError> {
    let shield = &worker.shield;
    let (address, path) = (shield.address(), &config.webhook_path);
    log::info!("listening on http://{address}{path}");
    config.systemd.tell("READY=1");
    let fed = watchdog::start(config.systemd.clone(), Arc::clone(worker));
    fed.map_err(system("start the watchdog"))?;
    let ended = shield.wait().map_err(system("receive requests"));
    if let Err(error) = &ended {
        log::error!("stopping, so that the bot can be restarted: {error}");
        shield.close();
    }
    if !shield.wait_until_answered(ANSWERS_END_WITHIN) {
        log::warn!("some requests were not answered in time");
    }
    ended
}

/// Calls that are in flight come to their end. Without a disk, what is owed is sent as long as
/// there is time.
fn finish(worker: &Worker, threads: &[JoinHandle<()>], config: &Config) {
    let pool = &worker.pool;
    let is_durable = pool.change(|outbox, _| outbox.limits.durable);
    let within = match is_durable {
        true => CALLS_END_WITHIN,
        false => ECHOES_END_WITHIN - ANSWERS_END_WITHIN,
    };
    let deadline = Instant::now() + within;
    threads.iter().for_each(|_| worker.server.unblock());
    pool.stop();
    while Instant::now() < deadline && !threads.iter().all(JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(5));
    }
    let (owed, unwritten) = pool.change(|outbox, _| (outbox.kept(), outbox.unwritten()));
    if unwritten > 0 {
        log::error!(
            "failed to write the outbox: the last echoes may be sent again after the next start"
        );
    }
    let (level, fate) = match (is_durable, &config.shared, &config.data_dir) {
        _ if owed == 0 => return log::info!("stopped: nothing is owed"),
        (true, Some(_), _) => (Level::Info, "owed, and kept in the shared outbox"),
        (true, None, _) => (Level::Info, "owed, and kept on disk"),
        (false, _, Some(_)) => (Level::Error, "lost"),
        (false, _, None) => (Level::Warn, "owed; Messenger redelivers them"),
    };
    log::log!(level, "stopped: {owed} echoes are {fate}");
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
