//! The HTTP interface: the page to chat on, and what it and tests of bots ask and do. README.md documents it.
//!
//! Whoever asks for the log hears what has changed since, and the answer comes when something has. Many may ask at once,
//! and one that was away catches up.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::http::{HttpServer, Request, Response};
use super::options::{Options, listen_near};
use super::parameters::Parameters;
use super::platform::Platform;
use super::say::{Until, converse};
use super::{
    FAULTS, Fault, PEOPLE, PERSON, SimulatorError, Trouble, event_names, failed_to, random,
};

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

/// Serves the page until SIGINT, SIGTERM or SIGHUP, and says where.
///
/// # Errors
/// When something cannot be started; in words.
pub fn serve(options: &Options) -> Result<(), SimulatorError> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(failed_to("watch signals"))?;
    let listener = listen_near(options.bind, options.ports.page, PORT, "--port")?;
    let port = listener.local_addr().map_err(failed_to("listen"))?.port();
    let platform = Platform::set_up(options)?;
    let page = Page {
        platform: Arc::clone(&platform),
        port,
        is_local: options.bind.is_loopback(),
        instance: format!("{:016x}", random()),
    };
    let server = HttpServer::start(
        listener,
        Arc::new(move |request, _| Some(page.answer(request))),
    );
    let _server = server.map_err(failed_to("serve the page"))?;
    let _ = writeln!(
        io::stdout(),
        "open http://localhost:{port}/ and say hello; Ctrl-C ends it"
    );
    let shaking = Arc::clone(&platform);
    // The bot may not be up yet, and the page is there meanwhile.
    thread::spawn(move || {
        if shaking.shake_hands(None).is_ok() && shaking.own_bots() == 0 {
            shaking.log.note("the handshake was accepted");
        }
    });
    signals.forever().next();
    // The threads that share the platform may never end, so it is not dropped by itself.
    platform.tear_down();
    Ok(())
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
        let is_json = request
            .header("Content-Type")
            .starts_with("application/json");
        match (request.method.as_str(), request.path()) {
            ("GET" | "HEAD", "/") => respond(200, "text/html; charset=utf-8", PAGE),
            ("GET", "/log") => self.wait_for_news(&Parameters::of(request)),
            // A form of another site cannot have this type.
            ("POST", _) if !is_json => {
                refuse(415, "say it in JSON: Content-Type: application/json")
            }
            ("POST", path) => match serde_json::from_slice(&request.body) {
                Ok(click) => match self.act(path, &click) {
                    Ok(answer) => respond(200, "application/json", answer.to_string()),
                    Err((status, reason)) => refuse(status, &reason),
                },
                Err(error) => refuse(400, &format!("this is no JSON: {error}")),
            },
            _ => refuse(404, "nothing is here"),
        }
    }

    /// Does what somebody has clicked, or what a test asks for.
    fn act(&self, path: &str, click: &Value) -> Result<Value, (u16, String)> {
        let platform = &self.platform;
        let person = click["person"].as_str().unwrap_or(PERSON);
        let number = |name: &str| click[name].as_u64();
        let wrong = |words: &str| Err((400, words.to_string()));
        match path {
            "/say" if click["text"].as_str().is_none_or(str::is_empty) => {
                return wrong("say wants a text");
            }
            "/say" => {
                let name = if click["payload"].is_string() {
                    "quick_reply"
                } else {
                    "text"
                };
                return self.send(person, name, click);
            }
            "/send" => {
                return self.send(person, click["event"].as_str().unwrap_or_default(), click);
            }
            "/redeliver" if !platform.redeliver(number("exchange")) => {
                return Err((404, "there is no such webhook".to_string()));
            }
            "/redeliver" => {}
            "/unsigned" => platform.send_unsigned(person),
            "/burst" => {
                let count = number("count").unwrap_or(10).min(LARGEST_BURST);
                for n in 1..=count {
                    platform.send(person, "text", &json!({"text": format!("{n} of {count}")}));
                }
            }
            "/trouble" => {
                let what = click["fault"].as_str().unwrap_or_default();
                let Some(fault) = Fault::parse(what) else {
                    return wrong(&format!("fault is {FAULTS}"));
                };
                let fault = Fault {
                    person: click["person"].as_str().map(str::to_string),
                    calls: number("calls").filter(|calls| *calls > 0),
                    ..fault
                };
                platform.make_trouble(trouble(click), fault);
            }
            "/kill" => {
                let bot = number("bot").unwrap_or_default();
                platform.kill_bot(usize::try_from(bot).unwrap_or(usize::MAX));
            }
            _ => return Err((404, "nothing is here".to_string())),
        }
        Ok(json!({}))
    }

    /// Sends an event, or a whole webhook; with `quiet` or `wait` the answer tells what came back.
    fn send(&self, person: &str, name: &str, with: &Value) -> Result<Value, (u16, String)> {
        let (platform, webhook) = (&self.platform, &with["webhook"]);
        let sender = webhook["entry"][0]["messaging"][0]["sender"]["id"].as_str();
        let person = sender.unwrap_or(person);
        let before = platform.log.version();
        let message = if webhook.is_object() {
            platform.send_webhook(person, webhook)
        } else {
            let names = || {
                event_names()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let sent = platform.send(person, name, with);
            sent.ok_or_else(|| (400, format!("event is one of {}", names())))?
        };
        let (quiet, count) = (with["quiet"].as_u64(), with["wait"].as_u64());
        if quiet.or(count).is_none() {
            return Ok(json!({"message": message}));
        }
        let until = Until {
            quiet: quiet.map_or(platform.options.quiet, |quiet| {
                Duration::from_millis(quiet.min(60_000))
            }),
            count: count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        };
        let heard = converse(platform, person, before, message, until);
        let mut heard = heard.map_err(|error| (502, error))?;
        heard["said"] = with["text"].as_str().unwrap_or(name).into();
        Ok(heard)
    }

    /// Answers when something has changed that the page does not know.
    fn wait_for_news(&self, asked: &Parameters) -> Response {
        let (instance, log) = (asked.text("instance"), &self.platform.log);
        let is_known = instance.is_empty() || instance == self.instance;
        let after = asked.text("after").parse().ok().filter(|_| is_known);
        if let Some(version) = after {
            let wait = asked
                .text("wait")
                .parse()
                .map_or(LONGEST_WAIT, Duration::from_millis);
            if log.wait(version, wait.min(LONGEST_WAIT)) != version {
                thread::sleep(GATHER);
            }
        }
        respond(
            200,
            "application/json",
            self.news(after.unwrap_or(0)).to_string(),
        )
    }

    fn news(&self, after: u64) -> Value {
        let platform = &self.platform;
        let (
            trouble,
            Fault {
                what,
                person,
                calls,
            },
        ) = platform.trouble();
        let mut news = platform.log.since(after);
        let named = PEOPLE
            .iter()
            .map(|(id, first, last)| json!({"id": id, "name": first, "last_name": last}));
        let made_up = news["made_up"].as_array().into_iter().flatten();
        let people: Vec<Value> = named
            .chain(made_up.map(|id| json!({"id": id, "name": id, "last_name": ""})))
            .collect();
        let events = event_names().map(|(name, what)| json!({"name": name, "what": what}));
        let more = json!({
            "instance": self.instance, "own_bots": platform.own_bots(), "page": platform.options.page,
            "bot_url": platform.bot_url(), "graph_url": platform.graph_url(), "profile": platform.profile(),
            "people": people, "events": events.collect::<Vec<_>>(),
            "trouble": {
                "latency": u64::try_from(trouble.latency.as_millis()).unwrap_or_default(),
                "errors": (trouble.transient * 100.0).round(), "hanging": trouble.hanging > 0.0,
                "outage": trouble.outage, "fault": what, "person": person, "calls": calls,
            },
        });
        if let (Some(news), Value::Object(more)) = (news.as_object_mut(), more) {
            news.remove("made_up");
            news.extend(more);
        }
        news
    }
}

/// What is left out is off.
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
