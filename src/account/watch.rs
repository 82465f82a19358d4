//! Asks now and then which page the token is for, and whether that page still tells the app of its messages.
//!
//! After an hour of failed webhooks Messenger unsubscribes the app from the page (Messenger
//! Platform, "Webhooks"). The bot then receives nothing, and notices nothing either.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::calls::Owner;
use super::{SUBSCRIBE, TokenPage};
use crate::config::Config;
use crate::graph::Graph;

/// The time between two checks, and until the next one after a failure; after each further failure it is twice as long.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
const AFTER_FAILURE: Duration = Duration::from_secs(20);

/// Starts the thread that asks. The page is not known until the Graph API has told it.
pub(crate) fn watch(config: &Config) -> io::Result<Arc<TokenPage>> {
    let graph = Graph::new(config);
    let page = Arc::new(TokenPage::unknown(&config.page_access_token));
    let learned = Arc::clone(&page);
    let watch = move || {
        loop {
            let mut pause = AFTER_FAILURE;
            while let Err(error) = look(&graph, &learned) {
                log::warn!("failed to check the page and its subscription: {error}");
                thread::sleep(pause);
                pause = INTERVAL.min(pause * 2);
            }
            thread::sleep(INTERVAL);
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch)?;
    Ok(page)
}

fn look(graph: &Graph, known: &TokenPage) -> Result<(), String> {
    let page = graph.owner()?.page();
    let Ok(page) = page.inspect_err(|mistake| log::error!("{mistake}")) else {
        return Ok(());
    };
    // Without the app's id another app's subscription would be taken for ours.
    let app = graph.config.app_id.as_ref();
    let mended = app.map_or(Ok(()), |app| mend(graph, app, &page));
    known.learn(page);
    mended
}

fn mend(graph: &Graph, app: &str, page: &Owner) -> Result<(), String> {
    let found = graph.page_subscription(page)?;
    if let Some(wrong) = found.wrong() {
        log::error!("the page {wrong}; subscribing it again");
        graph.subscribe_page(page)?;
        log::info!("the page is subscribed again");
    }
    let found = graph.app_subscription(app)?;
    match found.wrong() {
        None => {}
        Some(wrong) if found.target.is_empty() => log::error!("the app {wrong}: {SUBSCRIBE}"),
        Some(wrong) => {
            log::error!("the app {wrong}; subscribing it again");
            graph.subscribe_app(app, &found.target)?;
            log::info!("the app is subscribed again");
        }
    }
    Ok(())
}
