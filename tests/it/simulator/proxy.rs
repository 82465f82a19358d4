//! `--proxy`: for bots that cannot be told where the Graph API is.

use std::collections::HashMap;
use std::process::Command;

use super::*;
use crate::page::echoes;
use crate::support::Directory;

#[test]
fn the_proxy_answers_for_the_graph_api_and_for_nobody_else() {
    let bot = OtherBot::start();
    let temporary = Directory::new("p");
    let mut command = echobot(&["simulate"]);
    command
        .args(bot.arguments(&["--port", "0", "--proxy"]))
        .env("TMPDIR", temporary.path());
    let mut process = Running::start(command.stderr(Stdio::piped()));
    let mut told = BufReader::new(process.0.stderr.take().expect("it is piped"));
    wait_for_line(&mut told, "for your bot's environment");
    let mut environment = HashMap::new();
    while environment.len() < 7 {
        let line = wait_for_line(&mut told, "=");
        let (name, value) = line.trim().split_once('=').expect("it is NAME=value");
        environment.insert(name.to_string(), value.to_string());
    }
    let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut open = String::new();
    output.read_line(&mut open).expect("it is text");
    let page = open
        .split(' ')
        .nth(1)
        .expect("it says where its page is")
        .to_string();

    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        let output = curl
            .args(["-s", "-m", "20", "-w", "\n%{http_code}", "--cacert"])
            .arg(&environment["SSL_CERT_FILE"])
            .args(arguments)
            .envs(&environment)
            .output();
        let output = output.expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let message = json!({"recipient": {"id": PERSON}, "messaging_type": "RESPONSE", "message": {"text": "by proxy"}}).to_string();
    let send = ["-H", "Content-Type: application/json", "-d", &message];
    let secure = curl(
        &[
            &send[..],
            &["https://graph.facebook.com/v26.0/me/messages?access_token=a"],
        ]
        .concat(),
    );
    assert!(
        secure.contains(PERSON) && secure.ends_with("\n200"),
        "{secure}"
    );
    // curl heeds only the lower-case name for http.
    let proxy = &environment["HTTP_PROXY"];
    let plain = curl(
        &[
            &send[..],
            &[
                "-x",
                proxy,
                "http://graph.facebook.com/v26.0/me/messages?access_token=a",
            ],
        ]
        .concat(),
    );
    assert!(
        plain.contains(PERSON) && plain.ends_with("\n200"),
        "{plain}"
    );
    let log: Value = {
        let answer = ureq::get(format!("{page}log")).call().expect("it answers");
        serde_json::from_reader(answer.into_body().into_reader()).expect("it is JSON")
    };
    assert_eq!(echoes(&log), ["by proxy", "by proxy"]);
    let other = curl(&["-x", proxy, "http://example.org/"]);
    assert!(
        other.contains("not for example.org") && other.ends_with("\n403"),
        "{other}"
    );
    let other = curl(&["-v", "https://example.org/"]);
    assert!(other.ends_with("\n000"), "{other}");

    let certificate = std::fs::read_to_string(&environment["SSL_CERT_FILE"]).expect("it is there");
    assert!(certificate.contains("BEGIN CERTIFICATE") && !certificate.contains("PRIVATE"));
    let pid = process.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &pid])
            .status()
            .is_ok_and(|status| status.success())
    );
    process.0.wait().expect("it ends");
    assert!(!std::path::Path::new(&environment["SSL_CERT_FILE"]).exists());
}
