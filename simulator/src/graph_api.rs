//! A Graph API that reads the calls it gets, refuses what the real one refuses, and replies as it is told.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::event_log::{EventLog, message};
use super::http::{Handler, HttpServer, Request, Response};
use super::page_api::PageApi;
use super::parameters::Parameters;
use super::reply::Reply;
use super::{lock, random, send_api};

/// A Graph API that runs until it is dropped.
pub struct GraphApi {
    server: HttpServer,
    calls: Arc<Calls>,
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it is: of the Send API, or any other.
    pub kind: Kind,
    /// The id of the person, or what they are named by otherwise, of a call of the Send API.
    pub recipient: String,
    /// The text of the message, or the message as JSON where it has none.
    pub text: String,
    /// The message as it was sent.
    pub message: Value,
    /// Why the real Graph API would refuse it, if it would.
    pub mistake: Option<String>,
    /// Something that the real one lets pass, and should not be so.
    pub remark: Option<String>,
    /// With which reply, then.
    refusal: Option<Reply>,
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

impl Call {
    /// The real Graph API's reply to a call with a mistake.
    pub fn refusal(&self) -> Option<Reply> {
        self.refusal.clone()
    }
}

/// Decides the reply to a call; [`Reply::deliver`]: nothing is in the way of what the Graph API would reply.
type Behave = dyn Fn(&Call) -> Reply + Send + Sync;

/// What the connections share.
struct Calls {
    behave: Box<Behave>,
    log: Arc<EventLog>,
    page: Mutex<PageApi>,
    /// Other runs have other ids.
    run: u64,
    messages: AtomicU64,
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
        GraphApi::with_log(listener, Arc::new(EventLog::new()), behave)
    }

