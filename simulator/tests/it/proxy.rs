//! `--proxy`: for bots that cannot be told where the Graph API is.

use std::collections::HashMap;
use std::process::Command;

use super::*;
use crate::client::echoes;
use crate::support::Directory;

#[test]
fn the_proxy_answers_for_the_graph_api_and_passes_everything_else_on() {
    let bot = OtherBot::start();
    let temporary = Directory::new("p");
    let mut command = support::simulate(&[]);
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
    // Everything else is passed on.
    let bot_url = &bot.url;
    let other = curl(&["-x", proxy, "--noproxy", "", bot_url]);
    assert!(other.ends_with("ok\n200"), "{other}");
    let other = curl(&["-x", proxy, "--noproxy", "", "-p", bot_url]);
    assert!(other.ends_with("ok\n200"), "{other}");
    let nobody = curl(&["-x", proxy, "--noproxy", "", "http://127.0.0.2:1/"]);
    assert!(
        nobody.contains("failed to reach 127.0.0.2:1") && nobody.ends_with("\n502"),
        "{nobody}"
    );

    let certificate = std::fs::read_to_string(&environment["SSL_CERT_FILE"]).expect("it is there");
    assert!(certificate.contains("BEGIN CERTIFICATE") && !certificate.contains("PRIVATE"));
    let system = std::path::Path::new("/etc/ssl/certs/ca-certificates.crt");
    let count = certificate.matches("BEGIN CERTIFICATE").count();
    assert!(
        count > 10 || !system.exists(),
        "the system's roots are beside it"
    );
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

#[test]
fn kept_certificates_stay_the_same_and_tls_needs_no_proxy() {
    let bot = OtherBot::start();
    let kept = Directory::new("certificates");
    let directory = kept.path().to_str().expect("it is a path");
    let mut files = Vec::new();
    for _ in 0..2 {
        let arguments = bot.arguments(&[
            "--port",
            "0",
            "--tls-port",
            "0",
            "--certificates",
            directory,
        ]);
        let (process, mut told) = simulate(&arguments);
        let line = wait_for_line(&mut told, "over TLS");
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("https://"));
        let url = url.expect("it says where").trim_end_matches(',');
        let file = kept.path().join("certificates.pem");
        let mut curl = Command::new("curl");
        let target = format!("{url}/v26.0/me?fields=id&access_token=a");
        curl.args(["-s", "-m", "20", "--cacert"])
            .arg(&file)
            .arg(target)
            .env_clear();
        let output = curl.output().expect("curl runs");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            answer.contains("\"id\""),
            "{answer}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        files.push(std::fs::read(file).expect("it is there"));
        drop(process);
    }
    assert_eq!(files[0], files[1]);
    use std::os::unix::fs::MetadataExt as _;
    let key = std::fs::metadata(kept.path().join("key.pem")).expect("it is there");
    assert_eq!(key.mode() & 0o077, 0, "nobody else reads the key");
}
