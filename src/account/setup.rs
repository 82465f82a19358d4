//! `echobot setup`: the subscribing that otherwise takes many clicks in Meta's dashboard.

use std::io::Write;

use super::calls::{Account, Owner, all_fields};
use crate::config::Config;

/// Subscribes the app and the page, and writes a line for each step. It can be run again at any time.
///
/// # Errors
/// The first step that failed, in words.
pub fn setup(config: &Config, callback_url: &str, out: &mut dyn Write) -> Result<(), String> {
    if !callback_url.starts_with("https://") {
        return Err("--callback-url wants an https address: Messenger refuses others".to_string());
    }
    let Some(app) = &config.app_id else {
        let what = "your app's id, the number in App settings > Basic";
        return Err(format!("setup needs APP_ID: {what}"));
    };
    let account = Account::new(config);
    let fields = all_fields(None);
    let failed = |what: String| move |error: String| format!("failed to {what}: {error}");
    let mut print = |step: String| {
        let failed = |error| format!("failed to print: {error}");
        writeln!(out, "✓ {step}").map_err(failed)
    };
    let page = account.owner().and_then(Owner::page);
    let page = page.map_err(failed("find the page".to_string()))?;
    let subscribed = account.subscribe_app(app, callback_url, &fields);
    subscribed.map_err(failed(format!("subscribe the app to {callback_url}")))?;
    print(format!(
        "the app is subscribed: webhooks go to {callback_url}"
    ))?;
    let subscribed = account.subscribe_page(&page, &fields);
    subscribed.map_err(failed(format!("subscribe the page {}", page.name)))?;
    print(format!("the page {} is subscribed to the app", page.name))
}
