//! Servers on which a 200 is worth less, and such as cannot be used.

use std::process::Command;

use echobot::simulator::Reply;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;
use crate::graph_api::GraphApi;
use crate::process::{echobot, run};
use crate::support::{Directory, raw, request};

pub fn delivering() -> GraphApi {
    GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts")
}

#[test]
fn what_a_200_is_worth_is_said_by_the_bot_and_by_check() {
    let cases: [(&[&str], &str, bool); 6] = [
        (&SAFE, "a 200 survives the loss of the server", true),
        (
            &["--appendonly", "yes", "--appendfsync", "everysec"],
            "up to a second of what was answered 200 may be lost",
            true,
        ),
        (
            &[
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--no-appendfsync-on-rewrite",
                "yes",
            ],
            "what is answered 200 while the server rewrites its file may be lost",
            true,
        ),
        (
            &["--appendonly", "no"],
            "everything that is owed is lost with the server",
            true,
        ),
        (
            &[
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--maxmemory",
                "100mb",
                "--maxmemory-policy",
                "allkeys-lru",
            ],
            "the server deletes echoes that are owed (maxmemory-policy is allkeys-lru)",
            false,
        ),
        (
            &["--rename-command", "CONFIG", ""],
            "the server does not tell what a 200 is worth",
            true,
        ),
    ];
    for (options, line, is_fine) in cases {
        let Some(server) = server_with(options) else {
            return;
        };
        let graph_api = delivering();
        let bot = bot(&server, &graph_api.url());
        assert_says(&bot, line);
        assert_eq!(write_to(&bot, "7", "m_1", "hello").status, 200, "{line}");
        assert_says(&bot, "echoed: mid m_1");
        let check = check(&server.url(), &graph_api.url());
        assert!(check.contains(line), "{check}");
        let mark = if is_fine { "✓" } else { "✗" };
        assert!(
            check.contains(&format!("{mark} shared outbox: ")),
            "{check}"
        );
    }
}

pub fn check(redis_url: &str, graph_url: &str) -> String {
    let mut command = echobot(&["check"]);
    let secrets = ["PAGE_ACCESS_TOKEN", "VERIFY_TOKEN", "APP_SECRET"];
    command.envs(secrets.map(|name| (name, "x")));
    command
        .env("REDIS_URL", redis_url)
        .env("GRAPH_URL", graph_url);
    run(&mut command).stdout
}

/// What each of these answers with is no 200, and the log says why.
#[test]
fn a_server_that_cannot_be_used_means_503_and_a_line_and_nothing_is_lost() {
    let cases: [(&str, &[&str], &[&str], &str); 5] = [
        (
            "a password",
            &["--requirepass", "secret"],
            &["CONFIG SET requirepass \"\""],
            "the password is missing or wrong",
        ),
        (
            "a replica",
            &["--replicaof", "127.0.0.1 1"],
            &["REPLICAOF NO ONE"],
            "it is a replica: name the primary",
        ),
        (
            "a replica that serves no old data",
            &[
                "--replicaof",
                "127.0.0.1 1",
                "--replica-serve-stale-data",
                "no",
            ],
            &["REPLICAOF NO ONE"],
            "it is a replica",
        ),
        (
            "full",
            &["--maxmemory", "1kb"],
            &["CONFIG SET maxmemory 0"],
            "its memory is full",
        ),
        (
            "too old",
            &["--rename-command", "EVAL", ""],
            &[],
            "it is too old, or forbids commands",
        ),
    ];
    for (name, options, cure, line) in cases {
        let Some(server) = server_with(options) else {
            return;
        };
        let graph_api = delivering();
        let bot = bot(&server, &graph_api.url());
        let answer = write_to(&bot, "7", "m_1", "hello");
        assert_eq!(answer.status, 503, "{name}");
        assert_says(&bot, line);
        let said = check(&server.url(), &graph_api.url());
        assert!(said.contains(line) || name == "full", "{name}: {said}");
        assert!(!bot.log().contains("secret"), "{}", bot.log());
        let health = raw(&bot, &request("GET", "/healthz", "", ""));
        assert!(health.starts_with("HTTP/1.1 503"), "{name}: {health}");
        if cure.is_empty() {
            continue;
        }
        let authenticated = ["AUTH secret"].iter().chain(cure).copied();
        server.ask(&authenticated.collect::<Vec<_>>().join("\r\n"));
        let deadline = std::time::Instant::now() + PATIENCE;
        while write_to(&bot, "7", "m_1", "hello").status != 200 {
            assert!(
                std::time::Instant::now() < deadline,
                "{name}: {}",
                bot.log()
            );
        }
        assert_says(&bot, "echoed: mid m_1");
        assert_eq!(graph_api.calls().len(), 1, "{name}");
    }
}

