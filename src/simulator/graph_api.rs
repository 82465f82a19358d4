//! A Graph API that checks what it is sent, and behaves as it is told.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_http::Request;

use super::account::{Account, Wish};
use super::http::{self, HttpServer, header, read_body};
use super::reply::Reply;
use super::{APP_SECRET, PAGE_ACCESS_TOKEN, hmac_hex};
use crate::shield::{DEADLINES, Limits};

/// The longest text of one message, in characters (Send API reference).
const MAX_TEXT: usize = 2000;

const LIMITS: Limits = Limits {
    connections: 2048,
    requests: 2048,
    headers_passed: &["Authorization", "Content-Type"],
    directory: None,
    deadlines: DEADLINES,
};

/// A Graph API that runs until it is dropped.
pub struct GraphApi {
    server: HttpServer,
    shared: Arc<Shared>,
}

/// A call of the Send API.
#[derive(Debug, Clone)]
pub struct Call {
    /// The page-scoped id of the person.
    pub recipient: String,
    /// The text of the message.
    pub text: String,
    /// When it came.
    pub at: Instant,
    /// Why the real Graph API would refuse it, if it would.
    pub mistake: Option<String>,
    /// Whether it was answered as delivered.
    pub delivered: bool,
    /// The request as it came: request line, headers that count, body.
    pub request: String,
}

/// Is told of a call, of the reply, and of the reply's body.
pub(super) type Observer = Box<dyn Fn(&Call, &Reply, &str) + Send + Sync>;

/// How a Graph API is to be.
pub struct Manner {
    /// Whether every token and version is right, and any kind of message: for bots that have
    /// secrets of their own.
    pub any_bot: bool,
    /// The reply to a call that has no mistake.
    pub behave: Box<dyn Fn(&Call) -> Reply + Send + Sync>,
    /// Is told of every call.
    pub observe: Observer,
}

struct Shared {
    manner: Manner,
    account: Mutex<Account>,
    calls: Mutex<Vec<Call>>,
    called: Condvar,
    /// Requests that are never answered.
    hanging: Mutex<Vec<Request>>,
}

