use serde_json::json;

use super::*;

fn refused(call: Value) -> Option<String> {
    let parameters = Parameters {
        values: call,
        ..Parameters::default()
    };
    check(&parameters).err()?.words()
}

fn message(message: Value) -> Option<String> {
    refused(json!({"recipient": {"id": "7"}, "messaging_type": "RESPONSE", "message": message}))
}

fn template(payload: Value) -> Option<String> {
    message(json!({"attachment": {"type": "template", "payload": payload}}))
}

#[track_caller]
fn assert_refused(refusal: Option<String>, words: &str) {
    let refusal = refusal.expect("Meta refuses it");
    assert!(refusal.contains(words), "{refusal}");
}

#[test]
fn what_people_are_sent_passes() {
    let button = json!({"type": "postback", "title": "Yes", "payload": "YES"});
    let web = json!({"type": "web_url", "title": "Look", "url": "https://example.org"});
    for fine in [
        message(json!({"text": "é".repeat(2000)})),
        message(
            json!({"text": "?", "quick_replies": vec![json!({"content_type": "text", "title": "a", "payload": ""}); 13]}),
        ),
        message(
            json!({"attachment": {"type": "image", "payload": {"url": "https://example.org/a.png"}}}),
        ),
        message(json!({"attachment": {"type": "video", "payload": {"attachment_id": "1"}}})),
        template(json!({"template_type": "button", "text": "?", "buttons": [button, web]})),
        template(
            json!({"template_type": "generic", "elements": [{"title": "a", "buttons": [button]}]}),
        ),
        template(
            json!({"template_type": "media", "elements": [{"media_type": "image", "url": "https://example.org"}]}),
        ),
        message(json!({"sticker_id": 767_226_160_478_561_u64})),
        message(json!({"template": {"name": "order_update", "language": {"code": "en"}}})),
        template(json!({"template_type": "product", "elements": [{"id": "1"}, {"id": "2"}]})),
        template(
            json!({"template_type": "image_grid", "elements": [{"images": vec![json!({"url": "https://example.org/a.png"}); 6]}]}),
        ),
        template(
            json!({"template_type": "notification_messages", "title": "News", "payload": "NEWS"}),
        ),
        template(
            json!({"template_type": "receipt", "recipient_name": "Ada", "order_number": "1", "currency": "USD", "payment_method": "Visa", "summary": {"total_cost": 1}}),
        ),
        template(json!({"template_type": "coupon", "title": "10 % off", "coupon_code": "TEN"})),
        refused(json!({"recipient": {"id": "7"}, "sender_action": "TYPING_ON"})),
        refused(json!({"recipient": {"user_ref": "x"}, "message": {"text": "a"}})),
        refused(
            json!({"recipient": {"id": "7"}, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT", "message": {"text": "a"}}),
        ),
    ] {
        assert_eq!(fine, None);
    }
}

#[test]
fn what_meta_refuses_is_refused_with_its_words() {
    let to = json!({"id": "7"});
    let button = json!({"type": "postback", "title": "Yes", "payload": "YES"});
    let element = json!({"title": "a"});
    let reply = json!({"content_type": "text", "title": "a", "payload": "A"});
    for (refusal, words) in [
        (
            refused(json!({"message": {"text": "a"}})),
            "recipient must be non-empty",
        ),
        (
            refused(json!({"recipient": {"id": ""}, "message": {"text": "a"}})),
            "recipient must be non-empty",
        ),
        (
            refused(json!({"recipient": to})),
            "param message must be non-empty",
        ),
        (
            refused(json!({"recipient": to, "sender_action": "dance"})),
            "sender_action must be one of",
        ),
        (
            refused(json!({"recipient": to, "messaging_type": "REPLY", "message": {"text": "a"}})),
            "messaging_type must be one of",
        ),
        (
            refused(
                json!({"recipient": to, "messaging_type": "MESSAGE_TAG", "message": {"text": "a"}}),
            ),
            "Tag is required",
        ),
        (
            refused(
                json!({"recipient": to, "messaging_type": "MESSAGE_TAG", "tag": "ACCOUNT_UPDATE", "message": {"text": "a"}}),
            ),
            "tag must be one of {HUMAN_AGENT}",
        ),
        (
            refused(json!({"recipient": to, "tag": "HELLO", "message": {"text": "a"}})),
            "tag must be one of",
        ),
        (
            template(json!({"template_type": "product", "elements": [{}]})),
            "[elements][0][id] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "image_grid", "elements": [{"images": [{"url": "https://example.org/a.png"}]}]}),
            ),
            "[images] must be at least 2",
        ),
        (
            template(json!({"template_type": "receipt", "recipient_name": "Ada"})),
            "[order_number] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "generic", "elements": [{"title": "a", "buttons": "b"}]}),
            ),
            "[buttons] must be an array",
        ),
        (
            message(json!({"text": "a".repeat(2001)})),
            "message[text] must be less than or equal to 2000",
        ),
        (message(json!({"text": ""})), "Message cannot be empty"),
        (message(json!({"text": " \n"})), "Message cannot be empty"),
        (message(json!({"text": 7})), "must be a string"),
        (
            message(json!({"text": "?", "quick_replies": vec![reply.clone(); 14]})),
            "at most 13",
        ),
        (
            message(
                json!({"text": "?", "quick_replies": [{"content_type": "text", "title": "a".repeat(21), "payload": ""}]}),
            ),
            "[quick_replies][0][title] must be less than or equal to 20",
        ),
        (
            message(
                json!({"text": "?", "quick_replies": [{"content_type": "text", "title": "a"}]}),
            ),
            "[payload] must be non-empty",
        ),
        (
            message(json!({"text": "?", "quick_replies": [{"title": "a"}]})),
            "content_type] must be one of",
        ),
        (
            message(json!({"attachment": {"type": "hologram"}})),
            "[type] is not supported",
        ),
        (
            message(json!({"attachment": {"type": "image", "payload": {}}})),
            "needs url",
        ),
        (
            message(json!({"attachment": {"type": "image", "payload": {"url": "a.png"}}})),
            "valid URL",
        ),
        (
            template(json!({"template_type": "list"})),
            "template_type] must be one of",
        ),
        (
            template(json!({"template_type": "button", "buttons": [button]})),
            "[text] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "button", "text": "a".repeat(641), "buttons": [button]}),
            ),
            "equal to 640",
        ),
        (
            template(json!({"template_type": "button", "text": "?", "buttons": []})),
            "[buttons] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "button", "text": "?", "buttons": vec![button.clone(); 4]}),
            ),
            "at most 3",
        ),
        (
            template(
                json!({"template_type": "button", "text": "?", "buttons": [{"type": "postback", "title": "a"}]}),
            ),
            "[0][payload] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "button", "text": "?", "buttons": [{"type": "web_url", "title": "a"}]}),
            ),
            "[0][url] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "button", "text": "?", "buttons": [{"type": "magic"}]}),
            ),
            "[type] must be one of",
        ),
        (
            template(json!({"template_type": "generic", "elements": []})),
            "[elements] must be non-empty",
        ),
        (
            template(json!({"template_type": "generic", "elements": vec![element; 11]})),
            "at most 10",
        ),
        (
            template(json!({"template_type": "generic", "elements": [{"title": "a".repeat(81)}]})),
            "equal to 80",
        ),
        (
            template(json!({"template_type": "generic", "elements": [{"subtitle": "a"}]})),
            "[title] must be non-empty",
        ),
        (
            template(
                json!({"template_type": "media", "elements": [{"media_type": "song", "url": "x"}]}),
            ),
            "media_type] must be one of",
        ),
    ] {
        assert_refused(refusal, words);
    }
}
