//! What an operator is told of an outbox, a token and subscriptions, and what a bot with `APP_ID` mends by itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

use echobot::simulator::{APP_ID, Reply, text_message};
use serde_json::json;

use crate::account::Account;
use crate::check::{assert_found, operate};
use crate::graph_api::GraphApi;
use crate::support::{Directory, PATIENCE, World, full, signal, start_bot, wait_for_end};

#[test]
fn a_token_that_is_no_pages_or_lost_its_data_is_found() {
    assert_found(
        |account| account.token_type = "USER".to_string(),
        "token",
        "it is not a page's, its type is USER",
    );
    assert_found(
        |account| account.data_access_expires_at = 1_000_000_000,
        "token",
        "its access to people's data has expired",
    );
}

/// The line of `check` about the data directory.
pub fn data_directory(data: &Directory, graph_url: &str, bind: &str) -> String {
    // A proxy that is not there: it is for the Graph API, not for this machine.
    let proxy = ("HTTP_PROXY", "http://127.0.0.1:9");
    let settings = [("DATA_DIR", data.text()), ("BIND", bind), proxy];
    let ended = operate(graph_url, &["check"], &settings);
    let mut lines = ended.stdout.lines();
    let line = lines.find(|line| line.contains(" data directory: "));
    line.map(str::to_string).unwrap_or(ended.stdout)
}

#[test]
fn check_says_how_much_is_owed_since_when_and_why() {
    let data = Directory::new("check-owed");
    let settings = [("DATA_DIR", data.text())];
    let world = World::with(&settings, |_| Reply::error(400, 190, None));
    let url = world.graph_api.url();
    let line = data_directory(&data, &url, world.bot.address());
    assert!(
        line.starts_with("✓") && line.ends_with("the bot that runs says: ok"),
        "{line}"
    );
    let events = [
        text_message("7", "m_1", "hello"),
        text_message("8", "m_2", "hello"),
    ];
    assert_eq!(world.deliver(&events).status, 200);
    let held = world
        .bot
        .wait_for_log("nothing can be sent until you act", PATIENCE);
    assert!(held.is_some(), "{}", world.bot.log());
    let line = data_directory(&data, &url, world.bot.address());
    let says = "ok: 2 echoes are owed, because nothing can be sent until you act";
    assert!(line.ends_with(says), "{line}");
    let line = data_directory(&data, &url, "127.0.0.1:1");
    assert!(
        line.ends_with("a bot uses it, but none answers where BIND and PORT say"),
        "{line}"
    );

    signal(&world.bot, "TERM");
    let mut bot = world.bot;
    assert!(wait_for_end(&mut bot, PATIENCE).is_some());
    let line = data_directory(&data, &url, "127.0.0.1:0");
    let says = "2 echoes are owed, the oldest for 0 minutes, because no bot runs";
    assert!(line.ends_with(says), "{line}");
}

#[test]
fn an_outbox_that_cannot_be_read_is_found() {
    let data = Directory::new("check-damaged");
    let line = data_directory(&data, "http://127.0.0.1:1", "127.0.0.1:0");
    assert!(line.ends_with("there is no outbox in it yet"), "{line}");
    let file = data.file("outbox.redb", &[7; 10_000]);
    let line = data_directory(&data, "http://127.0.0.1:1", "127.0.0.1:0");
    assert!(
        line.starts_with("✗") && line.contains("is damaged"),
        "{line}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("it is ours");
    let line = data_directory(&data, "http://127.0.0.1:1", "127.0.0.1:0");
    assert!(line.starts_with("✗"), "{line}");
}

#[test]
fn setup_understands_success_as_meta_has_written_it() {
    for success in [json!("true"), json!(1)] {
        let world = World::new();
        let bot_url = world.bot.url();
        world.graph_api.account(|account| {
            account.success = success;
            account.internet = Some(bot_url);
        });
        let arguments = ["setup", "--callback-url", "https://bot.example.org/"];
        let ended = operate(&world.graph_api.url(), &arguments, &[]);
        assert!(
            ended.stdout.contains("✓ the app is subscribed"),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
    }
}

/// A bot with the app's id, whose Graph API has this account.
fn watched(change: impl FnOnce(&mut Account)) -> World {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let address = graph_api.url();
    let bot = start_bot(&address, &[("APP_ID", APP_ID)]);
    drop(bot);
    let callback = World::new();
    graph_api.account(|account| {
        account.callback_url = Some(callback.bot.url());
        change(account);
    });
    let bot = start_bot(&address, &[("APP_ID", APP_ID)]);
    let mended = bot.wait_for_log("is subscribed again", PATIENCE);
    assert!(mended.is_some(), "{}", bot.log());
    World {
        bot,
        graph_api,
        ..callback
    }
}

#[test]
fn a_page_without_our_fields_is_subscribed_again_with_those_it_had() {
    let world = watched(|account| account.page_fields = Some(vec!["feed".to_string()]));
    let fields = world
        .graph_api
        .account(|account| account.page_fields.clone());
    assert_eq!(
        fields.unwrap_or_default(),
        ["messages", "messaging_postbacks", "feed"]
    );
}

#[test]
fn an_app_whose_subscription_is_not_active_is_subscribed_again() {
    let world = watched(|account| account.is_active = false);
    assert!(world.graph_api.account(|account| account.is_active));
}

#[test]
fn an_app_that_misses_a_field_is_subscribed_again() {
    let world = watched(|account| account.app_fields = vec!["messages".to_string()]);
    let fields = world
        .graph_api
        .account(|account| account.app_fields.clone());
    assert_eq!(fields, ["messages", "messaging_postbacks"]);
}

#[test]
fn a_first_look_that_fails_is_repeated_within_a_minute() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let bot = start_bot(&format!("http://{address}"), &[("APP_ID", APP_ID)]);
    let failed = bot.wait_for_log("failed to check the page", PATIENCE);
    assert!(failed.is_some(), "{}", bot.log());
    let graph_api = GraphApi::start_at(&address, |_| Reply::deliver());
    let graph_api = graph_api.expect("the port is still free");
    graph_api.account(|account| account.page_fields = None);
    let mended = bot.wait_for_log("the page is subscribed again", Duration::from_secs(60));
    assert!(mended.is_some(), "{}", bot.log());
}

#[test]
fn looks_that_fail_become_rare() {
    if !full() {
        return;
    }
    let bot = start_bot("http://127.0.0.1:1", &[("APP_ID", APP_ID)]);
    thread::sleep(Duration::from_secs(50));
    let log = bot.log();
    // At once, after 20 s, and after another 40 s.
    assert_eq!(log.matches("failed to check the page").count(), 2, "{log}");
}
