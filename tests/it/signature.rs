//! The signature: what Messenger has not signed does not count.

use echobot::simulator::{APP_SECRET, hmac_hex, text_message, webhook};

use crate::answers::{a_webhook, ask, signature};
use crate::support::{World, raw, request, status_and_body};

#[test]
fn a_signature_in_capitals_is_the_same_signature() {
    let world = World::new();
    let body = a_webhook();
    let hex = hmac_hex(APP_SECRET, body.as_bytes()).to_uppercase();
    let header = format!("x-hub-signature-256: sha256={hex}\r\n");
    assert_eq!(ask(&world, "POST", "/", &header, &body).0, 200);
}

#[test]
fn a_webhook_without_the_right_signature_is_refused_and_never_echoed() {
    let world = World::new();
    let body = a_webhook();
    let right = hmac_hex(APP_SECRET, body.as_bytes());
    let with_newline = format!("{APP_SECRET}\n");
    for header in [
        String::new(),
        "X-Hub-Signature-256: \r\n".to_string(),
        "X-Hub-Signature-256: sha256=\r\n".to_string(),
        format!("X-Hub-Signature-256: {right}\r\n"),
        format!("X-Hub-Signature-256: sha1={right}\r\n"),
        format!("X-Hub-Signature-256: sha256={}\r\n", &right[..62]),
        format!("X-Hub-Signature-256: sha256={right}00\r\n"),
        format!(
            "X-Hub-Signature-256: sha256={}\r\n",
            right.replace(char::is_alphabetic, "0")
        ),
        format!(
            "X-Hub-Signature-256: sha256={}\r\n",
            hmac_hex(&with_newline, body.as_bytes())
        ),
        format!(
            "X-Hub-Signature-256: sha256={}\r\n",
            hmac_hex(APP_SECRET, b"another body")
        ),
        // The SHA-1 of this very body, and right: it does not count.
        "X-Hub-Signature: sha1=0fc7a7c63a6f2a36a0e0e6c0f2f0e7a0b2e1b3ce\r\n".to_string(),
        format!("X-Hub-Signature: sha256={right}\r\n"),
    ] {
        let (status, reason) = ask(&world, "POST", "/", &header, &body);
        assert_eq!(status, 403, "{header}");
        assert!(
            !reason.contains(&right),
            "the expected signature is in the answer"
        );
    }
    // One that counts comes after all of these: had one of them been echoed, it would be first.
    let last =
        String::from_utf8(webhook("page", &[text_message("8", "m_2", "last")])).expect("ASCII");
    assert_eq!(ask(&world, "POST", "/", &signature(&last), &last).0, 200);
    assert_eq!(world.texts(1), ["last"]);
}

#[test]
fn the_signature_is_over_the_raw_bytes() {
    let world = World::new();
    // Equal as JSON, but not byte for byte.
    let body = a_webhook();
    let spaced = body.replacen(':', ": ", 1);
    assert_eq!(ask(&world, "POST", "/", &signature(&body), &spaced).0, 403);
    assert_eq!(
        ask(&world, "POST", "/", &signature(&spaced), &spaced).0,
        200
    );
    // Not UTF-8 at all, but signed: it fails as JSON, not as a signature.
    let bytes = b"\xff\xfe";
    let mut post = request("POST", "/", "", "");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: bot\r\nConnection: close\r\nX-Hub-Signature-256: sha256={}\r\nContent-Length: 2\r\n\r\n",
        hmac_hex(APP_SECRET, bytes)
    );
    post.clear();
    post.extend_from_slice(head.as_bytes());
    post.extend_from_slice(bytes);
    assert_eq!(status_and_body(&raw(&world.bot, &post)).0, 400);
}
