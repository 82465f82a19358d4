//! The HTTP interface: the page to chat on, and what it and tests of bots ask and do. README.md documents it.
//!
//! Whoever asks for the log hears what has changed since, and the answer comes when something has. Many may ask at once,
//! and one that was away catches up.

use std::io::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::http::{self, HttpServer, Request, Response};
use super::options::{Options, listen};
use super::parameters::Parameters;
use super::platform::{Platform, Refusal};
use super::say::converse;
use super::{PERSON, SimulatorError, Trouble, event_names, failed_to, lock, random};

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
pub(crate) fn serve(options: &Options) -> Result<(), SimulatorError> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(failed_to("watch signals"))?;
    let listener = listen(options.bind, options.port, PORT, "--port")?;
    let port = listener.local_addr().map_err(failed_to("listen"))?.port();
    let platform = Platform::set_up(options)?;
    let page = Page {
        platform: Arc::clone(&platform),
        port,
        instance: format!("{:016x}", random()),
    };
    let server = HttpServer::start(listener, move |socket| {
        http::serve(socket, socket, |request, _| Some(page.answer(request)));
    });
    let _server = server.map_err(failed_to("serve the page"))?;
    let _ = writeln!(
        io::stdout(),
        "open http://localhost:{port}/ and say hello; Ctrl-C ends it"
    );
    let shaking = Arc::clone(&platform);
    // The bot may not be up yet, and the page is there meanwhile.
    thread::spawn(move || {
        if shaking.shake_hands(None).is_ok() && shaking.options.own_bots.is_none() {
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
    /// Tells a page that has been open for longer that everything has begun anew.
    instance: String,
}

impl Page {
    fn answer(&self, request: &Request) -> Response {
        let mut response = self.reply(request).unwrap_or_else(|(status, reason)| {
            let body = json!({"error": reason}).to_string();
            Response::new(status, "application/json", body)
        });
        response.headers += &format!(
            "Cache-Control: no-store\nContent-Security-Policy: {POLICY}\nX-Content-Type-Options: nosniff\n"
        );
        response
    }

    fn reply(&self, request: &Request) -> Result<Response, Refusal> {
        // A page elsewhere must not talk to this one, by whatever name it calls it.
        let own = ["localhost", "127.0.0.1"].map(|name| format!("{name}:{}", self.port));
        let bind = self.platform.options.bind;
        let is_local = bind.is_none_or(|ip| ip.is_loopback());
        if is_local && !own.iter().any(|own| own == request.header("Host")) {
            return refuse(403, "this page is for this machine only");
        }
        let content_type = request.header("Content-Type");
        let is_json = content_type.starts_with("application/json");
        let answer = match (request.method.as_str(), request.path()) {
            ("GET" | "HEAD", "/") => {
                return Ok(Response::new(200, "text/html; charset=utf-8", PAGE));
            }
            ("GET", "/log") => self.wait_for_news(&Parameters::of(request)),
            // A form of another site cannot have this type.
            ("POST", _) if !is_json => {
                return refuse(415, "say it in JSON: Content-Type: application/json");
            }
            ("POST", path) => match serde_json::from_slice::<Map<_, _>>(&request.body) {
                Ok(click) => self.act(path, &click.into())?,
                Err(error) => return refuse(400, &format!("this is no JSON: {error}")),
            },
            _ => return refuse(404, "nothing is here"),
        };
        Ok(Response::new(200, "application/json", answer.to_string()))
    }

    /// Does what somebody has clicked, or what a test asks for.
    fn act(&self, path: &str, click: &Value) -> Result<Value, Refusal> {
        let platform = &self.platform;
        let known = fields();
        for (name, value) in click.as_object().into_iter().flatten() {
            // A test with a typing mistake must not pass.
            if !value.is_null() && mem::discriminant(value) != mem::discriminant(&known[name]) {
                return refuse(400, &format!("{name} is no field, or of the wrong type"));
            }
        }
        let person = click["person"].as_str().filter(|id| !id.is_empty());
        let person = person.unwrap_or(PERSON);
        let text = |name: &str| click[name].as_str().unwrap_or_default();
        let number = |name: &str| click[name].as_u64();
        match path {
            "/say" if text("text").is_empty() => return refuse(400, "say wants a text"),
            "/say" if click["payload"].is_string() => {
                return self.send(person, "quick_reply", click);
            }
            "/say" => return self.send(person, "text", click),
            "/send" => return self.send(person, text("event"), click),
            "/redeliver" if platform.redeliver(number("exchange")).is_none() => {
                return refuse(404, "there is no such webhook");
            }
            "/redeliver" => {}
            "/unsigned" => platform.send_unsigned(person),
            "/burst" => {
                let count = number("count").unwrap_or(10).min(LARGEST_BURST);
                for n in 1..=count {
                    let text = json!({"text": format!("{n} of {count}")});
                    let _ = platform.send(person, "text", &text);
                }
            }
            "/trouble" => {
                let trouble = Trouble::from_json(click).map_err(|words| (400, words))?;
                *lock(&platform.trouble) = trouble;
                platform.log.touch();
            }
            "/kill" => {
                let bot = usize::try_from(number("bot").unwrap_or(0));
                if !platform.kill_bot(bot.unwrap_or(usize::MAX)) {
                    return refuse(404, "there is no such bot");
                }
            }
            _ => return refuse(404, "nothing is here"),
        }
        Ok(json!({}))
    }

    /// Sends an event, or a whole webhook; with `quiet` or `wait` the answer tells what came back.
    fn send(&self, person: &str, name: &str, with: &Value) -> Result<Value, Refusal> {
        let platform = &self.platform;
        let sender = &with["webhook"]["entry"][0]["messaging"][0]["sender"]["id"];
        let person = sender.as_str().unwrap_or(person);
        if !with["quiet"].is_u64() && !with["wait"].is_u64() {
            let message = platform.send(person, name, with)?;
            return Ok(json!({"message": message}));
        }
        converse(platform, person, name, with, false)
    }

    /// Answers when something has changed that the page does not know.
    fn wait_for_news(&self, asked: &Parameters) -> Value {
        let (instance, log) = (asked.text("instance"), &self.platform.log);
        let is_known = instance.is_empty() || instance == self.instance;
        let after = asked.text("after").parse().ok().filter(|_| is_known);
        if let Some(version) = after {
            let wait = asked.text("wait").parse();
            let wait = wait.map_or(LONGEST_WAIT, Duration::from_millis);
            if log.wait(version, wait.min(LONGEST_WAIT)) != version {
                thread::sleep(GATHER);
            }
        }
        let (platform, mut news) = (&self.platform, log.since(after.unwrap_or(0)));
        let own_bots = lock(&platform.own_bots).len();
        let profile = lock(&platform.graph_api.calls.page).profile.clone();
        let events = event_names().map(|(name, what)| json!({"name": name, "what": what}));
        for (name, value) in [
            ("instance", json!(self.instance)),
            ("own_bots", json!(own_bots)),
            ("page", json!(platform.options.page)),
            ("events", events.collect()),
            ("bot_url", json!(platform.bot_urls().join(" "))),
            ("graph_url", json!(platform.graph_api.url())),
            ("profile", profile.into()),
            ("trouble", lock(&platform.trouble).to_json()),
        ] {
            news[name] = value;
        }
        news
    }
}

/// The fields of all requests, each with a value of its type.
fn fields() -> Value {
    json!({
        "text": "", "person": "", "payload": "", "event": "", "title": "", "mid": "", "url": "", "emoji": "", "ref": "",
        "user_ref": "", "fault": "", "webhook": {}, "outage": true, "hanging": true, "quiet": 0, "wait": 0, "exchange": 0,
        "latency": 0, "errors": 0, "calls": 0, "count": 0, "bot": 0,
    })
}

fn refuse<T>(status: u16, reason: &str) -> Result<T, Refusal> {
    Err((status, reason.to_string()))
}
