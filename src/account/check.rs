//! `echobot check`: what is wrong between this bot and Messenger, and what to do about it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

use super::SUBSCRIBE;
use super::calls::{Owner, Subscription, missing, names, text};
use crate::clock;
use crate::config::Config;
use crate::graph::{Graph, client};
use crate::store::{Store, StoreError};

/// The permissions that the token needs (Messenger Platform, "Permissions").
const SCOPES: [&str; 2] = ["pages_messaging", "pages_manage_metadata"];

/// A token that expires sooner than this fails the check.
const SOON_DAYS: u64 = 14;

/// What is right, or what is wrong and what to do.
type Finding = Result<String, String>;

/// Checks everything that must be right for the bot to work, and prints a line for each finding, or, `as_json`, a line of
/// JSON. Returns whether nothing failed.
///
/// # Errors
/// When a line cannot be printed.
pub fn check(as_json: bool) -> io::Result<bool> {
    let is_ok = true;
    let mut report = Report { as_json, is_ok };
    match Config::from_environment() {
        Ok(config) => check_all(&config, &mut report)?,
        Err(problems) => {
            let mut lines = problems.lines();
            lines.try_for_each(|line| report.add("settings", Err(line.to_string())))?;
        }
    }
    Ok(report.is_ok)
}

struct Report {
    as_json: bool,
    is_ok: bool,
}

impl Report {
    fn add(&mut self, topic: &str, finding: Finding) -> io::Result<()> {
        self.is_ok &= finding.is_ok();
        match finding {
            Ok(says) => self.line(topic, "✓", "ok", &says),
            Err(says) => self.line(topic, "✗", "failed", &says),
        }
    }

    /// What is not checked, or not used, and why.
    fn skip(&mut self, topic: &str, says: &str) -> io::Result<()> {
        self.line(topic, "–", "skipped", says)
    }

    fn line(&mut self, topic: &str, sign: &str, mark: &str, says: &str) -> io::Result<()> {
        let line = match self.as_json {
            true => json!({"topic": topic, "mark": mark, "says": says}).to_string(),
            false => format!("{sign} {topic}: {says}"),
        };
        writeln!(io::stdout(), "{line}")
    }
}

fn check_all(config: &Config, report: &mut Report) -> io::Result<()> {
    let graph = Graph::new(config);
    report.add("settings", Ok("all are understood".to_string()))?;
    match &config.shared {
        Some(address) => report.add("shared outbox", crate::shared::check(address))?,
        None => report.add("data directory", data_directory(config, &graph))?,
    }
    unused_proxies().try_for_each(|says| report.skip("proxy", &says))?;
    let page = graph.owner().and_then(Owner::page);
    let says = |page: &Owner| format!("the token is for {page}");
    report.add("page", page.as_ref().map(says).map_err(String::clone))?;
    match &config.app_id {
        Some(app) => check_app(app, &graph, report)?,
        None => {
            for topic in ["token", "app", "callback"] {
                report.skip(topic, "set APP_ID (App settings > Basic) to check it")?;
            }
        }
    }
    let Ok(page) = page else {
        return report.skip("subscription", "the page is not known");
    };
    let found = graph.page_subscription(&page);
    let finding = judge("the page", "its messages go to the app", &found);
    report.add("subscription", finding)
}

fn data_directory(config: &Config, graph: &Graph) -> Finding {
    let Some(directory) = &config.data_dir else {
        return Ok("none: the outbox is in memory, and webhooks wait for their echoes".to_string());
    };
    let failed = |error| StoreError::system(directory, &error).to_string();
    try_to_write(directory).map_err(failed)?;
    let outbox = outbox_on_disk(config, directory, graph)?;
    Ok(format!("{} can be written; {outbox}", directory.display()))
}

