//! Looks whether the page still tells the app of its messages.
//!
//! After an hour of failures Messenger unsubscribes the app from the page, and the bot hears
//! nothing any more (Messenger Platform, "Webhooks"). Nothing else would tell.

use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::graph::account::{Account, AccountError};

/// The time from one look to the next.
const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Looks from now on, in a thread of its own; not without the app's id.
pub(crate) fn start(config: &Config) -> std::io::Result<()> {
    let account = Account::new(config);
    if account.app_id().is_none() {
        return Ok(());
    }
    let watch = move || {
        loop {
            if let Err(error) = look(&account) {
                log::warn!("failed to look after the page's subscription: {error}");
            }
            thread::sleep(INTERVAL);
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch)?;
    Ok(())
}

fn look(account: &Account) -> Result<(), AccountError> {
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
