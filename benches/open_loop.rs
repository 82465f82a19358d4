//! Messenger as it is: webhooks come when they come, whether the ones before are answered or not.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::Line;

/// Something is badly wrong when an answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of the webhooks.
pub(crate) struct Delivered {
    /// When each was to be sent.
    pub(crate) due: Vec<Instant>,
    /// When each was sent: later, when this process did not get the processor in time.
    sent: Vec<Instant>,
    /// How long after it was due each was answered 200.
    pub(crate) acknowledged: Vec<Duration>,
    /// How often one was sent again.
    pub(crate) again: usize,
    /// The connections that it took.
    pub(crate) connections: usize,
}

impl Delivered {
    /// Waits until all are answered.
    fn collect(&mut self, reports: &Receiver<Report>) {
        for _ in 0..self.due.len() {
            let report = reports.recv_timeout(PATIENCE);
            let report = report.expect("every webhook is answered 200 in the end");
            self.sent[report.number] = report.sent;
            self.acknowledged[report.number] = report.took;
            self.again += report.again;
        }
    }

    /// Whether a webhook was not yet answered when a later one was sent: then nobody can say which came first.
    pub(crate) fn was_underway(&self, number: usize, later: usize) -> bool {
        self.sent[later] < self.due[number] + self.acknowledged[number]
    }
}

/// One webhook was answered 200.
struct Report {
    number: usize,
    sent: Instant,
    took: Duration,
    again: usize,
}

/// A webhook to be sent over a connection, which is idle again afterwards.
struct Job {
    number: usize,
    due: Instant,
    connection: Sender<Job>,
}

/// What the connections share.
#[derive(Clone)]
struct Pool {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    /// The last is the one used last.
    idle: Arc<Mutex<Vec<Sender<Job>>>>,
    report: Sender<Report>,
}

/// Sends so many requests a second. As a proxy does, it takes the idle connection that was used last, and opens one
/// only when none is idle.
pub(crate) fn open_loop(address: SocketAddr, requests: Vec<Vec<u8>>, per_second: u32) -> Delivered {
    let begun = Instant::now();
    let due = (0..requests.len())
        .map(|number| begun + number as u32 * Duration::from_secs(1) / per_second);
    let due: Vec<Instant> = due.collect();
    let (report, reports) = mpsc::channel();
    let pool = Pool {
        address,
        requests: Arc::new(requests),
        idle: Arc::default(),
        report,
    };
    let connections = pool.send_all(&due);
    let mut delivered = Delivered {
        sent: due.clone(),
        acknowledged: vec![Duration::ZERO; due.len()],
        due,
        again: 0,
        connections,
    };
    delivered.collect(&reports);
    // Connections that nobody knows any longer come to their end.
    pool.idle().clear();
    delivered
}

impl Pool {
    /// Returns how many connections it took.
    fn send_all(&self, due: &[Instant]) -> usize {
        let mut connections = 0;
        for (number, due) in due.iter().copied().enumerate() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let idle = self.idle().pop();
            let worker = idle.unwrap_or_else(|| {
                connections += 1;
                self.open()
            });
            let connection = worker.clone();
            let sent = worker.send(Job {
                number,
                due,
                connection,
            });
            sent.expect("an idle connection waits for webhooks");
        }
        connections
    }

    fn open(&self) -> Sender<Job> {
        let (worker, jobs) = mpsc::channel::<Job>();
        let pool = self.clone();
        thread::spawn(move || {
            let mut line = Line::new(pool.address);
            for job in jobs {
                let number = job.number;
                let sent = Instant::now();
                let again = line.deliver(&pool.requests[number]);
                let took = job.due.elapsed();
                pool.idle().push(job.connection);
                let _ = pool.report.send(Report {
                    number,
                    sent,
                    took,
                    again,
                });
            }
        });
        worker
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Sender<Job>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
