//! The HTTP interface: the page to chat on, and what it and tests of other bots ask and do. README.md beside this file
//! documents it.
//!
//! Whoever asks for the log hears what has changed since, and the answer comes when something has. Many may ask at once,
//! and one that was away catches up.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::event_log::EventLog;
use super::http::{HttpServer, Request, Response};
use super::options::{Options, listen, listen_near};
use super::platform::Platform;
use super::proxy::Proxy;
use super::say::converse;
use super::{
    EVENTS, FAULTS, Fault, PEOPLE, PERSON, SimulatorError, Trouble, failed_to, lock, random,
};
use crate::webhook::parameter;

const PAGE: &str = include_str!("page.html");

/// The first port that is tried.
const PORT: u16 = 8080;

/// The answer comes after this time at the latest, so that a page notices when nobody is there.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Changes that come within this time are sent together.
const GATHER: Duration = Duration::from_millis(15);

/// Messages in one burst at most.
const LARGEST_BURST: u64 = 1000;

/// Nothing from elsewhere is loaded but pictures, sounds and films that the bot sends, and nothing is sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data: http: https:; media-src http: https:; base-uri 'none'; form-action 'none'";

/// The ports of page and proxy; none: one near the usual one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// The page's.
    pub page: Option<u16>,
    /// Whether there is a proxy, and its port.
    pub proxy: Option<Option<u16>>,
}

/// Serves the page until SIGINT, SIGTERM or SIGHUP, and says where.
///
/// # Errors
/// When something cannot be started, or the bot does not pass the handshake; in words.
pub fn serve(options: &Options, ports: Ports) -> Result<(), SimulatorError> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(failed_to("watch signals"))?;
    let listener = page_listener(options, ports.page)?;
    let port = listener.local_addr().map_err(failed_to("listen"))?.port();
    let platform = Platform::set_up(options)?;
    let proxy = ports
        .proxy
        .map(|port| Proxy::start(port, platform.graph_handler()));
    let proxy = proxy.transpose()?;
    let page = Arc::new(Page {
        platform: Arc::clone(&platform),
        port,
        is_local: options.bind.is_loopback(),
        instance: format!("{:016x}", random()),
    });
    let server = HttpServer::start(listener, move |request| page.answer(&request));
    let _server = server.map_err(failed_to("serve the page"))?;
    let _ = writeln!(
        io::stdout(),
        "open http://localhost:{port}/ and say hello; Ctrl-C ends it"
    );
    let failure = shake_hands(&platform, signals.handle());
    signals.forever().next();
    let failure = lock(&failure).take();
    // The threads that share the platform may never end, so it is not dropped by itself.
    platform.tear_down();
    if let Some(proxy) = proxy {
        proxy.tear_down();
    }
    failure.map_or(Ok(()), Err)
}

fn page_listener(options: &Options, port: Option<u16>) -> Result<TcpListener, SimulatorError> {
    match port {
        Some(port) => listen(options.bind, port, "--port"),
        None => listen_near(options.bind, PORT),
    }
}

/// The bot may not be up yet, and the page is there meanwhile. Ends everything when the bot is wrong.
fn shake_hands(
    platform: &Arc<Platform>,
    signals: signal_hook::iterator::Handle,
) -> Arc<Mutex<Option<SimulatorError>>> {
    let failure = Arc::new(Mutex::new(None));
    let (platform, failed) = (Arc::clone(platform), Arc::clone(&failure));
    thread::spawn(move || {
        if let Err(error) = platform.shake_hands(Duration::MAX) {
            *lock(&failed) = Some(error);
            signals.close();
        } else if platform.own_bots() == 0 {
            platform.log.note("the handshake was accepted");
        }
    });
    failure
}

struct Page {
    platform: Arc<Platform>,
    port: u16,
    is_local: bool,
    /// Tells a page that has been open for longer that everything has begun anew.
    instance: String,
}

impl Page {
    fn answer(&self, request: &Request) -> Response {
        // A page elsewhere must not talk to this one, by whatever name it calls it.
        let own = ["localhost", "127.0.0.1"].map(|name| format!("{name}:{}", self.port));
        if self.is_local && !own.iter().any(|own| own == request.header("Host")) {
            return refuse(403, "this page is for this machine only");
        }
        match (request.method.as_str(), request.path()) {
            ("GET" | "HEAD", "/") => respond(200, "text/html; charset=utf-8", PAGE),
            ("GET", "/log") => self.wait_for_news(request.query()),
            // A form of another site cannot have this type.
            ("POST", _)
                if !request
                    .header("Content-Type")
                    .starts_with("application/json") =>
            {
                refuse(415, "say it in JSON: Content-Type: application/json")
            }
            ("POST", path) => match serde_json::from_slice(&request.body) {
                Ok(click) => self.act(path, &click).unwrap_or_else(|error| error),
                Err(error) => refuse(400, &format!("this is no JSON: {error}")),
            },
            _ => refuse(404, "nothing is here"),
        }
    }

