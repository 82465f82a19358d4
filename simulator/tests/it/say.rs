//! `--say` and `--send`, for bots that answer more than once, or not in words.

use std::io::Read as _;

use super::*;

/// Runs it with a bot that does `answer` after each webhook, at the Graph API's address.
fn run_with(more: &[&str], answer: fn(&str, usize)) -> (Option<i32>, String, String) {
    let bot = OtherBot::start();
    let (mut process, mut told) = simulate(&bot.arguments(more));
    let line = wait_for_line(&mut told, "instead of https://graph.facebook.com");
    let graph = line
        .trim()
        .rsplit(' ')
        .next()
        .expect("it ends with the address")
        .to_string();
    let received = Arc::clone(&bot.received);
    let answering = thread::spawn(move || {
        let mut answered = 0;
        for _ in 0..2000 {
            let count = received.lock().expect("nobody panics with it").len();
            while answered < count {
                answer(&graph, answered);
                answered += 1;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let mut output = String::new();
    let mut stdout = process.0.stdout.take().expect("it is piped");
    stdout.read_to_string(&mut output).expect("it is text");
    let status = process.0.wait().expect("it ends");
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("it is text");
    drop(answering);
    (status.code(), output, rest)
}

/// Calls the Send API; the status of its answer.
pub fn tell(graph: &str, call: &Value) -> u16 {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let answer = ureq::Agent::from(config)
        .post(format!("{graph}/v26.0/me/messages?access_token=mine"))
        .header("Content-Type", "application/json")
        .send(call.to_string());
    answer.expect("it answers").status().as_u16()
}

pub fn tell_text(graph: &str, text: &str) {
    tell(
        graph,
        &json!({"recipient": {"id": PERSON}, "messaging_type": "RESPONSE", "message": {"text": text}}),
    );
}

#[test]
fn a_bot_that_answers_twice_is_heard_twice_and_under_the_right_text() {
    let twice = |graph: &str, n: usize| {
        tell(
            graph,
            &json!({"recipient": {"id": PERSON}, "sender_action": "typing_on"}),
        );
        tell_text(graph, &format!("first of {n}"));
        thread::sleep(std::time::Duration::from_millis(100));
        tell_text(graph, &format!("second of {n}"));
    };
    let arguments = ["--say", "a", "--say", "b", "--quiet", "700"];
    let (code, output, rest) = run_with(&arguments, twice);
    assert_eq!(code, Some(0), "{rest}");
    assert_eq!(output, "first of 0\nsecond of 0\nfirst of 1\nsecond of 1\n");
    let (code, output, rest) = run_with(&["--say", "a", "--quiet", "700", "--json"], twice);
    assert_eq!(code, Some(0), "{rest}");
    let heard: Value = serde_json::from_str(&output).expect("it is a line of JSON");
    assert_eq!(heard["heard"], json!(["first of 0", "second of 0"]));
    assert_eq!(heard["said"], "a");
    assert!(heard["echo_ms"].is_u64() && heard["webhook_ms"].is_u64());
}

#[test]
fn an_event_is_sent_by_its_name_and_what_comes_back_is_printed() {
    let once = |graph: &str, n: usize| tell_text(graph, &format!("event {n}"));
    let arguments = [
        "--send",
        "get_started",
        "--say",
        "a",
        "--send",
        "image",
        "--quiet",
        "200",
    ];
    let (code, output, rest) = run_with(&arguments, once);
    assert_eq!(code, Some(0), "{rest}");
    assert_eq!(output, "event 0\nevent 1\nevent 2\n");
    // Nobody answers a receipt.
    let (code, output, rest) = run_with(&["--send", "read", "--quiet", "200"], |_, _| ());
    assert_eq!((code, output.as_str()), (Some(0), ""), "{rest}");
}

#[test]
fn a_bot_that_does_not_answer_is_exit_1_and_a_word() {
    let (code, _, rest) = run_with(&["--say", "a"], |_, _| ());
    assert_eq!(code, Some(1));
    assert!(
        rest.contains("has not called") && rest.contains("graph.facebook.com?"),
        "{rest}"
    );
}
