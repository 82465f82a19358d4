//! Libraries that others wrote, each with a bot that is what its users write: handshake, texts, buttons, profile, upload.
//!
//! `.ci/bots target/bots` installs them; where they are missing this is left out, with a word about it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::client::try_to_post;
use crate::support::free_port;

fn installed() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bots");
    if !directory.join("complete").exists() {
        leave_out("other people's libraries", "run .ci/bots target/bots");
        return None;
    }
    Some(directory)
}

/// What a library can send.
#[derive(Clone, Copy, PartialEq)]
enum Knows {
    Texts,
    Templates,
    Everything,
}

/// The program that runs this script.
fn interpreter(installed: &Path, script: &str) -> Command {
    let script_path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/libraries")
        .join(script);
    let mut command = match script.rsplit('.').next() {
        _ if script.starts_with("opsdroid") => Command::new(installed.join("opsdroid/bin/python")),
        Some("py") => Command::new(installed.join("bin/python")),
        Some("js") => Command::new("node"),
        _ => return Command::new(installed.join("rust/debug").join(script)),
    };
    command
        .arg(script_path)
        .env("NODE_PATH", installed.join("node/node_modules"));
    command
}

/// Plays with a bot; `proxy`: it has the proxy in its environment, and knows nothing of the Graph API's address.
fn play(script: &str, proxy: bool) {
    play_at(script, proxy, "/webhook", Knows::Everything);
}

/// The same with a webhook at this path, of a library that knows so much.
fn play_at(script: &str, proxy: bool, path: &str, knows: Knows) {
    let Some(installed) = installed() else { return };
    let (port, graph_port) = (free_port().to_string(), free_port().to_string());
    let webhook = format!("http://127.0.0.1:{port}{path}");
    let mut arguments = vec![
        "--webhook",
        &webhook,
        "--verify-token",
        "my token",
        "--app-secret",
        SECRET,
    ];
    arguments.extend(["--port", "0", "--graph-port", &graph_port]);
    arguments.extend(proxy.then_some("--proxy"));
    let mut process = Running::start(&mut support::simulate(&arguments));
    let mut told = BufReader::new(process.0.stderr.take().expect("it is piped"));
    let mut environment = HashMap::from([
        ("PORT".to_string(), port),
        ("VERIFY_TOKEN".to_string(), "my token".to_string()),
        ("APP_SECRET".to_string(), SECRET.to_string()),
        (
            "PICTURE".to_string(),
            format!("{}/src/files/picture.png", env!("CARGO_MANIFEST_DIR")),
        ),
    ]);
    if proxy {
        wait_for_line(&mut told, "for your bot's environment");
        for _ in 0..7 {
            let line = wait_for_line(&mut told, "=");
            let (name, value) = line.trim().split_once('=').expect("it is NAME=value");
            environment.insert(name.to_string(), value.to_string());
        }
    } else {
        environment.insert(
            "GRAPH".to_string(),
            format!("http://127.0.0.1:{graph_port}"),
        );
    }
    let mut bot = interpreter(&installed, script);
    bot.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    bot.env("NODE_PATH", installed.join("node/node_modules"))
        .envs(&environment);
    let _bot = Running::start(bot.stdin(Stdio::null()).stdout(Stdio::null()));
    let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut open = String::new();
    output.read_line(&mut open).expect("it is text");
    let url = open
        .split(' ')
        .nth(1)
        .expect("it says where its page is")
        .to_string();
    let simulator = Simulator::of(process, url);
    wait_for_news(&simulator, |news| note(news, "the handshake was accepted"));

    let heard = |path: &str, click: Value| -> Value {
        let (status, heard) = try_to_post(&simulator, path, &click);
        assert_eq!(status, 200, "{script}: {click}: {heard}");
        serde_json::from_str(&heard).expect("it is JSON")
    };
    let text = heard("say", json!({"text": "Hello 👋 é", "wait": 1}));
    assert_eq!(text["heard"], json!(["Hello 👋 é"]), "{script}");
    if knows == Knows::Texts {
        return;
    }
    let buttons = heard("say", json!({"text": "buttons", "wait": 1}));
    let payload = &buttons["messages"][0]["attachment"]["payload"];
    assert_eq!(payload["template_type"], "button", "{script}: {buttons}");
    let button = &payload["buttons"][0];
    let tap = json!({"event": "postback", "title": button["title"], "payload": button["payload"], "wait": 1});
    assert_eq!(
        heard("send", tap)["heard"],
        json!(["tapped RED"]),
        "{script}"
    );
    if knows == Knows::Templates {
        return;
    }
    let upload = heard("say", json!({"text": "upload", "wait": 1}));
    // Uploaded, or named by an address.
    let files = upload["files"][0].as_object();
    let uploaded = files.and_then(|files| files.values().next()?.as_str());
    let named = upload["messages"][0]["attachment"]["payload"]["url"].as_str();
    let picture = uploaded.or(named).unwrap_or_default();
    if !proxy {
        let mut picture = ureq::get(picture)
            .call()
            .unwrap_or_else(|error| panic!("{script}: {upload}: {error}"));
        let bytes = picture.body_mut().read_to_vec().expect("it can be read");
        assert_eq!(
            bytes,
            include_bytes!("../../src/files/picture.png"),
            "{script}"
        );
    }
    let profile = wait_for_news(&simulator, |_| true)["profile"].clone();
    assert_eq!(
        profile["get_started"]["payload"], "START",
        "{script}: {profile}"
    );
    let item = &profile["persistent_menu"][0]["call_to_actions"][0];
    assert_eq!(item["payload"], "HELP", "{script}: {profile}");
}

#[test]
fn pymessenger_is_played_with() {
    play("pymessenger_bot.py", false);
}

#[test]
fn fbmessenger_is_played_with() {
    play("fbmessenger_bot.py", false);
}

#[test]
fn fbmq_is_played_with_through_the_proxy_and_nothing_in_it_is_changed() {
    play("fbmq_bot.py", true);
}

#[test]
fn bootbot_is_played_with() {
    play("bootbot_bot.js", false);
}

#[test]
fn botly_is_played_with() {
    play("botly_bot.js", false);
}

#[test]
fn messaging_api_messenger_is_played_with() {
    play("messaging_api_bot.js", false);
}

#[test]
fn botmaster_is_played_with_through_the_proxy_and_nothing_in_it_is_changed() {
    play_at(
        "botmaster_bot.js",
        true,
        "/messenger/webhook",
        Knows::Everything,
    );
}

#[test]
fn fb_messenger_in_rust_is_played_with_through_the_proxy() {
    play_at("fb-messenger-bot", true, "/webhook", Knows::Templates);
}

#[test]
fn opsdroid_is_played_with_through_the_proxy_and_nothing_in_it_is_changed() {
    play_at("opsdroid_bot.py", true, "/connector/facebook", Knows::Texts);
}
