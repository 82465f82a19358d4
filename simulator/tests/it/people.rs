//! People are any ids, and can be named otherwise.

use super::*;
use crate::client::{echoes, post};

#[test]
fn a_person_whom_a_test_made_up_has_a_profile_and_a_tab() {
    let world = World::start();
    let target = "/v26.0/4711?fields=first_name,last_name&access_token=mine";
    let (status, nobody) = world.get(target);
    assert_eq!(status, 400);
    assert_eq!(
        (&nobody["error"]["code"], &nobody["error"]["error_subcode"]),
        (&json!(100), &json!(33))
    );
    let words = nobody["error"]["message"].as_str().unwrap_or_default();
    assert!(
        words.starts_with("Unsupported get request. Object with ID '4711'"),
        "{words}"
    );

    post(
        &world.simulator,
        "say",
        &json!({"person": "4711", "text": "hello"}),
    );
    let (_, person) = world.get(target);
    assert_eq!(
        person,
        json!({"id": "4711", "first_name": "Person", "last_name": "4711"})
    );
    let news = world.news();
    let people = news["people"].as_array().expect("a list");
    assert!(
        people.iter().any(|person| person["id"] == "4711"),
        "{people:?}"
    );
}

#[test]
fn who_opts_in_is_answered_by_their_user_ref() {
    let world = World::start();
    let to = |user_ref: &str| json!({"recipient": {"user_ref": user_ref}, "messaging_type": "RESPONSE", "message": {"text": "welcome"}});
    assert_eq!(world.post("/me/messages", &to("nobody")).0, 400);
    post(
        &world.simulator,
        "send",
        &json!({"person": "88", "event": "optin"}),
    );
    let event = world.bot.wait(1)[0].json()["entry"][0]["messaging"][0].clone();
    assert_eq!(event["sender"], Value::Null);
    let user_ref = event["optin"]["user_ref"].as_str().expect("it has one");
    let (status, answer) = world.post("/me/messages", &to(user_ref));
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer["message_id"].is_string() && answer["recipient_id"].is_null(),
        "{answer}"
    );
    let news = wait_for_news(&world.simulator, |news| echoes(news).len() == 1);
    assert_eq!(news["messages"][0]["person"], "88");
}

#[test]
fn the_app_is_subscribed_and_given_a_token() {
    let world = World::start();
    let (_, token) =
        world.get("/oauth/access_token?client_id=42&client_secret=s&grant_type=client_credentials");
    let app = token["access_token"]
        .as_str()
        .expect("it is a token")
        .replace('|', "%7C");
    assert!(app.starts_with("42%7C"), "{app}");
    let target = format!("/v26.0/42/subscriptions?access_token={app}");
    assert_eq!(world.get(&target).1, json!({"data": []}));
    let form = "object=page&callback_url=https://bot.example/&fields=messages,messaging_postbacks&verify_token=v";
    let urlencoded = "application/x-www-form-urlencoded";
    assert_eq!(
        world.call("POST", &target, urlencoded, form),
        (200, json!({"success": true}))
    );
    let (_, all) = world.get(&target);
    // Webhooks go to the bot, whatever the app says.
    assert_eq!(all["data"][0]["callback_url"], world.bot.url);
    assert_eq!(all["data"][0]["fields"][1]["name"], "messaging_postbacks");
    assert_eq!(
        world.call("POST", &target, urlencoded, "object=page").0,
        400
    );
}
