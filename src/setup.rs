//! `check` and `setup`: what is wrong between this bot and Messenger, said before Messenger does,
//! and the clicking in the dashboard, done.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::config::{Config, ConfigError};
use crate::graph::account::{Account, AccountError, AppSubscription, FIELDS, Page, TokenState};

/// What the token must allow (Messenger Platform, "Permissions").
const SCOPES: [&str; 2] = ["pages_messaging", "pages_manage_metadata"];

/// A token that expires sooner than this is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub topic: &'static str,
    /// How it is.
    pub mark: Mark,
    /// What it means, and what to do.
    pub says: String,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Well,
    /// Not as it should be: the bot does not work, or soon will not.
    Broken,
    /// Not looked at.
    LeftOut,
}

impl Finding {
    fn well(topic: &'static str, says: impl Into<String>) -> Finding {
        Finding {
            topic,
            mark: Mark::Well,
            says: says.into(),
        }
    }

    fn broken(topic: &'static str, says: impl Into<String>) -> Finding {
        Finding {
            topic,
            mark: Mark::Broken,
            says: says.into(),
        }
    }

    fn left_out(topic: &'static str, says: impl Into<String>) -> Finding {
        Finding {
            topic,
            mark: Mark::LeftOut,
            says: says.into(),
        }
    }

    fn failed(topic: &'static str, error: &AccountError) -> Finding {
        Finding::broken(topic, error.to_string())
    }
}

/// Looks at everything that must be right for the bot to work.
pub fn check(config: &Result<Config, ConfigError>) -> Vec<Finding> {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            return error
                .lines()
                .map(|line| Finding::broken("settings", line))
                .collect();
        }
    };
    let account = Account::new(config);
    let mut findings = vec![
        Finding::well("settings", "all are understood"),
        data_directory(config),
    ];
    let page = match account.page() {
        Ok(page) => {
            findings.push(Finding::well(
                "page",
                format!("the token is for {} ({})", page.name, page.id),
            ));
            Some(page)
        }
        Err(error) => {
            findings.push(Finding::failed("page", &error));
            None
        }
    };
    if account.app_id().is_some() {
        findings.push(token(&account));
        findings.extend(app(config, &account));
    } else {
        let says = "set APP_ID (App settings > Basic) to look at it";
        findings.extend(["token", "app", "callback"].map(|topic| Finding::left_out(topic, says)));
    }
    findings.push(match page {
        Some(page) => subscription(&account, &page),
        None => Finding::left_out("subscription", "the page is not known"),
    });
    findings
}

fn data_directory(config: &Config) -> Finding {
    let topic = "data directory";
    let Some(directory) = &config.data_dir else {
        return Finding::well(
            topic,
            "none: what is owed is kept in memory, and webhooks wait for their echoes",
        );
    };
    match try_to_write(directory) {
        Ok(()) => Finding::well(topic, format!("{} can be written", directory.display())),
        Err(error) => Finding::broken(
            topic,
            format!(
                "failed to write to {}: {error}; name another DATA_DIR, or give echobot the right to write there",
                directory.display()
            ),
        ),
    }
}

/// A running bot has the outbox open, so another file is written.
fn try_to_write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = directory.join(format!("check-{}", std::process::id()));
    fs::write(&file, "echobot")?;
    fs::remove_file(&file)
}

fn token(account: &Account) -> Finding {
    let topic = "token";
    let state = match account.token() {
        Ok(state) => state,
        Err(error) => return Finding::failed(topic, &error),
    };
    let renew = "make a new one in the Messenger settings of your app";
    let missing = missing(&SCOPES, &state.scopes);
    if !state.is_valid {
        Finding::broken(topic, format!("it is not valid any more: {renew}"))
    } else if account.app_id() != Some(&state.app_id) {
        Finding::broken(
            topic,
            format!("it was made for another app ({}): {renew}", state.app_id),
        )
    } else if !missing.is_empty() {
        Finding::broken(
            topic,
            format!("it does not allow {missing}: {renew}, and tick these permissions"),
        )
    } else {
        expiry(&state, renew)
    }
}

