//! `echobot check`: what is wrong between this bot and Messenger, and what to do about it.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::config::{Config, ConfigError};
use crate::graph::account::{Account, AccountError, missing, missing_fields, text};
use crate::store::Store;

/// The permissions that the token needs (Messenger Platform, "Permissions").
const SCOPES: [&str; 2] = ["pages_messaging", "pages_manage_metadata"];

/// A token that expires sooner than this fails the check.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const RENEW: &str = "make a new one in the Messenger settings of your app";
const SUBSCRIBE: &str = "run echobot setup --callback-url https://…";

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in a word or two.
    pub topic: &'static str,
    /// How it is.
    pub mark: Mark,
    /// What that means, and what to do.
    pub says: String,
}

/// How a checked thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Not as it should be: the bot does not work, or soon will not.
    Failed,
    /// Not checked.
    Skipped,
}

impl Finding {
    fn new(topic: &'static str, result: Result<String, String>) -> Finding {
        let (mark, says) = match result {
            Ok(says) => (Mark::Ok, says),
            Err(says) => (Mark::Failed, says),
        };
        Finding { topic, mark, says }
    }

    fn skipped(topic: &'static str, says: &str) -> Finding {
        Finding {
            topic,
            mark: Mark::Skipped,
            says: says.to_string(),
        }
    }
}

impl From<AccountError> for String {
    fn from(error: AccountError) -> String {
        error.to_string()
    }
}

/// Checks everything that must be right for the bot to work.
pub fn check(config: &Result<Config, ConfigError>) -> Vec<Finding> {
    match config {
        Ok(config) => check_all(config),
        Err(error) => error
            .to_string()
            .lines()
            .map(|line| Finding::new("settings", Err(line.to_string())))
            .collect(),
    }
}

fn check_all(config: &Config) -> Vec<Finding> {
    let account = Account::new(config);
    let page = account.page();
    let subscription = match &page {
        Ok(page) => Finding::new("subscription", subscription(&account, page)),
        Err(_) => Finding::skipped("subscription", "the page is not known"),
    };
    let [token, app, callback] = app(config, &account);
    vec![
        Finding::new("settings", Ok("all are understood".to_string())),
        outbox(config, &account),
        Finding::new("page", page_of_token(page)),
        token,
        app,
        callback,
        subscription,
    ]
}

fn outbox(config: &Config, account: &Account) -> Finding {
    if let Some(address) = &config.shared {
        return Finding::new("shared outbox", crate::shared::check(address));
    }
    Finding::new("data directory", data_directory(config, account))
}

fn data_directory(config: &Config, account: &Account) -> Result<String, String> {
    let Some(directory) = &config.data_dir else {
        let says = "none: what is owed is kept in memory, and webhooks wait for their echoes";
        return Ok(says.to_string());
    };
    let shown = directory.display();
    try_to_write(directory).map_err(|error| {
        format!(
            "failed to write to {shown}: {error}; name another DATA_DIR, or give echobot the right to write there"
        )
    })?;
    Ok(format!(
        "{shown} can be written; {}",
        outbox_on_disk(config, directory, account)?
    ))
}

/// What is owed, as the file has it, or the bot that has it open.
fn outbox_on_disk(config: &Config, directory: &Path, account: &Account) -> Result<String, String> {
    if !Store::is_in(directory) {
        return Ok("there is no outbox in it yet".to_string());
    }
    let owed = match Store::open(directory) {
        Ok((_, owed)) => owed,
        Err(error) if error.is_busy() => {
            let ask = |address: &SocketAddr| account.health(*address).ok();
            return Ok(match config.listen.iter().find_map(ask) {
                Some(health) => format!("the bot that runs says: {health}"),
                None => "a bot uses it that does not listen where this one would".to_string(),
            });
        }
        Err(error) => return Err(error.to_string()),
    };
    let oldest = owed
        .iter()
        .map(|echo| echo.came.elapsed().as_secs() / 60)
        .max();
    Ok(match oldest {
        None => "nothing is owed, and no bot runs".to_string(),
        Some(minutes) => format!(
            "{} echoes are owed, the oldest for {minutes} minutes, because no bot runs",
            owed.len()
        ),
    })
}

/// Writes a file of its own, because a running bot has locked the outbox.
fn try_to_write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = directory.join(format!("check-{}", std::process::id()));
    fs::write(&file, "echobot")?;
    fs::remove_file(&file)
}

fn page_of_token(page: Result<Value, AccountError>) -> Result<String, String> {
    let page = page?;
    let (name, id) = (text(&page["name"]), text(&page["id"]));
    Ok(format!("the token is for {name} ({id})"))
}

