//! A Graph API that checks the calls it gets, and replies as it is told.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tiny_http::Request;

use super::account::{Account, AdminCall};
use super::http::{self, HttpServer, header, read_body};
use super::reply::Reply;
use super::{APP_SECRET, PAGE_ACCESS_TOKEN, hmac_hex, lock};
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
    account: Arc<Mutex<Account>>,
}

/// A call of the Send API.
#[derive(Debug, Clone)]
pub struct Call {
    /// The page-scoped id of the person.
    pub recipient: String,
    /// The text of the message.
    pub text: String,
    /// Why the real Graph API would refuse it, if it would.
    pub mistake: Option<String>,
    /// The request as it came: request line, headers that count, body.
    pub request: String,
}

/// Is called with the body of the answer to a call, right before it is sent.
pub type Answered = Box<dyn FnOnce(&str) + Send>;

impl GraphApi {
    /// Starts a Graph API behind this listener. `behave` decides the reply to each call of the Send
    /// API, and is not to wait. `any_bot`: every token and version is right, and any kind of
    /// message, for bots that have secrets of their own.
    ///
    /// # Errors
    /// When the system has no thread or no descriptor for it.
    pub fn start(
        listener: TcpListener,
        any_bot: bool,
        behave: impl Fn(&Call) -> (Reply, Answered) + Send + 'static,
    ) -> io::Result<GraphApi> {
        let account = Arc::new(Mutex::new(Account::default()));
        let administered = Arc::clone(&account);
        let mut count = 0;
        // Dropped, they would be answered 500.
        let mut hanging = Vec::new();
        let server = HttpServer::start(listener, LIMITS, move |mut request| {
            let path = request.url().split('?').next().unwrap_or_default();
            if !path.ends_with("/messages") {
                let account = Arc::clone(&administered);
                // It may make a handshake, and that takes time.
                thread::spawn(move || answer_admin_call(request, &account));
                return;
            }
            let call = Call::read(&mut request, any_bot);
            let (reply, answered) = behave(&call);
            if reply.is_hanging() {
                hanging.push(request);
                return;
            }
            count += 1;
            let (after, body) = (reply.after, body(&reply, &call, count));
            let answer = move || {
                thread::sleep(after);
                answered(&body);
                respond(request, &reply, &body);
            };
            if after.is_zero() {
                answer();
            } else {
                thread::spawn(answer);
            }
        })?;
        Ok(GraphApi { server, account })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Changes what it knows of app and page, or looks at it.
    pub fn account<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        change(&mut lock(&self.account))
    }
}

impl Call {
    fn read(request: &mut Request, any_bot: bool) -> Call {
        let body = read_body(request);
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        let recipient = json["recipient"]["id"].as_str();
        let text = match &json["message"]["text"] {
            Value::String(text) => text.clone(),
            // A template, or something else that only other bots send.
            _ => json["message"].to_string(),
        };
        let mistake = match recipient {
            None => Some("recipient.id is not a string".to_string()),
            Some(_) if any_bot => None,
            Some(_) => mistake(request, &json),
        };
        let mut as_text = format!("{} {} HTTP/1.1\n", request.method(), request.url());
        for header in request.headers() {
            as_text += &format!("{}: {}\n", header.field, header.value);
        }
        Call {
            recipient: recipient.unwrap_or_default().to_string(),
            text,
            mistake,
            request: as_text + "\n" + &String::from_utf8_lossy(&body),
        }
    }

    /// The real Graph API's reply to a call with a mistake.
    pub fn refusal(&self) -> Option<Reply> {
        let mistake = self.mistake.as_ref();
        mistake.map(|_| Reply::error(400, 100, None))
    }
}

/// What the real Graph API would refuse.
fn mistake(request: &Request, json: &Value) -> Option<String> {
    let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
    let kind = json["messaging_type"].as_str().unwrap_or_default();
    let found = [
        ("method", request.method().as_str()),
        ("target", request.url()),
        ("Authorization", header(request, "Authorization")),
        ("Content-Type", header(request, "Content-Type")),
        ("messaging_type", kind),
    ];
    let expected = [
        "POST",
        &format!("/v26.0/me/messages?appsecret_proof={proof}"),
        &format!("Bearer {PAGE_ACCESS_TOKEN}"),
        "application/json",
        "RESPONSE",
    ];
    let mut pairs = found.iter().zip(expected);
    let wrong = pairs.find(|((_, found), expected)| found != expected);
    if let Some(((name, found), expected)) = wrong {
        return Some(format!("{name} is {found:?} instead of {expected:?}"));
    }
    match json["message"]["text"].as_str().unwrap_or_default() {
        "" => Some("the text is empty".to_string()),
        text if text.encode_utf16().count() > MAX_TEXT => {
            Some(format!("the text is longer than {MAX_TEXT} characters"))
        }
        _ => None,
    }
}

fn answer_admin_call(mut request: Request, account: &Mutex<Account>) {
    let target = request.url().splitn(3, '/').nth(2).unwrap_or_default();
    let call = AdminCall {
        method: request.method().to_string(),
        target: target.to_string(),
        authorization: header(&request, "Authorization").to_string(),
        // A body that is no text is none that is understood.
        body: String::from_utf8(read_body(&mut request)).unwrap_or_default(),
    };
    let reply = lock(account).answer(&call);
    respond(request, &reply, reply.body.as_deref().unwrap_or_default());
}

/// The body of an answer; that of a delivery names recipient and message.
fn body(reply: &Reply, call: &Call, number: u64) -> String {
    let delivery = || {
        let message_id = format!("m_simulated_echo_{number}");
        json!({"recipient_id": call.recipient, "message_id": message_id}).to_string()
    };
    reply.body.clone().unwrap_or_else(delivery)
}

fn respond(request: Request, reply: &Reply, body: &str) {
    let mut headers = vec![("Content-Type", "application/json")];
    let header = reply.header.as_ref();
    headers.extend(header.map(|(name, value)| (*name, value.as_str())));
    http::respond(request, reply.status, &headers, body);
}
