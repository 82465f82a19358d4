//! However a call is written, the Graph API takes it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::client::echoes;

#[test]
fn a_message_is_taken_however_it_is_written() {
    let world = World::start();
    let recipient = json!({"id": PERSON}).to_string();
    let message = |text: &str| json!({"text": text}).to_string();
    let form = |text: &str| {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        format!(
            "recipient={}&messaging_type=RESPONSE&message={}",
            encode(&recipient),
            encode(&message(text))
        )
    };
    let target = "/v2.6/me/messages?access_token=mine";
    let multipart = format!(
        "--b\r\nContent-Disposition: form-data; name=\"recipient\"\r\n\r\n{recipient}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\n{}\r\n--b--\r\n",
        message("multipart")
    );
    let inside = json!({"recipient": recipient, "message": message("json in json")}).to_string();
    for (target, content_type, body) in [
        (
            target.to_string(),
            "application/x-www-form-urlencoded",
            form("form é"),
        ),
        (format!("{target}&{}", form("query")), "", String::new()),
        (target.to_string(), "application/json", inside),
        (
            target.to_string(),
            "multipart/form-data; boundary=b",
            multipart,
        ),
    ] {
        let (status, answer) = world.call("POST", &target, content_type, &body);
        assert_eq!(status, 200, "{body}: {answer}");
        assert_eq!(answer["recipient_id"], PERSON);
        assert!(answer["message_id"].is_string());
    }
    let texts = ["form é", "query", "json in json", "multipart"];
    assert_eq!(echoes(&world.news()), texts);
}

/// As Node's fetch and form-data send it.
#[test]
fn a_chunked_upload_with_100_continue_is_taken_and_can_be_fetched() {
    let world = World::start();
    let address = world.graph.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the Graph API listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it is a time-out");
    let head = format!(
        "POST /v26.0/me/message_attachments?access_token=mine HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut waits = [0; 25];
    stream.read_exact(&mut waits).expect("it answers");
    assert_eq!(&waits, b"HTTP/1.1 100 Continue\r\n\r\n");
    let message = json!({"attachment": {"type": "image", "payload": {"is_reusable": true}}});
    let parts = format!(
        "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\n{message}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"filedata\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
         PIXELS\r\n--b--\r\n"
    );
    for chunk in parts.as_bytes().chunks(50) {
        let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        stream.write_all(&chunk).expect("it reads");
    }
    stream.write_all(b"0\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
    let uploaded: Value = serde_json::from_str(body).expect("it is JSON");
    let id = uploaded["attachment_id"].as_str().expect("it has an id");

    let attachment = json!({"attachment": {"type": "image", "payload": {"attachment_id": id}}});
    assert_eq!(world.send(attachment).0, 200);
    let news = wait_for_news(&world.simulator, |news| echoes(news).len() == 1);
    let shown = &news["messages"][0]["files"][id];
    let picture = ureq::get(shown.as_str().expect("it has an address")).call();
    let mut picture = picture.expect("it can be fetched");
    assert_eq!(picture.headers()["Content-Type"], "image/png");
    assert_eq!(
        picture.body_mut().read_to_string().expect("it can be read"),
        "PIXELS"
    );
}

#[test]
fn a_batch_is_answered_call_by_call() {
    let world = World::start();
    let body = format!("recipient={{\"id\":\"{PERSON}\"}}&message={{\"text\":\"in a batch\"}}");
    let batch = json!([
        {"method": "POST", "relative_url": "v26.0/me/messages", "body": body},
        {"method": "GET", "relative_url": "me?fields=id"},
        {"method": "GET", "relative_url": "nothing"},
    ]);
    let (status, answers) = world.post("/", &json!({"batch": batch.to_string()}));
    assert_eq!(status, 200);
    let codes: Vec<&Value> = (0..3).map(|n| &answers[n]["code"]).collect();
    assert_eq!(codes, [200, 200, 404], "{answers}");
    let inner: Value =
        serde_json::from_str(answers[0]["body"].as_str().expect("a text")).expect("it is JSON");
    assert_eq!(inner["recipient_id"], PERSON);
    assert_eq!(echoes(&world.news()), ["in a batch"]);
}
