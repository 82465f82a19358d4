//! Everything but messages: asked and answered as Meta documents it.

use super::*;

#[test]
fn the_page_and_people_tell_who_they_are() {
    let world = World::with(&["--page-id", "42"]);
    let token = "access_token=mine";
    let (_, page) = world.get(&format!("/v26.0/me?fields=id,name&{token}"));
    assert_eq!(page["id"], "42");
    assert!(page["name"].is_string());
    let (_, person) = world.get(&format!("/{PERSON}?fields=first_name,last_name&{token}"));
    assert_eq!(
        person,
        json!({"id": PERSON, "first_name": "Ada", "last_name": "Byron"})
    );
    let (_, person) = world.get(&format!("/{PERSON}?{token}"));
    let picture = person["profile_pic"].as_str().expect("she has a picture");
    assert_eq!(
        ureq::get(picture)
            .call()
            .expect("it can be fetched")
            .status(),
        200
    );
    let (status, nobody) = world.get(&format!("/nobody?{token}"));
    assert_eq!((status, &nobody["error"]["code"]), (404, &json!(803)));
}

#[test]
fn a_profile_is_set_shown_and_deleted() {
    let world = World::start();
    let menu = json!([{"locale": "default", "call_to_actions": [{"type": "postback", "title": "Help", "payload": "HELP"}]}]);
    let (status, refused) = world.post("/me/messenger_profile", &json!({"persistent_menu": menu}));
    assert_eq!(
        (status, &refused["error"]["error_subcode"]),
        (400, &json!(2018145)),
        "no Get Started yet"
    );
    let start = json!({"get_started": {"payload": "START"}, "greeting": [{"locale": "default", "text": "Hi"}]});
    assert_eq!(
        world.post("/me/messenger_profile", &start),
        (200, json!({"result": "success"}))
    );
    assert_eq!(
        world
            .post("/me/messenger_profile", &json!({"persistent_menu": menu}))
            .0,
        200
    );
    let ask = "/v26.0/me/messenger_profile?fields=get_started,persistent_menu&access_token=mine";
    let set = json!({"data": [{"get_started": {"payload": "START"}, "persistent_menu": menu}]});
    assert_eq!(world.get(ask), (200, set));
    assert_eq!(
        world.news()["profile"]["greeting"][0]["text"],
        "Hi",
        "the page shows it"
    );
    let fields = json!({"fields": ["persistent_menu", "get_started", "greeting"]}).to_string();
    let target = "/v26.0/me/messenger_profile?access_token=mine";
    let deleted = world.call("DELETE", target, "application/json", &fields);
    assert_eq!(deleted, (200, json!({"result": "success"})));
    assert_eq!(world.get(ask), (200, json!({"data": []})));
    let (status, refused) = world.post("/me/messenger_profile", &json!({"nonsense": 1}));
    assert_eq!((status, &refused["error"]["code"]), (400, &json!(100)));
}

#[test]
fn what_fails_has_not_been_done() {
    let world = World::start();
    let start = json!({"get_started": {"payload": "START"}});
    for trouble in [json!({"outage": true}), json!({"fault": "190"})] {
        crate::client::post(&world.simulator, "trouble", &trouble);
        assert_ne!(world.post("/me/messenger_profile", &start).0, 200);
        crate::client::post(&world.simulator, "trouble", &json!({}));
        assert_eq!(world.news()["profile"], json!({}), "{trouble}");
    }
}

