//! The page to chat on: one HTML file, and a few addresses that it talks to.
//!
//! The page asks for what has changed since it last heard, and is answered when something has:
//! many browsers may do so at once, and one that was away catches up.

use std::hash::{BuildHasher as _, RandomState};
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
use super::stage::{Options, Stage, listen_near};
use super::{SimulatorError, Trouble};
use crate::shield::{DEADLINES, Limits};

const PAGE: &str = include_str!("page.html");

/// The first port that is tried.
const PORT: u16 = 8080;

/// A page that hears nothing for this long asks anew, so that it notices when nobody is there.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Changes that come within this time are told together.
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
    let failed = |what: &'static str| move |error| SimulatorError::io(what, &error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed("watch signals"))?;
    let listener = match port {
        Some(port) => TcpListener::bind(("127.0.0.1", port)),
        None => listen_near(PORT),
    };
    let listener = listener.map_err(failed("listen; --port chooses another port"))?;
    let stage = Arc::new(Stage::set_up(options)?);
    let port = listener.local_addr().map_err(failed("listen"))?.port();
    let page = Arc::new(Page {
        stage: Arc::clone(&stage),
        port,
        instance: format!("{:016x}", RandomState::new().hash_one(0)),
    });
    let server = HttpServer::start(listener, LIMITS, move |request| page.answer(request));
    let _server = server.map_err(failed("serve the page"))?;
    let _ = writeln!(
        io::stdout(),
        "open http://localhost:{port}/ and say hello; Ctrl-C ends it"
    );
    signals.forever().next();
    // The threads may never end, so what they share is not dropped by itself.
    stage.tear_down();
    Ok(())
}

struct Page {
    stage: Arc<Stage>,
    port: u16,
    /// Tells a page that has been open for longer that everything has begun anew.
    instance: String,
}

impl Page {
    fn answer(self: &Arc<Page>, mut request: Request) {
        // A page elsewhere must not talk to this one, by whatever name it calls it.
        let host = header(&request, "Host").to_string();
        let own = ["localhost", "127.0.0.1"].map(|name| format!("{name}:{}", self.port));
        if !own.contains(&host) {
            return respond(
                request,
                403,
                "text/plain",
                "this page is for this machine only",
            );
        }
        let (path, query) = match request.url().split_once('?') {
            Some((path, query)) => (path.to_string(), query.to_string()),
            None => (request.url().to_string(), String::new()),
        };
        match (request.method(), path.as_str()) {
            (Method::Get, "/") => respond(request, 200, "text/html; charset=utf-8", PAGE),
            (Method::Get, "/news") => self.wait_for_news(request, &query),
            (Method::Post, path) => {
                // A form of another site cannot be sent so.
                if header(&request, "Content-Type") != "application/json" {
                    return respond(request, 415, "text/plain", "say it in JSON");
                }
                let body = read_body(&mut request);
                let wish: Value = serde_json::from_slice(&body).unwrap_or_default();
                match self.act(path, &wish) {
                    true => respond(request, 200, "application/json", "{}"),
                    false => respond(request, 404, "text/plain", "nothing is here"),
                }
            }
            _ => respond(request, 404, "text/plain", "nothing is here"),
        }
    }

    /// Does what somebody has clicked; false when there is no such thing.
    fn act(self: &Arc<Page>, path: &str, wish: &Value) -> bool {
        let person = wish["person"].as_str().unwrap_or_default();
        let text = wish["text"].as_str().unwrap_or_default();
        match path {
            "/say" if !text.is_empty() => self.stage.say(person, text),
            "/attach" => self.stage.attach(person),
            "/redeliver" => self.stage.redeliver(),
            "/unsigned" => self.stage.send_unsigned(person),
            "/burst" => {
                let count = wish["count"].as_u64().unwrap_or(10).min(LARGEST_BURST);
                (1..=count).for_each(|n| self.stage.say(person, &format!("{n} of {count}")));
            }
            "/trouble" => self.stage.make_trouble(trouble(wish)),
            "/kill" => {
                let page = Arc::clone(self);
                thread::spawn(move || page.stage.kill_bot());
            }
            _ => return false,
        }
        true
    }

    fn wait_for_news(self: &Arc<Page>, request: Request, query: &str) {
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let known = parameter("instance") == Some(&self.instance);
        let version = parameter("after")
            .and_then(|after| after.parse().ok())
            .filter(|_| known);
        let page = Arc::clone(self);
        thread::spawn(move || {
            if let Some(version) = version {
                page.stage.story.wait(version, LONGEST_WAIT);
                thread::sleep(GATHER);
            }
            page.tell(request, version.unwrap_or(0));
        });
    }

    fn tell(&self, request: Request, after: u64) {
        let mut news = self.stage.story.since(after);
        let Trouble {
            latency,
            transient,
            hanging,
            outage,
            ..
        } = self.stage.trouble();
        news["instance"] = json!(self.instance);
        news["own_bot"] = json!(self.stage.has_own_bot());
        news["trouble"] = json!({
            "latency": u64::try_from(latency.as_millis()).unwrap_or_default(),
            "errors": (transient * 100.0).round(),
            "hanging": hanging > 0.0,
            "outage": outage,
        });
        respond(request, 200, "application/json", news.to_string());
    }
}

fn trouble(wish: &Value) -> Trouble {
    Trouble {
        latency: Duration::from_millis(wish["latency"].as_u64().unwrap_or_default().min(60_000)),
        transient: (wish["errors"].as_f64().unwrap_or_default() / 100.0).clamp(0.0, 1.0),
        hanging: if wish["hanging"] == true { 1.0 } else { 0.0 },
        outage: wish["outage"] == true,
        ..Trouble::default()
    }
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
