//! A Graph API that reads the calls it gets, refuses what the real one refuses, and replies as it is told.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::event_log::{EventLog, message};
use super::http::{Handler, HttpServer, Request, Response, serve, wait};
use super::page_api::PageApi;
use super::parameters::Parameters;
use super::reply::Reply;
use super::{lock, random, send_api};

/// A Graph API that runs until it is dropped.
pub struct GraphApi {
    server: HttpServer,
    /// What answers requests that come in another way.
    pub(crate) handler: Arc<Handler>,
    pub(crate) log: Arc<EventLog>,
    /// What bots have set for the page.
    pub(crate) page: Arc<Mutex<PageApi>>,
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it is: of the Send API, or any other.
    pub kind: Kind,
    /// The id of the person, or what they are named by otherwise, of a call of the Send API.
    pub recipient: String,
    /// Their id, when they have written.
    pub person: Option<String>,
    /// The text of the message, or the message as JSON where it has none.
    pub text: String,
    /// The message as it was sent.
    pub message: Value,
    /// Why the real Graph API would refuse it, if it would.
    pub mistake: Option<String>,
    /// With which reply, then.
    pub(crate) refusal: Option<Reply>,
    /// The request as it came: request line, headers, body.
    pub request: String,
}

/// What a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Sends a message.
    Message,
    /// Shows that the bot has seen the message, or types.
    Action(String),
    /// Asks for something, or sets something.
    Other,
}

/// Decides the reply to a call; [`Reply::deliver`]: nothing is in the way of what the Graph API would reply.
type Behave = dyn Fn(&Call) -> Reply + Send + Sync;

/// What the connections share.
struct Calls {
    behave: Box<Behave>,
    log: Arc<EventLog>,
    page: Arc<Mutex<PageApi>>,
}

