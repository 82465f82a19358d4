//! `echobot setup`: the subscribing that otherwise takes many clicks in Meta's dashboard.

use std::error::Error;
use std::io::{self, Write as _};

use super::calls::Owner;
use crate::config::Config;
use crate::graph::Graph;

/// Subscribes the app and the page, and prints a line for each step. It can be run again at any time.
///
/// # Errors
/// The first step that failed, in words.
pub fn setup(config: &Config, url: &str) -> Result<(), Box<dyn Error>> {
    if !url.starts_with("https://") {
        return Err("--callback-url must be an https address: Messenger calls no other".into());
    }
    let app = config.app_id.as_ref();
    let app = app.ok_or("setup needs APP_ID, the number in App settings > Basic")?;
    let (graph, mut out) = (Graph::new(config), io::stdout());
    let page = graph.owner().and_then(Owner::page);
    let page = page.map_err(|error| format!("failed to find the page: {error}"))?;
    let subscribed = graph.subscribe_app(app, url);
    subscribed.map_err(|error| format!("failed to subscribe the app to {url}: {error}"))?;
    writeln!(out, "✓ the app is subscribed: webhooks go to {url}")?;
    let name = &page.name;
    let subscribed = graph.subscribe_page(&page);
    subscribed.map_err(|error| format!("failed to subscribe the page {name}: {error}"))?;
    writeln!(out, "✓ the page {name} is subscribed to the app")?;
    Ok(())
}
