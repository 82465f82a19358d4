//! Checks now and then that the page still tells the app of its messages.
//!
//! After an hour of failed webhooks Messenger unsubscribes the app from the page (Messenger
//! Platform, "Webhooks"). The bot then receives nothing, and notices nothing either.

use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::graph::account::{Account, AccountError};

/// The time between two checks.
const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Starts the thread that checks. Without the app's id there is none.
pub(crate) fn start(config: &Config) -> std::io::Result<()> {
    let account = Account::new(config);
    if account.app_id().is_none() {
        return Ok(());
    }
    let watch = move || {
        loop {
            if let Err(error) = check(&account) {
                log::warn!("failed to look after the page's subscription: {error}");
            }
            thread::sleep(INTERVAL);
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch)?;
    Ok(())
}

fn check(account: &Account) -> Result<(), AccountError> {
    let page = account.page()?;
    if account.page_subscription(&page)?.is_some() {
        log::debug!("the page is subscribed to the app");
        return Ok(());
    }
    log::error!(
        "the page is not subscribed to the app: Messenger sends nothing; subscribing it again"
    );
    account.subscribe_page(&page)?;
    log::info!("the page is subscribed again");
    Ok(())
}
