//! Finds out which page the token is for, and checks now and then that the page still tells the app
//! of its messages.
//!
//! After an hour of failed webhooks Messenger unsubscribes the app from the page (Messenger
//! Platform, "Webhooks"). The bot then receives nothing, and notices nothing either.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, Secret};
use crate::graph::account::{Account, AccountError, fields_with, missing_fields, text};

/// The time between two checks, and until the next one after a failure.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
const AFTER_FAILURE: Duration = Duration::from_secs(20);

/// The page that the token is for.
pub(crate) struct TokenPage {
    pub(crate) id: String,
    name: String,
}

impl fmt::Display for TokenPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

/// Starts the thread that asks and checks. The page is empty until the Graph API has told it.
pub(crate) fn start(config: &Config) -> std::io::Result<Arc<OnceLock<TokenPage>>> {
    let account = Account::new(config);
    let verify_token = config.verify_token.clone();
    let page = Arc::new(OnceLock::new());
    let known = Arc::clone(&page);
    let watch = move || {
        loop {
            let checked = account.page().and_then(|page| {
                let (id, name) = (text(&page["id"]), text(&page["name"]));
                known.get_or_init(|| TokenPage { id, name });
                check(&account, &page, &verify_token)
            });
            let pause = match checked {
                Ok(()) if account.app_id().is_none() => return,
                Ok(()) => INTERVAL,
                Err(error) => {
                    log::warn!("failed to look after the page and its subscription: {error}");
                    AFTER_FAILURE
                }
            };
            thread::sleep(pause);
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch)?;
    Ok(page)
}

/// Not without the app's id: another app's subscription would be taken for ours.
fn check(account: &Account, page: &Value, verify_token: &Secret) -> Result<(), AccountError> {
    if account.app_id().is_none() {
        return Ok(());
    }
    let subscription = account.page_subscription(page)?.unwrap_or_default();
    let fields = &subscription["subscribed_fields"];
    if missing_fields(fields).is_some() {
        log::error!(
            "the page is not subscribed to the app, or not to all that it needs: Messenger does not \
             send everything; subscribing it again"
        );
        account.subscribe_page(page, &fields_with(fields))?;
        log::info!("the page is subscribed again");
    }
    let Some(subscription) = account.app_subscription()? else {
        log::error!(
            "the app is not subscribed to webhooks: Messenger sends nothing; run echobot setup \
             --callback-url https://…"
        );
        return Ok(());
    };
    let fields = &subscription["fields"];
    if subscription["active"] != true || missing_fields(fields).is_some() {
        let url = text(&subscription["callback_url"]);
        log::error!(
            "the app's subscription to webhooks is not active, or not complete: Messenger does not send \
             everything; subscribing it again, at {url}"
        );
        account.subscribe_app(&url, verify_token, &fields_with(fields))?;
        log::info!("the app is subscribed again");
    }
    Ok(())
}