impl GraphApi {
    /// Starts a Graph API on a free loopback port. It answers calls that have no mistake as
    /// `behave` says, and all others as the real one does.
    ///
    /// # Errors
    /// When the system has no port or no thread for it.
    pub fn start(behave: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> io::Result<GraphApi> {
        GraphApi::start_at("127.0.0.1:0", behave)
    }

    /// The same at an address of choice.
    ///
    /// # Errors
    /// When the address is not free, or the system has no thread for it.
    pub fn start_at(
        address: &str,
        behave: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> io::Result<GraphApi> {
        let manner = Manner {
            any_bot: false,
            behave: Box::new(behave),
            observe: Box::new(|_, _, _| ()),
        };
        GraphApi::in_manner(TcpListener::bind(address)?, manner)
    }

    /// The same where this listens, in any manner.
    ///
    /// # Errors
    /// When the system has no thread or no descriptor for it.
    pub fn in_manner(listener: TcpListener, manner: Manner) -> io::Result<GraphApi> {
        let shared = Arc::new(Shared {
            manner,
            account: Mutex::default(),
            calls: Mutex::default(),
            called: Condvar::new(),
            hanging: Mutex::default(),
        });
        let receiver = Arc::clone(&shared);
        let server = HttpServer::start(listener, LIMITS, move |request| {
            let path = request.url().split('?').next().unwrap_or_default();
            if path.ends_with("/messages") {
                receiver.receive(request);
            } else {
                let shared = Arc::clone(&receiver);
                // It may make a handshake, and that takes time.
                thread::spawn(move || shared.answer_wish(request));
            }
        })?;
        Ok(GraphApi { server, shared })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Changes what it knows of app and page, or looks at it.
    pub fn account<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        change(&mut lock(&self.shared.account))
    }

    /// All calls of the Send API up to now, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// Waits for so many calls; returns all there are then, or fewer when time is up.
    pub fn wait_for_calls(&self, count: usize, at_most: Duration) -> Vec<Call> {
        self.wait_until(at_most, |calls| calls.len() >= count)
    }

    /// Waits until the calls are as wanted, or time is up; returns all there are then.
    pub fn wait_until(&self, at_most: Duration, wanted: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let calls = lock(&self.shared.calls);
        let waited = self
            .shared
            .called
            .wait_timeout_while(calls, at_most, |calls| !wanted(calls));
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl Shared {
    fn answer_wish(&self, mut request: Request) {
        let wish = read_wish(&mut request);
        let reply = lock(&self.account).answer(&wish);
        let body = reply.body.unwrap_or_default();
        let headers = [("Content-Type", "application/json")];
        http::respond(request, reply.status, &headers, body);
    }

    fn receive(&self, mut request: Request) {
        let mut call = read_call(&mut request, self.manner.any_bot);
        let reply = match &call.mistake {
            Some(_) => Reply::error(400, 100, None),
            None => (self.manner.behave)(&call),
        };
        call.delivered = call.mistake.is_none() && reply.body.is_none();
        let mut calls = lock(&self.calls);
        let body = reply
            .body
            .clone()
            .unwrap_or_else(|| delivery(&call, calls.len()));
        calls.push(call.clone());
        drop(calls);
        self.called.notify_all();
        (self.manner.observe)(&call, &reply, &body);
        if reply.is_hanging() {
            return lock(&self.hanging).push(request);
        }
        let answer = move || {
            let mut headers = vec![("Content-Type", "application/json")];
            headers.extend(
                reply
                    .header
                    .as_ref()
                    .map(|(name, value)| (*name, value.as_str())),
            );
            http::respond(request, reply.status, &headers, body);
        };
        if reply.after.is_zero() {
            answer();
        } else {
            thread::spawn(move || {
                thread::sleep(reply.after);
                answer();
            });
        }
    }
}

fn read_wish(request: &mut Request) -> Wish {
    // A body that is no text is none that is understood.
    let body = String::from_utf8(read_body(request)).unwrap_or_default();
    Wish {
        method: request.method().to_string(),
        target: request
            .url()
            .splitn(3, '/')
            .nth(2)
            .unwrap_or_default()
            .to_string(),
        authorization: header(request, "Authorization").to_string(),
        body,
    }
}

fn read_call(request: &mut Request, any_bot: bool) -> Call {
    let body = read_body(request);
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let recipient = &message["recipient"]["id"];
    let mistake = if any_bot {
        (!recipient.is_string()).then(|| "recipient.id is not a string".to_string())
    } else {
        mistake(request, &message)
    };
    Call {
        recipient: text(recipient),
        text: match &message["message"]["text"] {
            Value::String(text) => text.clone(),
            // A template, or something else that only other bots send.
            _ => message["message"].to_string(),
        },
        at: Instant::now(),
        mistake,
        delivered: false,
        request: as_text(request, &body),
    }
}

fn as_text(request: &Request, body: &[u8]) -> String {
    let mut text = format!("{} {} HTTP/1.1\n", request.method(), request.url());
    for header in request.headers() {
        text += &format!("{}: {}\n", header.field, header.value);
    }
    text + "\n" + &String::from_utf8_lossy(body)
}

/// What the real Graph API would refuse.
fn mistake(request: &Request, message: &Value) -> Option<String> {
    let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
    let target = format!("/v26.0/me/messages?appsecret_proof={proof}");
    let text = message["message"]["text"].as_str().unwrap_or_default();
    let wrong = [
        (
            request.method().as_str() != "POST",
            "the method is not POST",
        ),
        (request.url() != target, "path or appsecret_proof is wrong"),
        (
            header(request, "Authorization") != format!("Bearer {PAGE_ACCESS_TOKEN}"),
            "the bearer token is wrong",
        ),
        (
            header(request, "Content-Type") != "application/json",
            "the content type is not application/json",
        ),
        (
            message["messaging_type"] != "RESPONSE",
            "messaging_type is not RESPONSE",
        ),
        (
            !message["recipient"]["id"].is_string(),
            "recipient.id is not a string",
        ),
        (text.is_empty(), "the text is empty"),
        (
            text.encode_utf16().count() > MAX_TEXT,
            "the text is longer than 2000 characters",
        ),
    ];
    wrong
        .iter()
        .find(|(is_wrong, _)| *is_wrong)
        .map(|(_, what)| (*what).to_string())
}

fn delivery(call: &Call, number: usize) -> String {
    json!({"recipient_id": call.recipient, "message_id": format!("m_simulated_echo_{number}")})
        .to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
