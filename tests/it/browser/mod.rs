//! The simulator's page in a real browser, with this bot behind it.

use self::shared::{bubbles, open, say, wait_for_bubbles};
use crate::page as client;
use crate::simulate::Simulator;

#[path = "../../../simulator/tests/it/browser/mod.rs"]
#[allow(dead_code, reason = "the simulator's own tests use all of it")]
mod shared;

fn port_of(simulator: &Simulator) -> String {
    let port = simulator.url.trim_end_matches('/').rsplit(':').next();
    port.unwrap_or_default().to_string()
}

#[test]
fn a_person_chats_with_the_bot_and_sees_its_promises_kept() {
    let simulator = Simulator::start(&[]);
    let Some(browser) = open(&simulator) else {
        return;
    };
    let hello = "Hello 👋🏽 你好 مرحبا";
    say(&browser, hello);
    assert_eq!(wait_for_bubbles(&browser, 1), [hello]);
    assert_eq!(bubbles(&browser, false), [hello]);
    browser.wait_until(
        "ticks",
        "return /✓✓ echoed in \\d+ ms$/.test(document.querySelector('.ticks').textContent)",
    );

    browser.click("#attach");
    assert_eq!(wait_for_bubbles(&browser, 2)[1], "I can't echo this");

    browser.click("#outage");
    browser.wait_until(
        "the outage",
        "return document.querySelector('#outage').checked",
    );
    for text in ["one", "two", "three"] {
        say(&browser, text);
    }
    browser.wait_until(
        "three owed",
        "return document.querySelector('#owed').textContent === '3 owed'",
    );
    browser.wait_until(
        "acknowledged all the same",
        "return document.querySelectorAll('.ticks.owed').length === 3",
    );
    assert_eq!(bubbles(&browser, true).len(), 2);
    browser.run("document.querySelectorAll('details')[3].querySelector('summary').click()");
    browser.screenshot("page.png", 1280, 860);
    browser.dark();
    browser.screenshot("dark.png", 1280, 860);
    // New ones have come above it meanwhile, perhaps.
    browser.run("document.querySelectorAll('details[open]').forEach(one => one.open = false)");

    browser.click("#outage");
    assert_eq!(wait_for_bubbles(&browser, 5)[2..], ["one", "two", "three"]);
    browser.wait_until(
        "nothing owed",
        "return document.querySelector('#owed').textContent === 'nothing owed'",
    );

    // What went over the wires can be unfolded and read.
    browser.run("document.querySelectorAll('details')[1].querySelector('summary').click()");
    browser.wait_until("the webhook", "return document.querySelector('details[open] pre')?.textContent.includes('X-Hub-Signature-256')");
    browser.screenshot("phone.png", 390, 844);
    let is_narrow = browser
        .run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth");
    assert_eq!(is_narrow, true, "nothing is wider than a phone");
    assert_eq!(browser.console_errors(), [""; 0]);
}

#[test]
fn every_knob_does_what_it_says() {
    let simulator = Simulator::start(&[]);
    let Some(browser) = open(&simulator) else {
        return;
    };
    browser.click("[data-do=burst]");
    let burst = wait_for_bubbles(&browser, 20);
    assert_eq!(
        burst,
        (1..=20).map(|n| format!("{n} of 20")).collect::<Vec<_>>()
    );
    browser.click("[data-do=redeliver]");
    browser.click("[data-do=unsigned]");
    browser.wait_until(
        "a refusal",
        "return [...document.querySelectorAll('.status.bad')].some(s => s.textContent === '403')",
    );
    say(&browser, "after");
    assert_eq!(
        wait_for_bubbles(&browser, 21)[20],
        "after",
        "neither was echoed"
    );

    browser.run("const l = document.querySelector('#latency'); l.value = 700; l.dispatchEvent(new Event('change'))");
    say(&browser, "late");
    browser.wait_until(
        "it to be owed",
        "return document.querySelector('#owed').textContent === '1 owed'",
    );
    browser.click(".kill");
    assert_eq!(
        wait_for_bubbles(&browser, 22)[21],
        "late",
        "a killed bot keeps its promise"
    );
    // A second person has a conversation of their own.
    browser.run("document.querySelectorAll('#people button')[1].click()");
    say(&browser, "你好");
    assert_eq!(wait_for_bubbles(&browser, 1), ["你好"]);
    assert_eq!(browser.console_errors(), [""; 0]);
}

#[test]
fn several_browsers_see_the_same_and_find_back_after_a_restart() {
    let simulator = Simulator::start(&[]);
    let Some(first) = open(&simulator) else {
        return;
    };
    let Some(second) = open(&simulator) else {
        return;
    };
    say(&first, "from the first");
    assert_eq!(wait_for_bubbles(&second, 1), ["from the first"]);
    let port = port_of(&simulator);
    drop(simulator);
    let is_away = "return document.querySelector('#link').className === 'away'";
    first.wait_until("nobody to be there", is_away);
    second.wait_until("nobody to be there", is_away);
    let again = Simulator::start(&["--port", &port]);
    let is_back = "return document.querySelector('#link').className === '' && !document.querySelector('.bubble')";
    first.wait_until("somebody to be there", is_back);
    second.wait_until("somebody to be there", is_back);
    say(&second, "again");
    assert_eq!(wait_for_bubbles(&first, 1), ["again"]);
    drop(again);
}

#[test]
fn a_page_with_another_name_is_turned_away() {
    let simulator = Simulator::start(&[]);
    let port = port_of(&simulator);
    let curl = |host: &str| {
        let mut command = std::process::Command::new("curl");
        let url = format!("http://127.0.0.1:{port}/log");
        command.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            host,
            &url,
        ]);
        command
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(status) = curl("Host: evil.example") else {
        return;
    };
    assert_eq!(status, "403");
    assert_eq!(
        curl(&format!("Host: localhost:{port}")).expect("curl runs again"),
        "200"
    );
}