/// The page's subscription to the app.
fn subscription(account: &Account, page: &Value) -> Result<String, String> {
    let Some(subscription) = account.page_subscription(page)? else {
        return Err(format!(
            "the page is not subscribed to the app, so it hears nothing: {SUBSCRIBE}"
        ));
    };
    match missing_fields(&subscription["subscribed_fields"]) {
        None if account.app_id().is_some() => Ok("the page is subscribed to the app".to_string()),
        None => Ok(format!(
            "the page is subscribed to an app, {} ({})",
            text(&subscription["name"]),
            text(&subscription["id"])
        )),
        Some(fields) => Err(format!(
            "the page does not tell the app of {fields}: {SUBSCRIBE}"
        )),
    }
}

/// What can only be checked as the app: the token, the app's subscription and its callback address.
fn app(config: &Config, account: &Account) -> [Finding; 3] {
    if account.app_id().is_none() {
        let says = "set APP_ID (App settings > Basic) to look at it";
        return ["token", "app", "callback"].map(|topic| Finding::skipped(topic, says));
    }
    let subscription = account.app_subscription();
    let callback = match &subscription {
        Ok(Some(subscription)) => {
            let url = text(&subscription["callback_url"]);
            Finding::new("callback", callback(config, account, &url))
        }
        _ => Finding::skipped("callback", "the address is not known"),
    };
    [
        Finding::new("token", token(account)),
        Finding::new("app", app_subscription(subscription)),
        callback,
    ]
}

fn token(account: &Account) -> Result<String, String> {
    let token = account.token()?;
    let app_id = text(&token["app_id"]);
    if token["is_valid"] != true {
        return Err(format!("it is not valid any more: {RENEW}"));
    }
    let kind = text(&token["type"]);
    if !["PAGE", ""].contains(&&*kind) {
        return Err(format!(
            "it is not a page's, its type is {kind}: take the page's from the Messenger settings of your app"
        ));
    }
    if account.app_id() != Some(&app_id) {
        return Err(format!("it was made for another app ({app_id}): {RENEW}"));
    }
    if let Some(scopes) = missing(&SCOPES, &token["scopes"]) {
        return Err(format!(
            "it does not allow {scopes}: {RENEW}, and tick these permissions"
        ));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    // 0 is never.
    let end = |name: &str| {
        token[name]
            .as_u64()
            .filter(|at| *at > 0)
            .map(Duration::from_secs)
    };
    if end("data_access_expires_at").is_some_and(|end| end <= now) {
        return Err(format!("its access to people's data has expired: {RENEW}"));
    }
    let Some(expires_at) = end("expires_at") else {
        return Ok("it is valid, never expires, and allows what is needed".to_string());
    };
    let left = expires_at.saturating_sub(now);
    let days = left.as_secs() / (24 * 60 * 60);
    if left < SOON {
        return Err(format!("it expires in {days} days: {RENEW}"));
    }
    Ok(format!(
        "it is valid for {days} days, and allows what is needed"
    ))
}

fn app_subscription(subscription: Result<Option<Value>, AccountError>) -> Result<String, String> {
    let Some(subscription) = subscription? else {
        return Err(format!(
            "Messenger does not know where to send webhooks: {SUBSCRIBE}"
        ));
    };
    let url = text(&subscription["callback_url"]);
    if subscription["active"] != true {
        return Err(format!(
            "the subscription to {url} is not active: {SUBSCRIBE}"
        ));
    }
    match missing_fields(&subscription["fields"]) {
        None => Ok(format!("webhooks go to {url}")),
        Some(fields) => Err(format!("it is not subscribed to {fields}: {SUBSCRIBE}")),
    }
}

/// Whether a bot with this verify token answers at the callback address.
fn callback(config: &Config, account: &Account, url: &str) -> Result<String, String> {
    match account.handshake(url, &config.verify_token) {
        Ok(()) => Ok(format!("a bot with this VERIFY_TOKEN answers at {url}")),
        Err(error) => Err(format!(
            "the handshake with {url} fails from here: {error}; is the bot up, and the proxy before it?"
        )),
    }
}

/// Writes a line for each finding, or, `as_json`, a line of JSON. Returns whether nothing failed.
///
/// # Errors
/// When a line cannot be written.
pub fn report(findings: &[Finding], as_json: bool, out: &mut dyn Write) -> io::Result<bool> {
    for Finding { topic, mark, says } in findings {
        let (sign, word) = match mark {
            Mark::Ok => ("✓", "ok"),
            Mark::Failed => ("✗", "failed"),
            Mark::Skipped => ("–", "skipped"),
        };
        if as_json {
            let line = json!({"topic": topic, "mark": word, "says": says});
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{sign} {topic}: {says}")?;
        }
    }
    Ok(findings.iter().all(|finding| finding.mark != Mark::Failed))
}
