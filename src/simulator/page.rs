//! The page to chat on: one HTML file, and a few addresses that it talks to.
//!
//! The page asks for what has changed since it last heard, and the answer comes when something has.
//! Many browsers may ask at once, and one that was away catches up.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tiny_http::{Method, Request};

use super::http::{self, HttpServer, header, read_body};
use super::platform::{Options, Platform, listen_near};
use super::{Fault, SimulatorError, Trouble, failed_to, random};
use crate::shield::{DEADLINES, Limits};
use crate::webhook::parameter;

const PAGE: &str = include_str!("page.html");

/// The first port that is tried.
const PORT: u16 = 8080;

/// The answer comes after this time at the latest, so that a page notices when nobody is there.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Changes that come within this time are sent together.
const GATHER: Duration = Duration::from_millis(15);

const LIMITS: Limits = Limits {
    connections: 256,
    requests: 256,
    headers_passed: &["Host", "Content-Type"],
    directory: None,
    deadlines: DEADLINES,
};

/// Messages in one burst at most.
const LARGEST_BURST: u64 = 1000;

/// Nothing from elsewhere is loaded, and nothing is sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'";

/// Serves the page on a loopback port until SIGINT or SIGTERM, and says where.
///
/// # Errors
/// When something cannot be started, or the bot does not pass the handshake; in words.
pub fn serve(options: &Options, port: Option<u16>) -> Result<(), SimulatorError> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed_to("watch signals"))?;
    let listen_at = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = port.map_or_else(|| listen_near(PORT), listen_at);
    let listener = listener.map_err(failed_to("listen; --port chooses another port"))?;
    let port = listener.local_addr().map_err(failed_to("listen"))?.port();
    let platform = Arc::new(Platform::set_up(options)?);
    let page = Arc::new(Page {
        platform: Arc::clone(&platform),
        port,
        instance: format!("{:016x}", random()),
    });
    let server = HttpServer::start(listener, LIMITS, move |request| page.answer(request));
    let _server = server.map_err(failed_to("serve the page"))?;
    let _ = writeln!(
        io::stdout(),
        "open http://localhost:{port}/ and say hello; Ctrl-C ends it"
    );
    signals.forever().next();
    // The threads that share the platform may never end, so it is not dropped by itself.
    platform.tear_down();
    Ok(())
}

struct Page {
    platform: Arc<Platform>,
    port: u16,
    /// Tells a page that has been open for longer that everything has begun anew.
    instance: String,
}

impl Page {
    fn answer(self: &Arc<Page>, mut request: Request) {
        // A page elsewhere must not talk to this one, by whatever name it calls it.
        let own = ["localhost", "127.0.0.1"].map(|name| format!("{name}:{}", self.port));
        if !own.iter().any(|own| own == header(&request, "Host")) {
            return refuse(request, 403, "this page is for this machine only");
        }
        let url = request.url().to_string();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        match (request.method(), path) {
            (Method::Get, "/") => respond(request, 200, "text/html; charset=utf-8", PAGE),
            (Method::Get, "/news") => self.wait_for_news(request, query),
            // A form of another site cannot have this type.
            (Method::Post, _) if header(&request, "Content-Type") != "application/json" => {
                refuse(request, 415, "say it in JSON");
            }
            (Method::Post, path) => {
                let body = read_body(&mut request);
                match self.act(path, &serde_json::from_slice(&body).unwrap_or_default()) {
                    true => respond(request, 200, "application/json", "{}"),
                    false => refuse(request, 404, "nothing is here"),
                }
            }
            _ => refuse(request, 404, "nothing is here"),
        }
    }

    /// Does what somebody has clicked; false when there is no such thing.
    fn act(&self, path: &str, click: &Value) -> bool {
        let person = click["person"].as_str().unwrap_or_default();
        let text = click["text"].as_str().unwrap_or_default();
        match path {
            "/say" if !text.is_empty() => self.platform.say(person, text),
            "/attach" => self.platform.attach(person),
            "/redeliver" => self.platform.redeliver(),
            "/unsigned" => self.platform.send_unsigned(person),
            "/burst" => {
                let count = click["count"].as_u64().unwrap_or(10).min(LARGEST_BURST);
                (1..=count).for_each(|n| self.platform.say(person, &format!("{n} of {count}")));
            }
            "/trouble" => self.platform.make_trouble(trouble(click)),
            "/fault" => {
                let Some(fault) = Fault::parse(click["what"].as_str().unwrap_or_default()) else {
                    return false;
                };
                let person = Some(person.to_string()).filter(|person| !person.is_empty());
                let calls = click["calls"].as_u64().filter(|calls| *calls > 0);
                self.platform.set_fault(Fault {
                    person,
                    calls,
                    ..fault
                });
            }
            "/kill" => {
                let platform = Arc::clone(&self.platform);
                let number = click["bot"].as_u64().unwrap_or_default();
                let number = usize::try_from(number).unwrap_or_default();
                thread::spawn(move || platform.kill_bot(number));
            }
            _ => return false,
        }
        true
    }

    /// Answers in a thread of its own, when something has changed that the page does not know.
    fn wait_for_news(self: &Arc<Page>, request: Request, query: &str) {
        let is_known = parameter(query, "instance").as_ref() == Some(&self.instance);
        let after = parameter(query, "after").filter(|_| is_known);
        let after = after.and_then(|after| after.parse().ok());
        let page = Arc::clone(self);
        thread::spawn(move || {
            if let Some(version) = after {
                page.platform.log.wait(version, LONGEST_WAIT);
                thread::sleep(GATHER);
            }
            let news = page.news(after.unwrap_or(0));
            respond(request, 200, "application/json", news.to_string());
        });
    }

    fn news(&self, after: u64) -> Value {
        let trouble = self.platform.trouble();
        let mut news = self.platform.log.since(after);
        news["instance"] = json!(self.instance);
        news["own_bots"] = json!(self.platform.own_bots());
        let Fault {
            what,
            person,
            calls,
        } = self.platform.fault();
        news["fault"] = json!({"what": what, "person": person, "calls": calls});
        news["trouble"] = json!({
            "latency": u64::try_from(trouble.latency.as_millis()).unwrap_or_default(),
            "errors": (trouble.transient * 100.0).round(),
            "hanging": trouble.hanging > 0.0,
            "outage": trouble.outage,
        });
        news
    }
}

fn trouble(click: &Value) -> Trouble {
    let latency = click["latency"].as_u64().unwrap_or_default();
    let errors = click["errors"].as_f64().unwrap_or_default();
    Trouble {
        latency: Duration::from_millis(latency.min(60_000)),
        transient: (errors / 100.0).clamp(0.0, 1.0),
        hanging: f64::from(u8::from(click["hanging"] == true)),
        outage: click["outage"] == true,
    }
}

fn refuse(request: Request, status: u16, reason: &str) {
    respond(request, status, "text/plain", reason);
}

fn respond(request: Request, status: u16, content_type: &str, body: impl Into<Vec<u8>>) {
    let headers = [
        ("Content-Type", content_type),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
    ];
    http::respond(request, status, &headers, body);
}
