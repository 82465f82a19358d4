//! Messenger as it is: webhooks come when they come, whether the ones before are answered or not.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::Line;

/// What became of the webhooks.
pub(crate) struct Delivered {
    /// When each was to be sent.
    pub(crate) due: Vec<Instant>,
    /// How long after that each was answered 200.
    pub(crate) acknowledged: Vec<Duration>,
    /// The connections that it took.
    pub(crate) connections: usize,
}

/// A webhook to be sent: its number, and when it was to be.
type Job = (usize, Instant);

/// Connections that wait for a webhook; the last is the one used last.
type Idle = Arc<Mutex<Vec<Sender<Job>>>>;

/// Sends so many requests a second. As a proxy does, it takes the idle connection that was used last, and opens one
/// only when none is idle.
pub(crate) fn open_loop(address: SocketAddr, requests: Vec<Vec<u8>>, per_second: u32) -> Delivered {
    let requests = Arc::new(requests);
    let idle = Idle::default();
    let (report, reports) = mpsc::channel();
    let begun = Instant::now();
    let due: Vec<Instant> = (0..requests.len())
        .map(|number| begun + Duration::from_secs_f64(number as f64 / f64::from(per_second)))
        .collect();
    let mut connections = 0;
    for (number, due) in due.iter().enumerate() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let free = lock(&idle).pop();
        let connection = free.unwrap_or_else(|| {
            connections += 1;
            open(address, &requests, &idle, report.clone())
        });
        connection.send((number, *due)).expect("an idle connection waits for a webhook");
    }
    let acknowledged = collect(&reports, requests.len());
    // Each connection that is no longer held here comes to its end.
    lock(&idle).clear();
    Delivered { due, acknowledged, connections }
}

fn open(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    idle: &Idle,
    report: Sender<(usize, Duration)>,
) -> Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let (requests, idle, own) = (Arc::clone(requests), Arc::clone(idle), sender.clone());
    thread::spawn(move || {
        let mut line = Line::new(address);
        let mut own = Some(own);
        todo!()
    });
    sender
}

fn collect(reports: &Receiver<(usize, Duration)>, count: usize) -> Vec<Duration> {
    let mut acknowledged = vec![Duration::ZERO; count];
    for _ in 0..count {
        let (number, took) = reports.recv().expect("a connection holds the other end");
        acknowledged[number] = took;
    }
    acknowledged
}

fn lock(idle: &Idle) -> MutexGuard<'_, Vec<Sender<Job>>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
