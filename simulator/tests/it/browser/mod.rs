//! The simulator's page in a real browser: headless Chromium, driven by ChromeDriver.
//!
//! Where ChromeDriver is missing this is left out, with a word about it; with
//! `ECHOBOT_BROWSER=required` it fails instead.

#![allow(clippy::print_stdout, reason = "what was left out is said")]

pub mod driver;

pub use self::driver::Browser;
use super::client::Simulator;

/// A browser on the page, or none where there is no browser.
pub fn open(simulator: &Simulator) -> Option<Browser> {
    let Some(browser) = Browser::start() else {
        let is_required = std::env::var("ECHOBOT_BROWSER").is_ok_and(|value| value == "required");
        assert!(!is_required, "there is no chromedriver");
        println!(
            "left out: the page in a browser; install chromium and chromium-driver, then run \
             cargo test --locked"
        );
        return None;
    };
    browser.go(&simulator.url);
    browser.wait_until(
        "connected",
        "return document.querySelector('#link').textContent === 'connected'",
    );
    Some(browser)
}

/// The texts of the bubbles: the bot's, or the person's.
pub fn bubbles(browser: &Browser, of_bot: bool) -> Vec<String> {
    let not = if of_bot { ":not(.me)" } else { ".me" };
    let script = format!(
        "return [...document.querySelectorAll('.row{not} .bubble')].map(b => b.textContent)"
    );
    serde_json::from_value(browser.run(&script)).expect("they are texts")
}

pub fn wait_for_bubbles(browser: &Browser, count: usize) -> Vec<String> {
    let script =
        format!("return document.querySelectorAll('.row:not(.me) .bubble').length >= {count}");
    browser.wait_until(&format!("{count} bubbles of the bot"), &script);
    bubbles(browser, true)
}

pub fn say(browser: &Browser, text: &str) {
    browser.click("#text");
    browser.insert(text);
    browser.press_enter("#text");
}