fn expiry(state: &TokenState, renew: &str) -> Finding {
    let topic = "token";
    let Some(expires_at) = state.expires_at else {
        return Finding::well(
            topic,
            "it is valid, never expires, and allows what is needed",
        );
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let left = Duration::from_secs(expires_at).saturating_sub(now);
    let days = left.as_secs() / (24 * 60 * 60);
    if left < SOON {
        Finding::broken(topic, format!("it expires in {days} days: {renew}"))
    } else {
        Finding::well(
            topic,
            format!("it is valid for {days} days, and allows what is needed"),
        )
    }
}

/// The app's subscription, and whether its callback address leads to a bot with this verify token.
fn app(config: &Config, account: &Account) -> [Finding; 2] {
    let not_known = Finding::left_out("callback", "the address is not known");
    let subscribe = "run echobot setup --callback-url https://…";
    let subscription = match account.app_subscription() {
        Ok(Some(subscription)) => subscription,
        Ok(None) => {
            let says = format!("Messenger does not know where to send webhooks: {subscribe}");
            return [Finding::broken("app", says), not_known];
        }
        Err(error) => return [Finding::failed("app", &error), not_known],
    };
    let AppSubscription {
        callback_url,
        active,
        fields,
    } = subscription;
    let missing = missing(&FIELDS, &fields);
    let app = if !active {
        Finding::broken(
            "app",
            format!("the subscription to {callback_url} is not active: {subscribe}"),
        )
    } else if !missing.is_empty() {
        Finding::broken(
            "app",
            format!("it is not subscribed to {missing}: {subscribe}"),
        )
    } else {
        Finding::well("app", format!("webhooks go to {callback_url}"))
    };
    let callback = match account.handshake(&callback_url, &config.verify_token) {
        Ok(()) => Finding::well(
            "callback",
            format!("a bot with this VERIFY_TOKEN answers at {callback_url}"),
        ),
        Err(error) => Finding::broken(
            "callback",
            format!(
                "the handshake with {callback_url} fails from here: {error}; is the bot up, and the proxy before it?"
            ),
        ),
    };
    [app, callback]
}

fn subscription(account: &Account, page: &Page) -> Finding {
    let topic = "subscription";
    let subscribe = "run echobot setup --callback-url https://…";
    match account.page_subscription(page) {
        Ok(None) => Finding::broken(
            topic,
            format!("the page is not subscribed to the app, so it hears nothing: {subscribe}"),
        ),
        Ok(Some(fields)) => match missing(&FIELDS, &fields) {
            missing if missing.is_empty() => {
                Finding::well(topic, "the page is subscribed to the app")
            }
            missing => Finding::broken(
                topic,
                format!("the page does not tell the app of {missing}: {subscribe}"),
            ),
        },
        Err(error) => Finding::failed(topic, &error),
    }
}

fn missing(wanted: &[&str], there: &[String]) -> String {
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|wanted| !there.iter().any(|one| one == wanted))
        .collect();
    missing.join(" and ")
}

/// Writes a line for each finding, or, `as_json`, a line of JSON. Returns whether all is well.
///
/// # Errors
/// When a line cannot be written.
pub fn report(findings: &[Finding], as_json: bool, out: &mut dyn Write) -> io::Result<bool> {
    for Finding { topic, mark, says } in findings {
        let (sign, word) = match mark {
            Mark::Well => ("✓", "well"),
            Mark::Broken => ("✗", "broken"),
            Mark::LeftOut => ("–", "left out"),
        };
        if as_json {
            writeln!(
                out,
                "{}",
                json!({"topic": topic, "mark": word, "says": says})
            )?;
        } else {
            writeln!(out, "{sign} {topic}: {says}")?;
        }
    }
    Ok(findings.iter().all(|finding| finding.mark != Mark::Broken))
}

/// Subscribes app and page, and tells each step. May be run again at any time.
///
/// # Errors
/// The first step that failed, in words.
pub fn setup(config: &Config, callback_url: &str, out: &mut dyn Write) -> Result<(), String> {
    if !callback_url.starts_with("https://") {
        return Err("--callback-url wants an https address: Messenger refuses others".to_string());
    }
    let account = Account::new(config);
    if account.app_id().is_none() {
        return Err(
            "setup needs APP_ID: your app's id, the number in App settings > Basic".to_string(),
        );
    }
    let step = |what: String, done: Result<(), AccountError>| {
        done.map_err(|error| format!("failed to {what}: {error}"))
    };
    let mut tell =
        |what: &str| writeln!(out, "✓ {what}").map_err(|error| format!("failed to print: {error}"));
    let page = account
        .page()
        .map_err(|error| format!("failed to find the page: {error}"))?;
    step(
        format!("subscribe the app to {callback_url}"),
        account.subscribe_app(callback_url, &config.verify_token),
    )?;
    tell(&format!(
        "the app is subscribed: webhooks go to {callback_url}"
    ))?;
    step(
        format!("subscribe the page {}", page.name),
        account.subscribe_page(&page),
    )?;
    tell(&format!("the page {} is subscribed to the app", page.name))
}