#[test]
fn thread_settings_of_old_libraries_set_the_same_profile() {
    let world = World::start();
    let settings = [
        json!({"setting_type": "greeting", "greeting": {"text": "Hi"}}),
        json!({"setting_type": "call_to_actions", "thread_state": "new_thread", "call_to_actions": [{"payload": "START"}]}),
        json!({"setting_type": "call_to_actions", "thread_state": "existing_thread", "call_to_actions": [{"type": "postback", "title": "Help", "payload": "HELP"}]}),
    ];
    for setting in settings {
        let (status, answer) = world.post("/me/thread_settings", &setting);
        assert_eq!(status, 200, "{answer}");
        assert!(
            answer["result"]
                .as_str()
                .is_some_and(|result| result.starts_with("Successfully"))
        );
    }
    let profile = world.news()["profile"].clone();
    assert_eq!(profile["get_started"]["payload"], "START");
    assert_eq!(
        profile["persistent_menu"][0]["call_to_actions"][0]["title"],
        "Help"
    );
    assert_eq!(
        world
            .post("/me/thread_settings", &json!({"setting_type": "x"}))
            .0,
        400
    );
}

#[test]
fn a_persona_is_made_used_and_deleted() {
    let world = World::start();
    let persona = json!({"name": "Joan", "profile_picture_url": "https://example.org/joan.png"});
    let (_, made) = world.post("/me/personas", &persona);
    let id = made["id"].as_str().expect("it has an id").to_string();
    let (_, all) = world.get("/v26.0/me/personas?access_token=mine");
    assert_eq!(all["data"][0]["name"], "Joan");
    let call = json!({"recipient": {"id": PERSON}, "persona_id": id, "message": {"text": "hello"}});
    assert_eq!(world.post("/me/messages", &call).0, 200);
    assert_eq!(world.news()["messages"][0]["persona"]["name"], "Joan");
    let target = format!("/v26.0/{id}?access_token=mine");
    assert_eq!(
        world.call("DELETE", &target, "", ""),
        (200, json!({"success": true}))
    );
    assert_eq!(world.post("/me/messages", &call).0, 400);
}

#[test]
fn a_conversation_that_is_passed_on_is_another_apps() {
    let world = World::start();
    let pass = json!({"recipient": {"id": PERSON}, "target_app_id": 263902037430900_i64});
    assert_eq!(
        world.post("/me/pass_thread_control", &pass),
        (200, json!({"success": true}))
    );
    let owner = format!("/v26.0/me/thread_owner?recipient={PERSON}&access_token=mine");
    let (_, told) = world.get(&owner);
    assert_eq!(told["data"][0]["thread_owner"]["app_id"], "263902037430900");
    let (status, refused) = world.send(json!({"text": "still there"}));
    assert_eq!(
        (status, &refused["error"]["error_subcode"]),
        (400, &json!(2018300))
    );
    crate::client::post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "hello"}),
    );
    let webhook = world.bot.wait(1)[0].json();
    assert_eq!(
        webhook["entry"][0]["standby"][0]["message"]["text"],
        "hello"
    );
    let take = json!({"recipient": {"id": PERSON}});
    assert_eq!(world.post("/me/take_thread_control", &take).0, 200);
    assert_eq!(world.send(json!({"text": "back again"})).0, 200);
    let (_, receivers) = world.get("/v26.0/me/secondary_receivers?access_token=mine");
    assert_eq!(receivers["data"][0]["name"], "Page Inbox");
}

#[test]
fn subscriptions_and_tokens_are_told() {
    let world = World::start();
    let subscribed = json!({"subscribed_fields": ["messages", "messaging_postbacks"]});
    assert_eq!(
        world.post("/me/subscribed_apps", &subscribed),
        (200, json!({"success": true}))
    );
    let ask = "/v26.0/me/subscribed_apps?access_token=mine";
    assert_eq!(
        world.get(ask).1["data"][0]["subscribed_fields"][1],
        "messaging_postbacks"
    );
    assert_eq!(world.call("DELETE", ask, "", "").0, 200);
    assert_eq!(world.get(ask).1, json!({"data": []}));
    let (_, token) = world.get("/debug_token?input_token=mine&access_token=app");
    assert_eq!(token["data"]["is_valid"], true);
    let rows = world.news();
    assert!(
        crate::client::exchanges(&rows, "other").count() >= 5,
        "each is a row"
    );
}
