//! The simulated Graph API, with a record of its calls.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use echobot::simulator::{self, Kind, Reply};

use crate::account::{Account, mistake};

/// A Graph API that runs until it is dropped.
pub struct GraphApi {
    simulated: simulator::GraphApi,
    account: Arc<Mutex<Account>>,
    record: Arc<Record>,
}

/// A call of the Send API.
#[derive(Debug, Clone)]
pub struct Call {
    pub recipient: String,
    pub text: String,
    /// Why the real Graph API would refuse it, if it would.
    pub mistake: Option<String>,
    /// When it came.
    pub at: Instant,
    /// Whether it was answered as delivered.
    pub delivered: bool,
}

#[derive(Default)]
struct Record {
    calls: Mutex<Vec<Call>>,
    called: Condvar,
}

impl GraphApi {
    /// Starts a Graph API on a free loopback port. It answers calls that have no mistake as
    /// `behave` says, and all others as the real one does.
    pub fn start(behave: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> io::Result<GraphApi> {
        GraphApi::start_at("127.0.0.1:0", behave)
    }

    /// The same at an address of choice.
    pub fn start_at(
        address: &str,
        behave: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> io::Result<GraphApi> {
        let record = Arc::new(Record::default());
        let written = Arc::clone(&record);
        let account = Arc::new(Mutex::new(Account::default()));
        let asked = Arc::clone(&account);
        let behave = move |call: &simulator::Call| {
            if call.kind == Kind::Other {
                let mut account = asked.lock().expect("nobody panics with it");
                return account.answer(call);
            }
            let refused = || call.refusal.as_ref()?.words();
            let mistake = mistake(call).or_else(refused);
            let refusal = mistake.as_ref().map(|_| Reply::error(400, 100, None));
            let mut call = Call {
                recipient: call.recipient.clone(),
                text: call.text.clone(),
                mistake,
                at: Instant::now(),
                delivered: false,
            };
            let reply = refusal.unwrap_or_else(|| behave(&call));
            call.delivered = reply.body.is_none();
            let mut calls = written.calls.lock().expect("nobody panics with it");
            calls.push(call);
            drop(calls);
            written.called.notify_all();
            reply
        };
        let listener = TcpListener::bind(address)?;
        let simulated = simulator::GraphApi::start(listener, behave)?;
        Ok(GraphApi {
            simulated,
            account,
            record,
        })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        self.simulated.url()
    }

    /// Changes what it knows of app and page, or looks at it.
    pub fn account<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        change(&mut self.account.lock().expect("nobody panics with it"))
    }

    /// All calls of the Send API up to now, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.wait_until(Duration::ZERO, |_| true)
    }

    /// Waits for so many calls; returns all there are then, or fewer when time is up.
    pub fn wait_for_calls(&self, count: usize, at_most: Duration) -> Vec<Call> {
        self.wait_until(at_most, |calls| calls.len() >= count)
    }

    /// Waits until the calls are as wanted, or time is up; returns all there are then.
    pub fn wait_until(&self, at_most: Duration, wanted: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let calls = self.record.calls.lock();
        let calls = calls.unwrap_or_else(PoisonError::into_inner);
        let is_unwanted = |calls: &mut Vec<Call>| !wanted(calls);
        let waited = self
            .record
            .called
            .wait_timeout_while(calls, at_most, is_unwanted);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}
