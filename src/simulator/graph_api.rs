//! A Graph API that reads the calls it gets, refuses what the real one refuses, and replies as it is told.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{HttpServer, Request, Response};
use super::page_api::PageApi;
use super::parameters::Parameters;
use super::reply::Reply;
use super::send_api::{self, Refusal};
use super::{lock, random};

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
    /// The page-scoped id of the person, of a call of the Send API.
    pub recipient: String,
    /// The text of the message, or the message as JSON where it has none.
    pub text: String,
    /// The message as people see it.
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

/// Is called with status and body of the answer to a call, right before it is sent.
pub type Answered = Box<dyn FnOnce(u16, &str) + Send>;

/// Decides the reply to a call; [`Reply::deliver`]: nothing is in the way of what the Graph API would reply.
type Behave = dyn Fn(&Call) -> (Reply, Answered) + Send + Sync;

/// What the connections share.
struct Calls {
    behave: Box<Behave>,
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
        behave: impl Fn(&Call) -> (Reply, Answered) + Send + Sync + 'static,
    ) -> io::Result<GraphApi> {
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(Calls {
            behave: Box::new(behave),
            page: Mutex::new(PageApi::new(url)),
            run: random(),
            messages: AtomicU64::new(0),
        });
        let answering = Arc::clone(&calls);
        let server = HttpServer::start(listener, move |request| answering.answer(&request))?;
        Ok(GraphApi { server, calls })
    }

    /// Its address, for `GRAPH_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What bots have set for the page.
    pub(super) fn page<T>(&self, change: impl FnOnce(&mut PageApi) -> T) -> T {
        change(&mut lock(&self.calls.page))
    }

    /// What answers its requests, for whoever gets them in another way.
    pub(super) fn handler(&self) -> impl Fn(Request) -> Response + Send + Sync + use<> {
        let calls = Arc::clone(&self.calls);
        move |request| calls.answer(&request)
    }
}

impl Calls {
    fn answer(&self, request: &Request) -> Response {
        if let Some(file) = lock(&self.page).file(request.path()) {
            return file;
        }
        let parameters = Parameters::of(request);
        let batch = parameters.get("batch").as_array().cloned();
        if let (true, Some(batch)) = (is_root(request.path()), batch) {
            let answers: Vec<Value> = batch
                .iter()
                .map(|one| self.answer_one(request, one))
                .collect();
            return Response::new(200, JSON, Value::Array(answers).to_string());
        }
        let call = self.read(request, &parameters);
        let (mut reply, answered) = (self.behave)(&call);
        if call.kind == Kind::Other && reply.body.is_none() {
            reply = self.other(request, &parameters).after(reply.after);
        }
        let status = reply.status;
        let body = self.body(&reply, &call);
        let mut response = Response::new(reply.status, JSON, body.clone());
        if body.starts_with('<') {
            response.headers = vec![("Content-Type", "text/html".to_string())];
        }
        response.headers.extend(reply.header);
        response.after = reply.after;
        response.answered = Some(Box::new(move || answered(status, &body)));
        response
    }

    /// One call of a batch (Graph API, "Batch Requests").
    fn answer_one(&self, batch: &Request, one: &Value) -> Value {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_string();
        let body = text("body");
        let json = body.starts_with('{').then_some(JSON);
        let mut headers = batch.headers.clone();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        headers.push(("Content-Type".to_string(), json.unwrap_or(FORM).to_string()));
        let token = Parameters::of(batch).text("access_token");
        if !token.is_empty() {
            headers.push(("Authorization".to_string(), format!("Bearer {token}")));
        }
        let mut response = self.answer(&Request {
            method: text("method").to_uppercase(),
            target: format!("/{}", text("relative_url").trim_start_matches('/')),
            headers,
            body: body.into_bytes(),
        });
        if let Some(answered) = response.answered.take() {
            answered();
        }
        json!({"code": response.status, "headers": [], "body": String::from_utf8_lossy(&response.body)})
    }

    fn read(&self, request: &Request, parameters: &Parameters) -> Call {
        let is_send = request.path().ends_with("/messages") && request.method == "POST";
        let mut call = Call {
            kind: Kind::Other,
            recipient: send_api::recipient(parameters).unwrap_or_default(),
            text: String::new(),
            message: Value::Null,
            mistake: None,
            remark: None,
            refusal: None,
            request: request.as_text(),
        };
        if !is_send {
            return call;
        }
        let action = parameters.text("sender_action").to_lowercase();
        call.kind = match action.is_empty() {
            true => Kind::Message,
            false => Kind::Action(action),
        };
        let message = parameters.get("message");
        call.text = match &message["text"] {
            Value::String(text) => text.clone(),
            _ => message.to_string(),
        };
        call.remark = send_api::remark(parameters);
        if let Err((mistake, reply)) = self.check(request, parameters, &call) {
            call.mistake = Some(mistake);
            call.refusal = Some(reply);
        } else {
            call.message = lock(&self.page).shown(parameters);
        }
        call
    }

    /// Whether the real Send API would take the call.
    fn check(
        &self,
        request: &Request,
        parameters: &Parameters,
        call: &Call,
    ) -> Result<(), (String, Reply)> {
        let refuse = |refusal: Refusal| (refusal.message().to_string(), refusal.reply());
        if !has_token(request, parameters) {
            let words =
                "An active access token must be used to query information about the current user.";
            return Err((words.to_string(), Reply::refusal(400, 2500, None, words)));
        }
        send_api::check(parameters).map_err(refuse)?;
        if let Some(refused) = lock(&self.page).check_message(&call.recipient, parameters) {
            return Err(refused);
        }
        Ok(())
    }

    /// A call that is not for the Send API.
    fn other(&self, request: &Request, parameters: &Parameters) -> Reply {
        let path = without_version(request.path());
        let method = match parameters.get("method").as_str() {
            Some(method) if request.method == "POST" => method.to_uppercase(),
            _ => request.method.clone(),
        };
        if !has_token(request, parameters) && parameters.text("input_token").is_empty() {
            return Reply::refusal(
                400,
                104,
                None,
                "An access token is required to request this resource.",
            );
        }
        let reply = lock(&self.page).answer(&method, path, parameters);
        let words = || format!("Unknown path components: {path}");
        reply.unwrap_or_else(|| Reply::refusal(400, 2500, None, &words()))
    }

    fn body(&self, reply: &Reply, call: &Call) -> String {
        if let Some(body) = &reply.body {
            return body.clone();
        }
        let mut body = json!({"recipient_id": call.recipient});
        if call.kind == Kind::Message {
            let number = self.messages.fetch_add(1, Ordering::SeqCst);
            body["message_id"] = format!("m_sent_{:016x}_{number}", self.run).into();
        }
        body.to_string()
    }
}

const JSON: &str = "application/json; charset=UTF-8";
const FORM: &str = "application/x-www-form-urlencoded";

fn is_root(path: &str) -> bool {
    without_version(path).trim_matches('/').is_empty()
}

/// `/v26.0/me` -> `/me`.
fn without_version(path: &str) -> &str {
    let rest = path
        .strip_prefix("/v")
        .and_then(|rest| rest.find('/').map(|at| rest.split_at(at)));
    match rest {
        Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => path,
    }
}

fn has_token(request: &Request, parameters: &Parameters) -> bool {
    let bearer = request.header("Authorization").split_once(' ');
    !parameters.text("access_token").is_empty()
        || bearer.is_some_and(|(_, token)| !token.is_empty())
}

impl Call {
    /// The real Graph API's reply to a call with a mistake.
    pub fn refusal(&self) -> Option<Reply> {
        self.refusal.clone()
    }
}