/// What is owed, as the file has it, or the bot that has it open.
fn outbox_on_disk(config: &Config, directory: &Path, graph: &Graph) -> Finding {
    if !Store::is_in(directory) {
        return Ok("there is no outbox in it yet".to_string());
    }
    let owed = match Store::open(directory) {
        Ok((_, owed)) => owed,
        Err(StoreError::Busy(_)) => {
            let health = config.listen.iter().find_map(|at| graph.health(*at));
            let Some((says, is_ok)) = health else {
                return Ok("a bot uses it, but none answers where BIND and PORT say".to_string());
            };
            let says = format!("the bot that runs says: {says}");
            let wrong = format!("{says}; its log tells why");
            return is_ok.then_some(says).ok_or(wrong);
        }
        Err(error) => return Err(error.to_string()),
    };
    let minutes = owed.iter().map(|echo| echo.came.elapsed().as_secs() / 60);
    let Some(oldest) = minutes.max() else {
        return Ok("nothing is owed, and no bot runs".to_string());
    };
    let count = owed.len();
    Ok(format!(
        "{count} echoes are owed, the oldest for {oldest} minutes, because no bot runs"
    ))
}

/// Writes a file of its own, because a running bot has locked the outbox.
fn try_to_write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = directory.join(format!("check-{}", std::process::id()));
    let written = fs::write(&file, "echobot");
    // A full disk lets an empty one be made.
    let removed = fs::remove_file(&file);
    written.and(removed)
}

/// What is not used of the environment's proxies. They are not quoted: a password may be in them.
fn unused_proxies() -> impl Iterator<Item = String> {
    let ranges = "NO_PROXY has a range of addresses, which is not understood: write names, addresses, or endings such as \
                  .example.org";
    let ranges = client::no_proxy().contains('/').then(|| ranges.to_string());
    client::proxies().filter_map(Result::err).chain(ranges)
}

/// What can only be checked as the app: the token, the app's subscription and its callback address.
fn check_app(app: &str, graph: &Graph, report: &mut Report) -> io::Result<()> {
    report.add("token", token(app, graph))?;
    let found = graph.app_subscription(app);
    report.add("app", judge("the app", "webhooks go to", &found))?;
    let url = found.unwrap_or_default().target;
    if url.is_empty() {
        return report.skip("callback", "the address is not known");
    }
    let finding = match graph.handshake(&url) {
        Ok(()) => Ok(format!("a bot with this VERIFY_TOKEN answers at {url}")),
        Err(error) => Err(format!(
            "the handshake with {url} fails from here: {error}; is the bot running, and the proxy in front of it?"
        )),
    };
    report.add("callback", finding)
}

fn token(app: &str, graph: &Graph) -> Finding {
    let token = graph.token(app)?;
    let (token_app, kind) = (text(&token["app_id"]), text(&token["type"]));
    let scopes = names(&token["scopes"]).unwrap_or_default();
    // In seconds; 0 is never.
    let left = |name: &str| {
        let end = token[name].as_u64().filter(|end| *end > 0)?;
        Some(end.saturating_sub(clock::now() / 1000))
    };
    let days = left("expires_at").map(|seconds| seconds / (24 * 60 * 60));
    let expires = days.map(|days| format!("expires in {days} days"));
    let expires = expires.unwrap_or("never expires".to_string());
    let wrong = if token["is_valid"] != true {
        "it is not valid any more".to_string()
    } else if !["PAGE", ""].contains(&kind.as_str()) {
        format!("it is not a page's, its type is {kind}")
    } else if token_app != app {
        format!("it was made for another app ({token_app})")
    } else if let Some(scopes) = missing(&SCOPES, &scopes) {
        format!("it does not allow {scopes}, which must be ticked when a token is made")
    } else if left("data_access_expires_at") == Some(0) {
        "its access to people's data has expired".to_string()
    } else if days.is_some_and(|days| days < SOON_DAYS) {
        format!("it {expires}")
    } else {
        return Ok(format!("it is valid, {expires}, and allows what is needed"));
    };
    let renew = "make a new one in the Messenger settings of your app";
    Err(format!("{wrong}: {renew}"))
}

/// Whether a subscription of the app or the page is as it should be.
fn judge(subject: &str, what: &str, found: &Result<Subscription, String>) -> Finding {
    let found = found.as_ref().map_err(String::clone)?;
    match found.wrong() {
        Some(wrong) => Err(format!("{subject} {wrong}: {SUBSCRIBE}")),
        None => Ok(format!("{subject} is subscribed: {what} {}", found.target)),
    }
}