    /// Does what somebody has clicked.
    fn act(&self, path: &str, click: &Value) -> Result<Response, Response> {
        let platform = &self.platform;
        let person = click["person"].as_str().unwrap_or(PERSON);
        let count = |name: &str| click[name].as_u64();
        match path {
            "/say" => {
                let text = click["text"].as_str().filter(|text| !text.is_empty());
                text.ok_or_else(|| refuse(400, "say wants a text"))?;
                let name = if click["payload"].is_string() {
                    "quick_reply"
                } else {
                    "text"
                };
                return self.send(person, name, click);
            }
            "/send" if click["webhook"].is_object() => {
                platform.send_webhook(person, &click["webhook"]);
            }
            "/send" => {
                let name = click["event"].as_str().unwrap_or_default();
                return self.send(person, name, click);
            }
            "/redeliver" => {
                let exchange = click["exchange"].as_u64();
                let is_known = platform.redeliver(exchange);
                is_known
                    .then_some(())
                    .ok_or_else(|| refuse(404, "there is no such webhook"))?;
            }
            "/unsigned" => platform.send_unsigned(person),
            "/burst" => {
                let count = count("count").unwrap_or(10).min(LARGEST_BURST);
                for n in 1..=count {
                    platform.send(person, "text", &json!({"text": format!("{n} of {count}")}));
                }
            }
            "/trouble" => self.make_trouble(click)?,
            "/kill" => {
                let number = usize::try_from(count("bot").unwrap_or_default()).unwrap_or_default();
                platform.kill_bot(number);
            }
            _ => return Err(refuse(404, "nothing is here")),
        }
        Ok(done(&json!({})))
    }

    /// Sends an event; with `quiet` the answer tells what came back.
    fn send(&self, person: &str, name: &str, with: &Value) -> Result<Response, Response> {
        if let Some(quiet) = with["quiet"].as_u64() {
            let quiet = Duration::from_millis(quiet.min(60_000));
            let heard = converse(&self.platform, person, name, with, quiet);
            return heard
                .map(|heard| done(&heard))
                .map_err(|error| refuse(502, &error));
        }
        let names = || EVENTS.map(|(name, _)| name).join(", ");
        let sent = self.platform.send(person, name, with);
        let sent = sent.ok_or_else(|| refuse(400, &format!("event is one of {}", names())))?;
        Ok(done(&json!({"message": sent})))
    }

    /// What is left out is off.
    fn make_trouble(&self, click: &Value) -> Result<(), Response> {
        let what = click["fault"].as_str().unwrap_or_default();
        let fault = Fault::parse(what).ok_or_else(|| refuse(400, &format!("fault is {FAULTS}")))?;
        self.platform.set_fault(Fault {
            person: click["person"].as_str().map(str::to_string),
            calls: click["calls"].as_u64().filter(|calls| *calls > 0),
            ..fault
        });
        let latency = click["latency"].as_u64().unwrap_or_default();
        let errors = click["errors"].as_f64().unwrap_or_default();
        self.platform.make_trouble(Trouble {
            latency: Duration::from_millis(latency.min(60_000)),
            transient: (errors / 100.0).clamp(0.0, 1.0),
            hanging: f64::from(u8::from(click["hanging"] == true)),
            outage: click["outage"] == true,
        });
        Ok(())
    }

    /// Answers when something has changed that the page does not know.
    fn wait_for_news(&self, query: &str) -> Response {
        let instance = parameter(query, "instance");
        let is_known = instance.is_none_or(|instance| instance == self.instance);
        let after = parameter(query, "after").filter(|_| is_known);
        let after = after.and_then(|after| after.parse().ok());
        if let Some(version) = after {
            let log: &EventLog = &self.platform.log;
            let wait = parameter(query, "wait").and_then(|wait| wait.parse().ok());
            let wait = wait.map_or(LONGEST_WAIT, Duration::from_millis);
            if log.wait(version, wait.min(LONGEST_WAIT)) != version {
                thread::sleep(GATHER);
            }
        }
        done(&self.news(after.unwrap_or(0)))
    }

    fn news(&self, after: u64) -> Value {
        let platform = &self.platform;
        let trouble = platform.trouble();
        let Fault {
            what,
            person,
            calls,
        } = platform.fault();
        let mut news = platform.log.since(after);
        news["instance"] = json!(self.instance);
        news["own_bots"] = json!(platform.own_bots());
        news["page"] = json!(platform.options.page);
        news["bot_url"] = json!(platform.bot_url());
        news["graph_url"] = json!(platform.graph_url());
        news["people"] = PEOPLE
            .iter()
            .map(|(id, name, _)| json!({"id": id, "name": name}))
            .collect();
        news["events"] = EVENTS
            .iter()
            .map(|(name, what)| json!({"name": name, "what": what}))
            .collect();
        news["profile"] = platform.profile();
        news["trouble"] = json!({
            "latency": u64::try_from(trouble.latency.as_millis()).unwrap_or_default(),
            "errors": (trouble.transient * 100.0).round(),
            "hanging": trouble.hanging > 0.0,
            "outage": trouble.outage,
            "fault": what, "person": person, "calls": calls,
        });
        news
    }
}

fn done(answer: &Value) -> Response {
    respond(200, "application/json", answer.to_string())
}

fn refuse(status: u16, reason: &str) -> Response {
    respond(
        status,
        "application/json",
        json!({"error": reason}).to_string(),
    )
}

fn respond(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
    let mut response = Response::new(status, content_type, body);
    response.headers.extend([
        ("Cache-Control", "no-store".to_string()),
        ("Content-Security-Policy", POLICY.to_string()),
        ("X-Content-Type-Options", "nosniff".to_string()),
    ]);
    response
}
