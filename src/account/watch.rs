//! Asks now and then which page the token is for, and whether that page still tells the app of its messages.
//!
//! After an hour of failed webhooks Messenger unsubscribes the app from the page (Messenger
//! Platform, "Webhooks"). The bot then receives nothing, and notices nothing either.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::calls::{Account, Owner, all_fields};
use super::{SUBSCRIBE, TokenPage};
use crate::config::Config;

/// The time between two checks, and until the next one after a failure.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
const AFTER_FAILURE: Duration = Duration::from_secs(20);

/// Starts the thread that asks. The page is not known until the Graph API has told it.
pub(crate) fn watch(config: &Config) -> io::Result<Arc<TokenPage>> {
    let account = Account::new(config);
    let page = Arc::new(TokenPage::unknown(&config.page_access_token));
    let learned = Arc::clone(&page);
    let watch = move || {
        loop {
            let pause = match look(&account, &learned) {
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

fn look(account: &Account, known: &TokenPage) -> Result<(), String> {
    let page = match account.owner()?.page() {
        Ok(page) => page,
        Err(mistake) => {
            log::error!("{mistake}");
            return Ok(());
        }
    };
    // Without the app's id another app's subscription would be taken for ours.
    let mended = match &account.config.app_id {
        Some(app) => mend(account, app, &page),
        None => Ok(()),
    };
    known.learn(page);
    mended
}

fn mend(account: &Account, app: &str, page: &Owner) -> Result<(), String> {
    let subscription = account.page_subscription(page)?;
    if subscription
        .as_ref()
        .is_none_or(|it| it.missing().is_some())
    {
        log::error!(
            "the page is not subscribed to the app, or not to all that it needs: Messenger does not \
             send everything; subscribing it again"
        );
        account.subscribe_page(page, &all_fields(subscription.as_ref()))?;
        log::info!("the page is subscribed again");
    }
    let subscription = account.app_subscription(app)?;
    let Some(subscription) = subscription.filter(|it| it.target.starts_with("http")) else {
        log::error!("the app is not subscribed to webhooks: Messenger sends nothing; {SUBSCRIBE}");
        return Ok(());
    };
    if !subscription.is_active || subscription.missing().is_some() {
        let url = &subscription.target;
        log::error!(
            "the app's subscription to webhooks is not active, or not complete: Messenger does not send \
             everything; subscribing it again, at {url}"
        );
        account.subscribe_app(app, url, &all_fields(Some(&subscription)))?;
        log::info!("the app is subscribed again");
    }
    Ok(())
}