#[test]
fn a_full_server_is_emptied_by_what_is_sent() {
    let Some(server) = server() else { return };
    let graph_api = delivering();
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    assert_eq!(write_to(&bot, "7", "m_1", "hello").status, 200);
    server.ask("CONFIG SET maxmemory 1kb");
    assert_says(&bot, "echoed: mid m_1");
    wait_until_nothing_is_owed(&server);
}

#[test]
fn a_server_that_goes_away_is_told_when_it_goes_and_when_it_is_back() {
    let Some(mut server) = server() else { return };
    let graph_api = delivering();
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    server.kill();
    assert_eq!(write_to(&bot, "7", "m_1", "hello").status, 503);
    assert_says(
        &bot,
        "webhooks are refused, and Messenger keeps them, until the shared outbox can be used again",
    );
    for n in 0..5 {
        write_to(&bot, "7", &format!("m_{n}"), "hello");
    }
    let lines = bot
        .log()
        .lines()
        .filter(|line| line.contains("until the shared outbox can be used"))
        .count();
    assert_eq!(lines, 1, "{}", bot.log());
    server.start_again();
    assert_says(&bot, "the shared outbox works again");
    // Nobody delivers it again.
    assert_says(&bot, "echoed: mid m_1");
    assert_eq!(write_to(&bot, "7", "m_9", "hello again").status, 200);
    assert_says(&bot, "echoed: mid m_9");
}

#[test]
fn tls_wants_a_certificate_that_is_trusted_unless_told_otherwise() {
    let port = redis_server::free_port().to_string();
    let files = Directory::new("redis-tls");
    let made = generate_simple_self_signed(vec!["localhost".to_string()]);
    let CertifiedKey { cert, signing_key } = made.expect("a certificate is made");
    let certificate = files.file("certificate.pem", cert.pem().as_bytes());
    let key = files.file("key.pem", signing_key.serialize_pem().as_bytes());
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let options = [
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    let Some(_server) = server_with(&[&options[..], &SAFE].concat()) else {
        return;
    };
    let graph_api = delivering();
    let url = format!("rediss://localhost:{port}");
    let refusing = bot_with(&url, &graph_api.url(), &[]);
    assert_eq!(write_to(&refusing, "7", "m_1", "hello").status, 503);
    assert_says(&refusing, "REDIS_TLS_INSECURE");
    let trusting = bot_with(&url, &graph_api.url(), &[("SSL_CERT_FILE", &certificate)]);
    let answer = write_to(&trusting, "7", "m_2", "hello");
    assert_eq!(answer.status, 200, "{}", trusting.log());
    drop((refusing, trusting));
    let insecure = bot_with(&url, &graph_api.url(), &[("REDIS_TLS_INSECURE", "true")]);
    assert_eq!(write_to(&insecure, "7", "m_3", "hello").status, 200);
    assert_says(&insecure, "echoed: mid m_3");
    // Said in both places.
    let url = format!("{url}/#insecure");
    let insecure = bot_with(&url, &graph_api.url(), &[("REDIS_TLS_INSECURE", "true")]);
    assert_eq!(write_to(&insecure, "7", "m_4", "hello").status, 200);
    let plain = format!("redis://localhost:{port}");
    let plain = bot_with(&plain, &graph_api.url(), &[]);
    assert_eq!(write_to(&plain, "7", "m_5", "hello").status, 503);
    assert_says(&plain, "want TLS: rediss://");
}

#[test]
fn wrong_settings_end_the_start_with_a_line() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (
            &[("REDIS_URL", "localhost:6379")],
            "REDIS_URL is not understood",
        ),
        (
            &[("REDIS_URL", "http://localhost")],
            "REDIS_URL is not understood",
        ),
        (
            &[("REDIS_URL", "redis://h"), ("DATA_DIR", "/tmp")],
            "DATA_DIR and REDIS_URL are both set",
        ),
        (
            &[("REDIS_URL", "rediss://h"), ("REDIS_TLS_INSECURE", "yes")],
            "set it to true or false",
        ),
        (
            &[("REDIS_URL", "redis://h"), ("REDIS_PREFIX", "a b")],
            "REDIS_PREFIX is \"a b\"",
        ),
    ];
    for (settings, line) in cases {
        let mut command = Command::new(crate::support::program());
        let secrets = ["PAGE_ACCESS_TOKEN", "VERIFY_TOKEN", "APP_SECRET"];
        command
            .env_clear()
            .envs(secrets.map(|name| (name, "x")))
            .envs(settings.iter().copied());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(2), "{settings:?}");
        assert!(
            ended.stderr.contains(line),
            "{settings:?}: {}",
            ended.stderr
        );
    }
}
