//! Which page the token is for: an answer that is wrong or empty throws no message away.

use echobot::simulator::{APP_ID, PAGE, Reply, text_message};
use serde_json::{Value, json};

use crate::account::Account;
use crate::check::operate;
use crate::graph_api::GraphApi;
use crate::support::{Directory, PATIENCE, World, start_bot};

/// Another page than the token's, that the app hears too.
const OTHER: &str = "100200300400999";

fn person() -> Value {
    json!({"id": "10001", "name": "Jane Doe"})
}

/// A world whose `GET /me` is answered so, once the bot has been told.
fn world(settings: &[(&str, &str)], change: impl FnOnce(&mut Account)) -> World {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    graph_api.account(change);
    let bot = start_bot(&graph_api.url(), settings);
    let messenger = echobot::simulator::Messenger::new(&bot.url());
    let world = World {
        bot,
        graph_api,
        messenger,
    };
    world.wait_until_asked_who();
    world
}

/// Five webhooks of this page, of five people; their mids begin so.
fn deliver_five(world: &World, page: &str, mid: &str) {
    for n in 0..5 {
        let text = format!("{mid} {n}");
        let event = text_message(&format!("7{n}"), &format!("{mid}_{n}"), &text);
        let body =
            json!({"object": "page", "entry": [{"id": page, "time": 1, "messaging": [event]}]});
        let answer = world.messenger.deliver(body.to_string().as_bytes());
        assert_eq!(answer.expect("the bot answers").status, 200);
    }
}

#[test]
fn whatever_is_said_of_the_page_five_webhooks_are_echoed() {
    let answers = [
        json!({}),
        json!({"success": true}),
        json!({"id": ""}),
        person(),
    ];
    for me in answers {
        let world = world(&[], |account| account.me = me.clone());
        deliver_five(&world, PAGE, "m");
        assert_eq!(world.texts(5).len(), 5, "{me}");
    }
}

#[test]
fn an_answer_without_an_id_is_told_and_the_question_is_asked_again() {
    let world = world(&[], |account| account.me = json!({"success": true}));
    let line = world.bot.wait_for_log("failed to check the page", PATIENCE);
    let line = line.expect("it is told");
    assert!(line.contains("is GRAPH_URL right?"), "{line}");
    world
        .graph_api
        .account(|account| account.me = json!({"id": PAGE, "name": "Echo"}));
    let mended = || world.graph_api.account(|account| account.asked_who) > 1;
    let deadline = std::time::Instant::now() + PATIENCE;
    while !mended() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(mended(), "{}", world.bot.log());
}

#[test]
fn another_page_is_passed_over_only_when_an_event_of_the_tokens_page_has_come() {
    let world = world(&[], |_| {});
    deliver_five(&world, OTHER, "early");
    assert_eq!(world.texts(5).len(), 5);
    let line = world.bot.wait_for_log("an event of the page", PATIENCE);
    let line = line.expect("it is told");
    assert!(line.contains(OTHER) && line.contains(PAGE), "{line}");

    deliver_five(&world, PAGE, "own");
    deliver_five(&world, OTHER, "late");
    let line = world
        .bot
        .wait_for_log("passed over: an event of the page", PATIENCE);
    assert!(line.expect("it is told").contains(OTHER));
    deliver_five(&world, PAGE, "own again");
    let texts = world.texts(15);
    let late = texts.iter().filter(|text| text.starts_with("late"));
    assert_eq!((texts.len(), late.count()), (15, 0), "{texts:?}");
}

#[test]
fn with_another_pages_token_the_log_names_both_pages_and_nothing_is_dropped() {
    let data = Directory::new("other-token");
    let settings = [("DATA_DIR", data.text())];
    let world = World::with(&settings, |_| Reply::error(400, 100, Some(2_018_001)));
    deliver_five(&world, OTHER, "m");
    let held = "several people's messages are refused in a row";
    let line = world.bot.wait_for_log(held, PATIENCE);
    assert!(line.is_some(), "{}", world.bot.log());
    deliver_five(&world, OTHER, "again");
    let line = world.bot.wait_for_log("an event of the page", PATIENCE);
    let line = line.unwrap_or_else(|| panic!("{}", world.bot.log()));
    assert!(line.contains(OTHER) && line.contains(PAGE), "{line}");
    let log = world.bot.log();
    assert!(!log.contains("echo dropped"), "{log}");
    assert!(
        !world.bot.log().contains("passed over"),
        "{}",
        world.bot.log()
    );
}

#[test]
fn a_persons_token_is_named_by_the_log_and_by_check() {
    let mut user = person();
    user["metadata"] = json!({"type": "user"});
    // Some Graph APIs do not say what kind of node it is; then the token itself is looked at.
    let trials = [
        (user.clone(), "PAGE", ""),
        (user, "PAGE", APP_ID),
        (person(), "USER", APP_ID),
    ];
    for (me, token_type, app_id) in trials {
        let settings = [("APP_ID", app_id)];
        let settings = if app_id.is_empty() {
            &[][..]
        } else {
            &settings[..]
        };
        let world = world(settings, |account| {
            account.me = me;
            account.token_type = token_type.to_string();
        });
        let says = "PAGE_ACCESS_TOKEN is a person's, Jane Doe (10001), and not a page's";
        let line = world.bot.wait_for_log(says, PATIENCE);
        assert!(line.expect("it is told").starts_with("ERROR"));
        let check = operate(&world.graph_api.url(), &["check"], &[("APP_ID", app_id)]);
        let found = format!("✗ page: {says}");
        assert!(check.stdout.contains(&found), "{}", check.stdout);
        assert_eq!(check.code, Some(1));
    }
}

#[test]
fn a_subscription_that_is_not_understood_is_not_made_anew() {
    let world = world(&[("APP_ID", APP_ID)], |account| {
        account.page_fields = Some(vec!["feed".to_string()]);
        account.subscribed_apps = Some(json!({"success": true}));
    });
    let line = world.bot.wait_for_log("failed to check the page", PATIENCE);
    assert!(line.expect("it is told").contains("was not understood"));
    let fields = world
        .graph_api
        .account(|account| account.page_fields.clone());
    assert_eq!(fields, Some(vec!["feed".to_string()]));
}
