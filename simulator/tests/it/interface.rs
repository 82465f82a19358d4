//! The HTTP interface, for tests of other bots.

use super::*;
use crate::client::try_to_post;
use crate::support::free_port;

#[test]
fn what_goes_wrong_is_told_with_its_status() {
    let world = World::start();
    let simulator = &world.simulator;
    for (path, click, status, words) in [
        ("say", json!({}), 400, "say wants a text"),
        ("send", json!({"event": "x"}), 400, "event is one of"),
        ("trouble", json!({"fault": "odd"}), 400, "fault is a code"),
        (
            "trouble",
            json!({"outtage": true}),
            400,
            "outtage is no field",
        ),
        (
            "trouble",
            json!({"outage": "true"}),
            400,
            "outage is no field",
        ),
        (
            "trouble",
            json!({"errors": "50"}),
            400,
            "errors is no field",
        ),
        (
            "say",
            json!({"text": "a", "wait": "1"}),
            400,
            "wait is no field",
        ),
        (
            "say",
            json!({"text": "a", "person": 7}),
            400,
            "person is no field",
        ),
        ("kill", json!({"bot": 0}), 404, "there is no such bot"),
        ("nowhere", json!({}), 404, "nothing is here"),
    ] {
        let (found, answer) = try_to_post(simulator, path, &click);
        assert_eq!(found, status, "{path}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        assert!(
            answer["error"]
                .as_str()
                .is_some_and(|error| error.contains(words)),
            "{answer}"
        );
    }
    let answer = ureq::post(format!("{}say", simulator.url)).send("text=hello");
    assert!(answer.is_err(), "a form of another site cannot be JSON");
}

#[test]
fn the_log_tells_what_has_changed_and_waits_for_it() {
    let world = World::start();
    let simulator = &world.simulator;
    let log = |query: &str| -> Value {
        let answer = ureq::get(format!("{}log{query}", simulator.url))
            .call()
            .expect("it answers");
        serde_json::from_reader(answer.into_body().into_reader()).expect("it is JSON")
    };
    let all = log("");
    for name in [
        "version",
        "owed",
        "messages",
        "exchanges",
        "shown",
        "instance",
        "people",
        "events",
        "profile",
        "trouble",
        "bot_url",
        "graph_url",
        "own_bots",
    ] {
        assert!(!all[name].is_null(), "{name}");
    }
    try_to_post(simulator, "say", &json!({"text": "a", "quiet": 0}));
    let after = log("");
    assert!(!after["messages"].as_array().expect("a list").is_empty());
    let nothing = log(&format!("?after={}&wait=1", after["version"]));
    assert_eq!(nothing["messages"], json!([]));
}

/// An example of the README's, to the letter but for this port.
fn example(language: &str, port: &str) -> String {
    let start = format!("```{language}\n");
    let code = include_str!("../../README.md").split(&start).nth(1);
    let code = code.expect("there is an example");
    let code = code.split("```").next().expect("it has an end");
    assert!(code.contains(port), "{code}");
    code.replace(port, &free_port().to_string())
}

fn run_test(command: &mut std::process::Command) {
    let command = command.env("SIMULATOR", crate::support::program());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = crate::process::run(command);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn the_readmes_example_tests_a_python_bot() {
    let directory = crate::support::Directory::new("pytest");
    let test = directory.file("test_bot.py", example("python", "8095").as_bytes());
    let python = format!("{}/../target/bots/bin/python", env!("CARGO_MANIFEST_DIR"));
    if !std::path::Path::new(&python).exists() {
        return leave_out("the README's example", ".ci/bots installs pytest");
    }
    let mut python = std::process::Command::new(python);
    run_test(
        python
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
            .arg(&test),
    );
}

#[test]
fn the_readmes_example_tests_a_node_bot() {
    let directory = crate::support::Directory::new("node");
    let test = directory.file("bot.test.mjs", example("js", "8096").as_bytes());
    let mut node = std::process::Command::new("node");
    if node.arg("--version").output().is_err() {
        return leave_out("the README's example", "install Node");
    }
    run_test(std::process::Command::new("node").arg("--test").arg(&test));
}
