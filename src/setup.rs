//! `echobot setup`: the subscribing that otherwise takes many clicks in Meta's dashboard.

use std::io::Write;

use serde_json::Value;

use crate::config::Config;
use crate::graph::account::{Account, fields_with, text};

/// Subscribes the app and the page, and writes a line for each step. It can be run again at any time.
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
    let mut print = |step: String| {
        writeln!(out, "✓ {step}").map_err(|error| format!("failed to print: {error}"))
    };
    let page = account
        .page()
        .map_err(|error| format!("failed to find the page: {error}"))?;
    account
        .subscribe_app(
            callback_url,
            &config.verify_token,
            &fields_with(&Value::Null),
        )
        .map_err(|error| format!("failed to subscribe the app to {callback_url}: {error}"))?;
    print(format!(
        "the app is subscribed: webhooks go to {callback_url}"
    ))?;
    let name = text(&page["name"]);
    account
        .subscribe_page(&page, &fields_with(&Value::Null))
        .map_err(|error| format!("failed to subscribe the page {name}: {error}"))?;
    print(format!("the page {name} is subscribed to the app"))
}