impl GraphApi {
    /// Starts a Graph API behind this listener. `behave` decides the reply to each call. Every token is right, and every
    /// version, because bots have secrets of their own.
    ///
    /// # Errors
    /// When the system has no thread or no descriptor for it.
    pub fn start(
        listener: TcpListener,
        behave: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> io::Result<GraphApi> {
        let page = PageApi::new(format!("http://{}", listener.local_addr()?));
        let (log, page) = (Arc::<EventLog>::default(), Arc::new(Mutex::new(page)));
        let calls = Calls {
            behave: Box::new(behave),
            log: Arc::clone(&log),
            page: Arc::clone(&page),
        };
        let handler: Arc<Handler> = Arc::new(move |request, socket| calls.answer(request, socket));
        let answers = Arc::clone(&handler);
        Ok(GraphApi {
            server: HttpServer::start(listener, move |socket| serve(socket, socket, &*answers))?,
            handler,
            log,
            page,
        })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

impl Calls {
    /// All that becomes of a call: it is logged, decided, answered when it is time, and shown.
    fn answer(&self, request: &Request, socket: &TcpStream) -> Option<Response> {
        if let Some(file) = lock(&self.page).file(request.path()) {
            return Some(file);
        }
        let parameters = Parameters::of(request);
        let is_root = without_version(request.path()).trim_matches('/').is_empty();
        if let (true, Value::Array(batch)) = (is_root, parameters.get("batch")) {
            let one = |one| self.answer_one(&parameters.text("access_token"), one, socket);
            let all: Option<Vec<Value>> = batch.iter().map(one).collect();
            return Some(Response::new(200, JSON, Value::from(all?).to_string()));
        }
        let call = self.read(request, &parameters);
        let is_other = call.kind == Kind::Other;
        let person = call.person.as_ref().unwrap_or(&call.recipient);
        let what = if is_other { "other" } else { "call" };
        let exchange = self.log.requested(what, person, &call.request, None, None);
        let passed = || send_api::remark(&parameters).filter(|_| !is_other);
        if let Some(remark) = call.mistake.clone().or_else(passed) {
            self.log.tell(exchange, "remark", &remark);
        }
        let mut reply = (self.behave)(&call);
        if is_other && reply.body.is_none() {
            reply = self.other(request, &parameters).after(reply.after);
        }
        if !wait(socket, reply.after) {
            let words = "the bot did not wait for the answer";
            self.log.answered(exchange, None, words);
            return None;
        }
        let mid = format!("m_sent_{:016x}", random());
        let delivered = || delivered(&call, &parameters, &mid);
        let body = reply.body.unwrap_or_else(delivered);
        let header = reply.header.as_ref();
        let header = header.map_or(String::new(), |(name, value)| format!("{name}: {value}\n"));
        let answer = format!("{header}\n{body}");
        self.log.answered(exchange, Some(reply.status), &answer);
        match &call.kind {
            Kind::Message if reply.is_shown => {
                let mut shown = message(person, true, &call.text, &call.message);
                (shown["persona"], shown["files"]) = lock(&self.page).shown(&parameters);
                (shown["exchange"], shown["mid"]) = (exchange.into(), mid.into());
                self.log.reached(shown);
            }
            Kind::Action(action) if reply.is_shown => self.log.acted(person, action),
            _ => {}
        }
        let is_html = body.starts_with('<');
        let content_type = if is_html { "text/html" } else { JSON };
        let mut response = Response::new(reply.status, content_type, body);
        response.headers += &header;
        Some(response)
    }

    /// One call of a batch (Graph API, "Batch Requests").
    fn answer_one(&self, token: &str, one: &Value, socket: &TcpStream) -> Option<Value> {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_string();
        let request = Request {
            method: text("method").to_uppercase(),
            target: format!("/{}", text("relative_url").trim_start_matches('/')),
            headers: format!("Authorization: Bearer {token}\n"),
            body: text("body").into_bytes(),
            ..Request::default()
        };
        let response = self.answer(&request, socket)?;
        let body = String::from_utf8_lossy(&response.body);
        Some(json!({"code": response.status, "headers": [], "body": body}))
    }

    fn read(&self, request: &Request, parameters: &Parameters) -> Call {
        let is_send = request.path().ends_with("/messages") && request.method == "POST";
        let action = parameters.text("sender_action").to_lowercase();
        let recipient = send_api::recipient(parameters).unwrap_or_default();
        let message = parameters.get("message").clone();
        let text = message["text"].as_str().map(str::to_string);
        let check = || self.check(parameters, &recipient).err();
        let refusal = if is_send { check() } else { None };
        Call {
            kind: match (is_send, action.is_empty()) {
                (false, _) => Kind::Other,
                (true, true) => Kind::Message,
                (true, false) => Kind::Action(action),
            },
            person: self.log.person(&recipient),
            recipient,
            text: text.unwrap_or_else(|| message.to_string()),
            message,
            mistake: refusal.as_ref().and_then(Reply::words),
            refusal,
            request: request.head() + &String::from_utf8_lossy(&request.body),
        }
    }

    /// Whether the real Send API would take the call.
    fn check(&self, parameters: &Parameters, recipient: &str) -> Result<(), Reply> {
        if parameters.text("access_token").is_empty() {
            return Err(Reply::error(400, 2500, None));
        }
        send_api::check(parameters)?;
        lock(&self.page).check_message(recipient, parameters)
    }

    /// A call that is not for the Send API.
    fn other(&self, request: &Request, parameters: &Parameters) -> Reply {
        let path = without_version(request.path());
        let method = match parameters.get("method").as_str() {
            Some(method) if request.method == "POST" => method.to_uppercase(),
            _ => request.method.clone(),
        };
        let tokens = ["access_token", "input_token", "grant_type"];
        if tokens.iter().all(|name| parameters.get(name).is_null()) {
            return Reply::error(400, 104, None);
        }
        let is_known = |id: &str| self.log.person(id).is_some();
        lock(&self.page).answer(&method, path, parameters, &is_known)
    }
}

/// The answer to a message that was delivered; somebody who was named otherwise than by an id stays unknown.
fn delivered(call: &Call, parameters: &Parameters, mid: &str) -> String {
    let mut body = json!({});
    if !parameters.get("recipient")["id"].is_null() {
        body["recipient_id"] = call.recipient.clone().into();
    }
    if call.kind == Kind::Message {
        body["message_id"] = mid.into();
    }
    body.to_string()
}

const JSON: &str = "application/json; charset=UTF-8";

/// `/v26.0/me` -> `/me`.
fn without_version(path: &str) -> &str {
    match path
        .strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((version, _)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            &path[2 + version.len()..]
        }
        _ => path,
    }
}
