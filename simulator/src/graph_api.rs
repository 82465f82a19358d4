//! A Graph API that reads the calls it gets, refuses what the real one refuses, and replies as it is told.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::event_log::{EventLog, message};
use super::http::{HttpServer, Request, Response, serve, wait};
use super::page_api::PageApi;
use super::parameters::Parameters;
use super::reply::Reply;
use super::{PEOPLE, lock, random, send_api};

/// A Graph API that runs until it is dropped.
pub struct GraphApi {
    pub(crate) server: HttpServer,
    pub(crate) calls: Arc<Calls>,
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
    /// With which reply the real Graph API would refuse it, if it would.
    pub refusal: Option<Reply>,
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
pub(crate) struct Calls {
    behave: Box<Behave>,
    pub(crate) log: Arc<EventLog>,
    /// What bots have set for the page.
    pub(crate) page: Mutex<PageApi>,
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
        let calls = Arc::new(Calls {
            behave: Box::new(behave),
            log: Arc::default(),
            page: Mutex::new(page),
        });
        for (id, ..) in PEOPLE {
            calls.log.know(id, id);
        }
        let shared = Arc::clone(&calls);
        let server = HttpServer::start(listener, move |socket| {
            serve(socket, socket, |request, socket| {
                shared.answer(request, socket)
            });
        })?;
        Ok(GraphApi { server, calls })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

impl Calls {
    /// All that becomes of a call: it is logged, decided, answered when it is time, and shown.
    pub(crate) fn answer(&self, request: &Request, socket: &TcpStream) -> Option<Response> {
        if let Some(file) = lock(&self.page).file(request.path()) {
            return Some(file);
        }
        let parameters = Parameters::of(request);
        if let ("", Value::Array(batch)) = (parameters.path.as_str(), parameters.get("batch")) {
            let token = parameters.text("access_token");
            let all = batch.iter().map(|one| self.answer_one(one, &token, socket));
            let all: Option<Vec<Value>> = all.collect();
            return Some(Response::new(200, JSON, Value::from(all?).to_string()));
        }
        let call = self.read(request, &parameters);
        let is_other = call.kind == Kind::Other;
        let person = call.person.as_ref().unwrap_or(&call.recipient);
        let what = if is_other { "other" } else { "call" };
        let exchange = self.log.requested(what, person, &call.request, None, None);
        let passed = || send_api::remark(&parameters).filter(|_| !is_other);
        let mistake = call.refusal.as_ref().and_then(Reply::words);
        if let Some(remark) = mistake.or_else(passed) {
            self.log.tell(exchange, "remark", &remark);
        }
        let mut reply = (self.behave)(&call);
        if is_other && reply.body.is_none() {
            let answer = lock(&self.page).answer(&parameters, &self.log);
            let answer = answer.map(|answer| Reply::answer(200, answer.to_string()));
            reply = answer.unwrap_or_else(|refusal| refusal).after(reply.after);
        }
        if !wait(socket, reply.after) {
            self.log
                .answered(exchange, None, "the bot did not wait for the answer");
            return None;
        }
        let mid = format!("m_sent_{:016x}", random());
        let body = reply.body.unwrap_or_else(|| {
            let mut delivered = json!({});
            // Somebody who was named otherwise than by an id stays unknown.
            if !parameters.get("recipient")["id"].is_null() {
                delivered["recipient_id"] = call.recipient.clone().into();
            }
            if call.kind == Kind::Message {
                delivered["message_id"] = mid.as_str().into();
            }
            delivered.to_string()
        });
        let header = reply.header.as_ref();
        let header = header.map_or(String::new(), |(name, value)| format!("{name}: {value}\n"));
        let answer = format!("{header}\n{body}");
        self.log.answered(exchange, Some(reply.status), &answer);
        match &call.kind {
            Kind::Message if reply.is_shown => {
                let mut shown = message(person, true, &call.text, parameters.get("message"));
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
    fn answer_one(&self, one: &Value, token: &str, socket: &TcpStream) -> Option<Value> {
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
        let is_send = parameters.path.ends_with("/messages") && request.method == "POST";
        let action = parameters.text("sender_action").to_lowercase();
        let recipient = send_api::recipient(parameters).unwrap_or_default();
        let message = parameters.get("message");
        let text = message["text"].as_str().map(str::to_string);
        let refusal = lock(&self.page).check_message(&recipient, parameters).err();
        Call {
            kind: match (is_send, action.is_empty()) {
                (false, _) => Kind::Other,
                (true, true) => Kind::Message,
                (true, false) => Kind::Action(action),
            },
            person: self.log.person(&recipient),
            recipient,
            text: text.unwrap_or_else(|| message.to_string()),
            refusal: refusal.filter(|_| is_send),
            request: request.head() + &String::from_utf8_lossy(&request.body),
        }
    }
}

const JSON: &str = "application/json; charset=UTF-8";
