//! The page for people without a mouse, or without eyes.

use std::path::Path;
use std::time::Duration;

use super::sight::is_true;
use super::*;
use crate::browser::{bubbles, open, say};
use crate::client::post;

const TAB: &str = "\u{e004}";
const DOWN: &str = "\u{e015}";

#[test]
fn conversation_and_log_are_one_tab_stop_each() {
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    for n in 0..3 {
        say(&browser, &n.to_string());
        world.bot.wait(n + 1);
        world.send(json!({"text": n.to_string(), "quick_replies": [{"content_type": "text", "title": "Q", "payload": "P"}]}));
    }
    browser.wait_until("them", "return document.querySelectorAll('.row').length === 6 && document.querySelectorAll('summary').length >= 6");
    assert_eq!(bubbles(&browser, true).len(), 3);
    for list in ["chat", "exchanges"] {
        let stops = format!(
            "document.querySelector('#{list}').tabIndex === 0 && [...document.querySelectorAll('#{list} *')].every(one => one.tabIndex < 0)"
        );
        assert!(is_true(&browser, &stops), "{list}");
        browser.run(&format!("document.querySelector('#{list}').focus()"));
        browser.press(DOWN);
        let moved = format!(
            "document.querySelector('#{list}').contains(document.activeElement) && document.activeElement.id !== '{list}'"
        );
        assert!(is_true(&browser, &moved), "{list}");
        browser.press(TAB);
        let left = format!("!document.querySelector('#{list}').contains(document.activeElement)");
        assert!(is_true(&browser, &left), "{list}");
    }
}

/// With axe-core, where `.ci/bots` has installed it.
#[test]
fn axe_finds_nothing() {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/bots/node/node_modules/axe-core/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(axe) else {
        return leave_out("accessibility", ".ci/bots installs axe-core");
    };
    let world = World::start();
    let Some(browser) = open(&world.simulator) else {
        return;
    };
    let check = |what: &str| {
        browser.run(&format!("{axe}; window.found = null; axe.run().then(found => {{ window.found = found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' ')); }})"));
        browser.wait_until("axe", "return window.found !== null");
        assert_eq!(browser.run("return window.found"), json!([]), "{what}");
    };
    check("nothing has been said");
    say(&browser, "hello https://example.org/");
    world.bot.wait(1);
    world.send(json!({"text": "Which?", "quick_replies": [{"content_type": "text", "title": "Red", "payload": "RED"}]}));
    world.send(json!({"text": "x".repeat(2001)}));
    post(&world.simulator, "trouble", &json!({"outage": true}));
    browser.wait_until("them", "return document.querySelectorAll('.row').length === 3 && !document.querySelector('#trouble-mark').hidden");
    browser.run("document.querySelectorAll('details')[1].open = true");
    thread::sleep(Duration::from_millis(100));
    check("a conversation with trouble");
    browser.dark();
    check("in the dark");
    browser.click("#more");
    check("what the person does");
    browser.resize(360, 740);
    check("on a phone");
}
