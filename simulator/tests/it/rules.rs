//! What Meta documents is taken, and what it refuses is refused, over HTTP.

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn bodies_are_taken_as_metas_reference_and_php_write_them() {
    let world = World::start();
    let target = "/v26.0/me/messages?access_token=mine";
    let single = format!(
        "recipient={{'id':'{PERSON}'}}&messaging_type=RESPONSE&message={{'text':'hello, world'}}"
    );
    assert_eq!(world.call("POST", target, FORM, &single).0, 200);
    let query = format!(
        "{target}&{}",
        single
            .replace('\'', "%27")
            .replace(' ', "%20")
            .replace('{', "%7B")
            .replace('}', "%7D")
    );
    assert_eq!(world.call("POST", &query, "", "").0, 200);
    let php = format!(
        "recipient[id]={PERSON}&message[attachment][type]=template&message[attachment][payload][template_type]=generic\
         &message[attachment][payload][elements][0][title]=A\
         &message[attachment][payload][elements][0][buttons][0][type]=postback\
         &message[attachment][payload][elements][0][buttons][0][title]=B\
         &message[attachment][payload][elements][0][buttons][0][payload]=C\
         &message[quick_replies][0][content_type]=text&message[quick_replies][0][title]=Q\
         &message[quick_replies][0][payload]=R"
    );
    let (status, answer) = world.call("POST", target, FORM, &php);
    assert_eq!(status, 200, "{answer}");
    let news = wait_for_news(&world.simulator, |news| {
        crate::client::echoes(news).len() == 3
    });
    let content = |n: usize| &news["messages"][n]["content"];
    assert_eq!(content(0), &json!({"text": "hello, world"}));
    assert_eq!(content(1), content(0));
    let button = &content(2)["attachment"]["payload"]["elements"][0]["buttons"][0];
    assert_eq!(
        button,
        &json!({"type": "postback", "title": "B", "payload": "C"})
    );
    assert_eq!(content(2)["quick_replies"][0]["title"], "Q");
}

#[test]
fn a_profile_with_a_value_of_the_wrong_kind_is_refused() {
    let world = World::start();
    let question = |n: usize| json!({"question": format!("{n}?"), "payload": "P"});
    let questions = |count: usize| (0..count).map(question).collect::<Value>();
    let item = json!({"type": "postback", "title": "Help", "payload": "HELP"});
    for (refused, words) in [
        (json!({"get_started": "START"}), "get_started must be"),
        (json!({"get_started": {}}), "get_started[payload]"),
        (json!({"greeting": "Hi"}), "greeting must be an array"),
        (
            json!({"greeting": [{"locale": "default", "text": "a".repeat(161)}]}),
            "equal to 160",
        ),
        (json!({"ice_breakers": questions(5)}), "at most 4"),
        (
            json!({"ice_breakers": [{"locale": "default", "call_to_actions": questions(5)}]}),
            "at most 4",
        ),
        (
            json!({"persistent_menu": {"locale": "default"}}),
            "persistent_menu must be an array",
        ),
        (
            json!({"persistent_menu": [{"locale": "default", "call_to_actions": [{"type": "magic"}]}]}),
            "must be one of",
        ),
        (
            json!({"whitelisted_domains": "https://example.org"}),
            "must be an array",
        ),
    ] {
        let (status, answer) = world.post("/me/messenger_profile", &refused);
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!(100)),
            "{refused}"
        );
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{message}");
    }
    for taken in [
        json!({"get_started": {"payload": "START"}}),
        json!({"greeting": [{"locale": "default", "text": "a".repeat(160)}]}),
        json!({"ice_breakers": questions(4)}),
        json!({"ice_breakers": [{"locale": "default", "call_to_actions": questions(4)}]}),
        json!({"persistent_menu": [{"locale": "default", "composer_input_disabled": false, "call_to_actions": [item]}]}),
        json!({"whitelisted_domains": ["https://example.org"]}),
    ] {
        let (status, answer) = world.post("/me/messenger_profile", &taken);
        assert_eq!(status, 200, "{taken}: {answer}");
    }
}

#[test]
fn a_bot_whose_route_is_not_there_yet_is_waited_for_and_the_page_says_so() {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("there is a free port");
    let url = format!("http://{}/webhook", server.server_addr());
    thread::spawn(move || {
        for (n, request) in server.incoming_requests().enumerate() {
            let challenge = request
                .url()
                .split("hub.challenge=")
                .nth(1)
                .unwrap_or_default()
                .to_string();
            let status = [404, 503, 403].get(n).copied().unwrap_or(200);
            let answer = tiny_http::Response::from_string(challenge).with_status_code(status);
            let _ = request.respond(answer);
        }
    });
    let simulator = Simulator::start(&[
        "--webhook",
        &url,
        "--verify-token",
        "a",
        "--app-secret",
        "b",
    ]);
    let news = wait_for_news(&simulator, |news| note(news, "the handshake was accepted"));
    for status in [404, 503, 403] {
        assert!(note(&news, &format!("({status})")), "{status}: {news}");
    }
}

#[test]
fn the_reason_of_a_status_is_its_own() {
    use std::io::{Read as _, Write as _};
    let world = World::start();
    crate::client::post(&world.simulator, "trouble", &json!({"outage": true}));
    let address = world.graph.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request =
        format!("GET /me?access_token=a HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
}
