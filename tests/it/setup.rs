//! `echobot setup`, and the bot that notices that its page is unsubscribed.

use echobot::simulator::{APP_ID, Reply};

use crate::check::operate;
use crate::graph_api::GraphApi;
use crate::support::{PATIENCE, World};

const CALLBACK: &str = "https://bot.example/webhook";

#[test]
fn setup_subscribes_app_and_page_and_can_be_run_again() {
    let world = World::new();
    let place = world.bot.url();
    world.graph_api.account(|account| {
        account.page_fields = None;
        account.internet = Some(place);
    });
    for _ in 0..2 {
        let ended = operate(
            &world.graph_api.url(),
            &["setup", "--callback-url", CALLBACK],
            &[],
        );
        assert!(
            ended.stdout.contains("✓ the app is subscribed"),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
        assert!(
            ended.stdout.contains("✓ the page Echo & Co is subscribed"),
            "{}",
            ended.stdout
        );
        assert!(
            ended.stdout.contains("✓ settings: "),
            "it ends with what check says: {}",
            ended.stdout
        );
        world.graph_api.account(|account| {
            assert_eq!(account.callback_url.as_deref(), Some(CALLBACK));
            assert_eq!(account.app_fields, ["messages", "messaging_postbacks"]);
            assert_eq!(
                account.page_fields.as_deref(),
                Some(&account.app_fields[..])
            );
        });
    }
}

#[test]
fn setup_takes_no_other_field_away() {
    let world = World::new();
    let place = world.bot.url();
    world.graph_api.account(|account| {
        account.internet = Some(place);
        account.callback_url = Some("https://old.example/".to_string());
        account.app_fields.push("feed".to_string());
        account.page_fields = Some(vec!["leadgen".to_string()]);
    });
    let arguments = ["setup", "--callback-url", CALLBACK];
    let ended = operate(&world.graph_api.url(), &arguments, &[]);
    world.graph_api.account(|account| {
        assert_eq!(
            account.callback_url.as_deref(),
            Some(CALLBACK),
            "{}",
            ended.stderr
        );
        assert_eq!(
            account.app_fields,
            ["messages", "messaging_postbacks", "feed"]
        );
        let fields = account.page_fields.clone().unwrap_or_default();
        assert_eq!(fields, ["messages", "messaging_postbacks", "leadgen"]);
    });
}

#[test]
fn setup_says_in_words_why_it_cannot() {
    let world = World::new();
    let url = world.graph_api.url();
    world
        .graph_api
        .account(|account| account.internet = Some("http://127.0.0.1:1/".to_string()));
    let none: &[(&str, &str)] = &[];
    for (callback, settings, says) in [
        ("http://bot.example/", none, "https"),
        (CALLBACK, none, "did not get the challenge back"),
        (
            CALLBACK,
            &[("PAGE_ACCESS_TOKEN", "another")][..],
            "make a new one",
        ),
        (
            CALLBACK,
            &[("APP_SECRET", "another")][..],
            "failed to find the page",
        ),
    ] {
        let ended = operate(&url, &["setup", "--callback-url", callback], settings);
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    let ended = operate(&url, &["setup"], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn a_page_that_was_unsubscribed_is_noticed_and_subscribed_again() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    graph_api.account(|account| account.page_fields = None);
    let bot = crate::support::start_bot(&graph_api.url(), &[("APP_ID", APP_ID)]);
    let line = bot
        .wait_for_log("the page is not subscribed", PATIENCE)
        .expect("it is noticed");
    assert!(line.starts_with("ERROR"), "{line}");
    assert!(
        bot.wait_for_log("the page is subscribed again", PATIENCE)
            .is_some(),
        "{}",
        bot.log()
    );
    assert!(graph_api.account(|account| account.page_fields.is_some()));
}

#[test]
fn without_the_apps_id_nobody_looks_after_the_subscription() {
    let world = World::new();
    world
        .graph_api
        .account(|account| account.page_fields = None);
    assert_eq!(
        world
            .deliver(&[echobot::simulator::text_message("7", "m_1", "hello")])
            .status,
        200
    );
    world.texts(1);
    assert!(
        world
            .graph_api
            .account(|account| account.page_fields.is_none())
    );
}