    /// The same, which writes into this log.
    pub(crate) fn with_log(
        listener: TcpListener,
        log: Arc<EventLog>,
        behave: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> io::Result<GraphApi> {
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(Calls {
            behave: Box::new(behave),
            log,
            page: Mutex::new(PageApi::new(url)),
            run: random(),
            messages: AtomicU64::new(0),
        });
        let server = HttpServer::start(listener, handler(&calls))?;
        Ok(GraphApi { server, calls })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What bots have set for the page.
    pub(crate) fn page<T>(&self, change: impl FnOnce(&mut PageApi) -> T) -> T {
        change(&mut lock(&self.calls.page))
    }

    /// What answers requests that come in another way.
    pub(crate) fn handler(&self) -> Arc<Handler> {
        handler(&self.calls)
    }
}

fn handler(calls: &Arc<Calls>) -> Arc<Handler> {
    let calls = Arc::clone(calls);
    Arc::new(move |request, waits| calls.answer(request, waits))
}

impl Calls {
    /// All that becomes of a call: it is logged, decided, answered when it is time, and shown.
    fn answer(&self, request: &Request, waits: &dyn Fn(Duration) -> bool) -> Option<Response> {
        let file = lock(&self.page).file(request.path());
        if file.is_some() {
            return file;
        }
        let parameters = Parameters::of(request);
        let batch = parameters.get("batch").as_array();
        if let Some(batch) =
            batch.filter(|_| without_version(request.path()).trim_matches('/').is_empty())
        {
            let all = batch
                .iter()
                .map(|one| self.answer_one(request, &parameters, one, waits));
            let all = Value::Array(all.collect::<Option<_>>()?);
            return Some(Response::new(200, JSON, all.to_string()));
        }
        let call = self.read(request, &parameters);
        let what = if call.kind == Kind::Other {
            "other"
        } else {
            "call"
        };
        let person = self
            .log
            .person(&call.recipient)
            .unwrap_or(call.recipient.clone());
        let exchange = self.log.requested(what, &person, None, None, &call.request);
        if let Some(remark) = call.mistake.as_ref().or(call.remark.as_ref()) {
            self.log.remark(exchange, remark);
        }
        let mut reply = (self.behave)(&call);
        if call.kind == Kind::Other && reply.body.is_none() {
            reply = self.other(request, &parameters).after(reply.after);
        }
        if !waits(reply.after) {
            self.log
                .answered(exchange, None, "the bot did not wait for the answer");
            return None;
        }
        let mid = format!(
            "m_sent_{:016x}_{}",
            self.run,
            self.messages.fetch_add(1, Ordering::SeqCst)
        );
        let body = reply
            .body
            .unwrap_or_else(|| delivered(&call, &parameters, &mid));
        let header = reply
            .header
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        self.log.answered(
            exchange,
            Some(reply.status),
            &(header.collect::<String>() + "\n" + &body),
        );
        match &call.kind {
            Kind::Message if reply.is_shown => {
                let mut shown = message(&person, true, &call.text, &call.message, &mid.into());
                (shown["persona"], shown["files"]) = lock(&self.page).shown(&parameters);
                shown["exchange"] = exchange.into();
                self.log.reached(shown);
            }
            Kind::Action(action) if reply.is_shown => self.log.acted(&person, action),
            _ => {}
        }
        let content_type = if body.starts_with('<') {
            "text/html"
        } else {
            JSON
        };
        let mut response = Response::new(reply.status, content_type, body);
        response.headers.extend(reply.header);
        Some(response)
    }

    /// One call of a batch (Graph API, "Batch Requests").
    fn answer_one(
        &self,
        batch: &Request,
        shared: &Parameters,
        one: &Value,
        waits: &dyn Fn(Duration) -> bool,
    ) -> Option<Value> {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_string();
        let body = text("body");
        let content_type = if body.starts_with('{') { JSON } else { FORM };
        let mut headers = batch.headers.clone();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        headers.push(("Content-Type".to_string(), content_type.to_string()));
        headers.push((
            "Authorization".to_string(),
            format!("Bearer {}", shared.text("access_token")),
        ));
        let response = self.answer(
            &Request {
                method: text("method").to_uppercase(),
                target: format!("/{}", text("relative_url").trim_start_matches('/')),
                headers,
                body: body.into_bytes(),
            },
            waits,
        )?;
        Some(
            json!({"code": response.status, "headers": [], "body": String::from_utf8_lossy(&response.body)}),
        )
    }

    fn read(&self, request: &Request, parameters: &Parameters) -> Call {
        let is_send = request.path().ends_with("/messages") && request.method == "POST";
        let action = parameters.text("sender_action").to_lowercase();
        let message = parameters.get("message");
        let mut call = Call {
            kind: match (is_send, action.is_empty()) {
                (false, _) => Kind::Other,
                (true, true) => Kind::Message,
                (true, false) => Kind::Action(action),
            },
            recipient: send_api::recipient(parameters).unwrap_or_default(),
            text: String::new(),
            message: Value::Null,
            mistake: None,
            remark: None,
            refusal: None,
            request: request.head("\n") + &String::from_utf8_lossy(&request.body),
        };
        if is_send {
            let text = message["text"].as_str().map(str::to_string);
            call.text = text.unwrap_or_else(|| message.to_string());
            call.message = message.clone();
            call.remark = send_api::remark(parameters);
            let mistake = self.check(request, parameters, &call.recipient);
            (call.mistake, call.refusal) = mistake.unzip();
        }
        call
    }

    /// Why the real Send API would refuse the call, and how.
    fn check(
        &self,
        request: &Request,
        parameters: &Parameters,
        recipient: &str,
    ) -> Option<(String, Reply)> {
        if !has_token(request, parameters) {
            let words =
                "An active access token must be used to query information about the current user.";
            return Some((words.to_string(), Reply::refusal(400, 2500, None, words)));
        }
        let refused = send_api::check(parameters).err();
        let refused = refused.map(|refusal| (refusal.message.clone(), refusal.reply()));
        refused.or_else(|| lock(&self.page).check_message(recipient, parameters))
    }

    /// A call that is not for the Send API.
    fn other(&self, request: &Request, parameters: &Parameters) -> Reply {
        let path = without_version(request.path());
        let method = match parameters.get("method").as_str() {
            Some(method) if request.method == "POST" => method.to_uppercase(),
            _ => request.method.clone(),
        };
        let needs_token = parameters.text("input_token").is_empty() && !path.starts_with("/oauth/");
        if needs_token && !has_token(request, parameters) {
            let words = "An access token is required to request this resource.";
            return Reply::refusal(400, 104, None, words);
        }
        let mut parameters = parameters.clone();
        if let Some((_, token)) = request.header("Authorization").split_once(' ') {
            parameters
                .values
                .insert("access_token".to_string(), token.into());
        }
        let is_known = |id: &str| self.log.person(id).is_some();
        lock(&self.page).answer(&method, path, &parameters, &is_known)
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
const FORM: &str = "application/x-www-form-urlencoded";

/// `/v26.0/me` -> `/me`.
fn without_version(path: &str) -> &str {
    let rest = path
        .strip_prefix("/v")
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    rest.and_then(|rest| rest.find('/').map(|at| &rest[at..]))
        .unwrap_or(path)
}

fn has_token(request: &Request, parameters: &Parameters) -> bool {
    let bearer = request.header("Authorization").split_once(' ');
    !parameters.text("access_token").is_empty()
        || bearer.is_some_and(|(_, token)| !token.is_empty())
}
