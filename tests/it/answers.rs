//! Every row of the table of answers.

use echobot::simulator::{APP_SECRET, VERIFY_TOKEN, hmac_hex, text_message, webhook};

use crate::support::{World, raw, request, status_and_body};

/// Answers a request on a connection of its own.
pub fn ask(world: &World, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let answer = raw(&world.bot, &request(method, target, headers, body));
    let (status, body) = status_and_body(&answer);
    (status, body.to_string())
}

fn get(world: &World, target: &str) -> (u16, String) {
    ask(world, "GET", target, "", "")
}

fn handshake(mode: &str, token: &str, challenge: &str) -> String {
    format!("/?hub.mode={mode}&hub.verify_token={token}&hub.challenge={challenge}")
}

pub fn signature(body: &str) -> String {
    format!(
        "X-Hub-Signature-256: sha256={}\r\n",
        hmac_hex(APP_SECRET, body.as_bytes())
    )
}

pub fn a_webhook() -> String {
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    String::from_utf8(body).expect("Meta writes ASCII")
}

#[test]
fn the_handshake_gives_the_challenge_back_verbatim() {
    let world = World::new();
    for (given, expected) in [
        ("CHALLENGE_ACCEPTED", "CHALLENGE_ACCEPTED"),
        ("0012345", "0012345"),
        ("a%2Bb%20c+d%26%3Cb%3E", "a+b c d&<b>"),
        ("%F0%9F%91%8B", "👋"),
        ("", ""),
    ] {
        let answer = get(&world, &handshake("subscribe", VERIFY_TOKEN, given));
        assert_eq!(answer, (200, expected.to_string()));
    }
    // Names may be encoded, too.
    let target = handshake("subscribe", VERIFY_TOKEN, "CHALLENGE").replace("hub.", "hub%2E");
    assert_eq!(get(&world, &target), (200, "CHALLENGE".to_string()));
}

#[test]
fn the_handshake_is_answered_as_plain_text() {
    let world = World::new();
    let target = handshake("subscribe", VERIFY_TOKEN, "<script>");
    let answer = raw(&world.bot, &request("GET", &target, "", ""));
    assert!(
        answer.contains("Content-Type: text/plain; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"),
        "{answer}"
    );
}

#[test]
fn a_handshake_with_anything_wrong_is_refused_and_repeats_nothing() {
    let world = World::new();
    for target in [
        handshake("subscribe", "wrong", "CHALLENGE"),
        handshake("subscribe", "", "CHALLENGE"),
        handshake("subscribe", &VERIFY_TOKEN[1..], "CHALLENGE"),
        handshake("unsubscribe", VERIFY_TOKEN, "CHALLENGE"),
        format!("/?hub.verify_token={VERIFY_TOKEN}&hub.challenge=CHALLENGE"),
        "/?hub.mode=subscribe&hub.challenge=CHALLENGE".to_string(),
        format!("/?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}"),
        format!("/?hub.mode=subscribe&hub.challenge=CHALLENGE&hub.verify_token=%FF{VERIFY_TOKEN}"),
    ] {
        let (status, body) = get(&world, &target);
        assert_eq!(status, 403, "{target}");
        assert!(
            !body.contains("CHALLENGE") && !body.contains(VERIFY_TOKEN),
            "{body}"
        );
    }
}

#[test]
fn a_visitor_is_told_what_this_is() {
    let world = World::new();
    for target in ["/", "/?", "/?a=b"] {
        let (status, body) = get(&world, target);
        assert_eq!(status, 200);
        assert!(
            body.starts_with("echobot: ") && body.lines().count() == 1,
            "{body}"
        );
    }
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let world = World::new();
    let (status, body) = ask(&world, "HEAD", "/", "", "");
    assert_eq!((status, body.as_str()), (200, ""));
}

#[test]
fn health_is_ok_while_all_is_well() {
    let world = World::new();
    assert_eq!(get(&world, "/healthz"), (200, "ok".to_string()));
    assert_eq!(ask(&world, "POST", "/healthz", "", "").0, 405);
}

