//! `echobot check`: each finding, healthy and broken.

use std::path::Path;

use echobot::simulator::{APP_ID, Bot, VERIFY_TOKEN};
use serde_json::Value;

use crate::account::Account;
use crate::process::{Ended, run};
use crate::support::{Directory, World, program};

/// Runs `echobot` with these arguments as the operator of this Graph API's app.
pub fn operate(graph_url: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let mut all = vec![
        ("GRAPH_URL", graph_url.to_string()),
        ("APP_ID", APP_ID.to_string()),
    ];
    all.extend(
        settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_string())),
    );
    // A setting that is to be left out is given as nothing.
    let left_out: Vec<&str> = settings
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| *name)
        .collect();
    all.retain(|(name, _)| !left_out.contains(name));
    run(Bot::command(program(), &all).args(arguments))
}

/// A world in which everything is set up: the callback address is the bot's own.
fn set_up() -> World {
    let world = World::new();
    let url = world.bot.url();
    world
        .graph_api
        .account(|account| account.callback_url = Some(url));
    world
}

/// What `check` says of a topic when something has been changed.
#[track_caller]
pub fn assert_found(change: impl FnOnce(&mut Account), topic: &str, says: &str) {
    let world = set_up();
    world.graph_api.account(change);
    let ended = operate(&world.graph_api.url(), &["check"], &[]);
    let line = ended
        .stdout
        .lines()
        .find(|line| line.contains(&format!(" {topic}: ")));
    let line =
        line.unwrap_or_else(|| panic!("nothing of {topic}: {}{}", ended.stdout, ended.stderr));
    assert!(line.starts_with('✗') && line.contains(says), "{line}");
    assert_eq!(ended.code, Some(1));
}

#[test]
fn all_is_well_when_all_is_well() {
    let world = set_up();
    let data = Directory::new("check");
    let ended = operate(
        &world.graph_api.url(),
        &["check"],
        &[("DATA_DIR", data.text())],
    );
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let topics: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| line.split(':').next().unwrap_or_default())
        .collect();
    let expected = [
        "settings",
        "data directory",
        "page",
        "token",
        "app",
        "callback",
        "subscription",
    ];
    assert_eq!(topics, expected.map(|topic| format!("✓ {topic}")));
    assert!(ended.stdout.contains("Echo & Co"), "{}", ended.stdout);
    assert_eq!(
        std::fs::read_dir(data.path()).expect("it is there").count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn scripts_get_a_line_of_json_for_each_finding() {
    let world = set_up();
    let ended = operate(&world.graph_api.url(), &["check", "--json"], &[]);
    let findings: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    assert_eq!(findings.len(), 7);
    assert!(
        findings.iter().all(|finding| finding["mark"] == "ok"),
        "{findings:?}"
    );
}

#[test]
fn each_setting_that_is_wrong_is_a_finding() {
    let ended = operate(
        "http://127.0.0.1:1",
        &["check"],
        &[("PORT", "abc"), ("THREADS", "0")],
    );
    assert_eq!(ended.code, Some(1));
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("✗ settings: ")),
        "{lines:?}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_found() {
    let world = set_up();
    let ended = operate(
        &world.graph_api.url(),
        &["check"],
        &[("DATA_DIR", "/proc/nothing")],
    );
    assert!(
        ended
            .stdout
            .contains("✗ data directory: DATA_DIR: failed to use /proc/nothing"),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.code, Some(1));
}

#[test]
fn a_token_that_is_no_good_is_found() {
    assert_found(
        |account| account.token_is_valid = false,
        "page",
        "make a new one",
    );
    assert_found(
        |account| account.token_is_valid = false,
        "token",
        "not valid any more",
    );
    assert_found(
        |account| account.token_app = "1".to_string(),
        "token",
        "another app",
    );
    assert_found(
        |account| account.scopes.truncate(1),
        "token",
        "does not allow pages_manage_metadata",
    );
    assert_found(
        |account| account.expires_at = 1_000_000_000,
        "token",
        "expires in 0 days",
    );
}

#[test]
fn a_subscription_that_is_no_good_is_found() {
    assert_found(
        |account| account.callback_url = None,
        "app",
        "echobot setup",
    );
    assert_found(|account| account.is_active = false, "app", "not active");
    assert_found(
        |account| account.app_fields.truncate(1),
        "app",
        "not subscribed to messaging_postbacks",
    );
    assert_found(
        |account| account.page_fields = None,
        "subscription",
        "does not receive",
    );
    assert_found(
        |account| account.page_fields = Some(vec![]),
        "subscription",
        "messages and messaging_postbacks",
    );
    let nowhere =
        |account: &mut Account| account.callback_url = Some("http://127.0.0.1:1/".to_string());
    assert_found(nowhere, "callback", "fails from here");
}

#[test]
fn a_callback_with_another_verify_token_is_found() {
    let world = set_up();
    let ended = operate(
        &world.graph_api.url(),
        &["check"],
        &[("VERIFY_TOKEN", "another one")],
    );
    assert!(
        ended.stdout.contains("another VERIFY_TOKEN"),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.code, Some(1));
}

#[test]
fn a_graph_api_that_is_not_reached_is_told_without_a_secret() {
    let ended = operate("http://127.0.0.1:1", &["check"], &[]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("failed to reach the Graph API"),
        "{}",
        ended.stdout
    );
    for secret in [
        echobot::simulator::PAGE_ACCESS_TOKEN,
        echobot::simulator::APP_SECRET,
        VERIFY_TOKEN,
    ] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret));
    }
}

#[test]
fn without_the_apps_id_check_does_what_it_can_and_says_what_it_left_out() {
    let world = set_up();
    let ended = operate(&world.graph_api.url(), &["check"], &[("APP_ID", "")]);
    let left_out = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with('–'))
        .count();
    assert_eq!((ended.code, left_out), (Some(0), 3), "{}", ended.stdout);
}

#[test]
fn a_full_disk_is_found_and_nothing_is_left_on_it() {
    let data = Directory::new("check-full");
    let settings = [("DATA_DIR", data.text().to_string())];
    let mut command = Bot::command(Path::new("/bin/sh"), &settings);
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" check";
    let ended = run(command.args(["-c", script]).arg(program()));
    let says = format!(
        "✗ data directory: DATA_DIR: failed to use {}: ",
        data.text()
    );
    assert!(ended.stdout.contains(&says), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("; free some space there"),
        "{}",
        ended.stdout
    );
    let left = std::fs::read_dir(data.path()).expect("it is there").count();
    assert_eq!(left, 0);
}

#[test]
fn the_name_of_a_page_forges_no_line() {
    let world = set_up();
    let name = "Page\n✓ token: forged \x1b[31m";
    let change = |account: &mut Account| {
        account.me["name"] = name.into();
        account.internet = account.callback_url.clone();
    };
    world.graph_api.account(change);
    let url = world.graph_api.url();
    let setup = ["setup", "--callback-url", "https://bot.example/"];
    for arguments in [&["check"][..], &setup] {
        let stdout = operate(&url, arguments, &[]).stdout;
        assert!(
            stdout.contains("Page\\n✓ token: forged \\u{1b}"),
            "{stdout}"
        );
        assert!(!stdout.contains('\x1b'), "{stdout}");
    }
}