#[test]
fn other_paths_are_not_found() {
    let world = World::new();
    for target in [
        "/webhook",
        "//",
        "/healthz/",
        "/%2F",
        "/..",
        "/index.html?hub.mode=subscribe",
    ] {
        assert_eq!(get(&world, target).0, 404, "{target}");
        assert_eq!(ask(&world, "POST", target, "", "").0, 404, "{target}");
    }
}

#[test]
fn other_methods_are_not_allowed_and_told_which_are() {
    let world = World::new();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "ODD"] {
        let answer = raw(&world.bot, &request(method, "/", "", ""));
        assert_eq!(status_and_body(&answer).0, 405, "{method}");
        assert!(answer.contains("Allow: GET, HEAD, POST\r\n"), "{answer}");
    }
    let answer = raw(&world.bot, &request("PUT", "/healthz", "", ""));
    assert!(answer.contains("Allow: GET, HEAD\r\n"), "{answer}");
}

#[test]
fn a_signed_webhook_is_answered_and_echoed() {
    let world = World::new();
    let body = a_webhook();
    assert_eq!(
        ask(&world, "POST", "/", &signature(&body), &body),
        (200, "ok".to_string())
    );
    assert_eq!(world.texts(1), ["hello"]);
}

#[test]
fn what_is_signed_but_no_webhook_is_a_bad_request() {
    let world = World::new();
    for body in [
        "",
        "hello",
        "{",
        "[]",
        "{}",
        "null",
        r#"{"object":"page"}"#,
        r#"{"entry":[]}"#,
    ] {
        let (status, reason) = ask(&world, "POST", "/", &signature(body), body);
        assert_eq!(status, 400, "{body}");
        assert!(reason.starts_with("the body is not"), "{reason}");
    }
}

#[test]
fn a_webhook_without_anything_to_answer_is_answered() {
    let world = World::new();
    for body in [
        r#"{"object":"page","entry":[]}"#,
        r#"{"object":"instagram","entry":[{}]}"#,
        r#"{"object":"user","entry":[{"id":"1"}]}"#,
        r#"{"object":"page","entry":[{"id":"0","changes":[{"field":"messages","value":{}}]}]}"#,
    ] {
        assert_eq!(
            ask(&world, "POST", "/", &signature(body), body).0,
            200,
            "{body}"
        );
    }
}

#[test]
fn a_body_of_four_mebibytes_is_taken_and_one_byte_more_is_not() {
    let world = World::new();
    let limit = 4 * 1024 * 1024;
    let body = a_webhook();
    let padded = format!("{body}{}", " ".repeat(limit - body.len()));
    assert_eq!(
        ask(&world, "POST", "/", &signature(&padded), &padded).0,
        200
    );
    let longer = format!("{padded} ");
    assert_eq!(
        ask(&world, "POST", "/", &signature(&longer), &longer).0,
        413
    );
    assert_eq!(world.texts(1), ["hello"]);
}

#[test]
fn what_is_not_plain_http_is_refused_with_the_right_status() {
    let world = World::new();
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    let padded = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(9000)
    );
    for (status, bytes) in [
        (431, long.as_str()),
        (431, &padded),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (400, "hello\r\n\r\n"),
        (400, "GET / HTTP/1.1\nHost: a\n\n"),
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            411,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            413,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000000000\r\n\r\n",
        ),
        (
            417,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: magic\r\n\r\nhello",
        ),
    ] {
        let answer = raw(&world.bot, bytes.as_bytes());
        assert_eq!(status_and_body(&answer).0, status, "{bytes:.60}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert_eq!(
            get(&world, "/healthz").0,
            200,
            "the bot lives after {bytes:.60}"
        );
    }
}

#[test]
fn a_request_that_does_not_come_to_its_end_is_answered_408() {
    let world = World::new();
    let answer = raw(
        &world.bot,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
    );
    assert_eq!(status_and_body(&answer).0, 408, "{answer}");
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let world = World::new();
    let body = a_webhook();
    let first = format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{body}",
        signature(&body),
        body.len()
    );
    let second = String::from_utf8(request("GET", "/healthz", "", "")).expect("it is ASCII");
    let answers = raw(&world.bot, (first + &second).as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}
