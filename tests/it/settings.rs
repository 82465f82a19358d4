//! The settings, as the real process takes them or refuses them.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use echobot::simulator::{
    APP_SECRET, Messenger, PAGE_ACCESS_TOKEN, Reply, VERIFY_TOKEN, text_message, webhook,
};

use crate::process::{Ended, echobot, run};
use crate::support::{Directory, World, raw, request, status_and_body};

pub const SECRETS: [(&str, &str); 3] = [
    ("PAGE_ACCESS_TOKEN", PAGE_ACCESS_TOKEN),
    ("VERIFY_TOKEN", VERIFY_TOKEN),
    ("APP_SECRET", APP_SECRET),
];

/// A bot that is fine but for what `change` does to it.
fn start(change: impl FnOnce(&mut Command)) -> Ended {
    let mut command = echobot(&[]);
    command.envs(SECRETS).env("BIND", "127.0.0.1:0");
    change(&mut command);
    run(&mut command)
}

/// The lines of a start that is refused for its settings. No secret is in them.
pub fn refused(change: impl FnOnce(&mut Command)) -> Vec<String> {
    let ended = start(change);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    for (_, secret) in SECRETS {
        // Not even the beginning of one.
        assert!(!ended.stderr.contains(&secret[..6]), "{}", ended.stderr);
    }
    ended.stderr.lines().map(str::to_string).collect()
}

#[test]
fn missing_secrets_are_told_together_with_their_remedies() {
    let lines = refused(|command| {
        command.env_clear();
    });
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, (name, _)) in lines.iter().zip(SECRETS) {
        let remedy = format!("{name} is missing: set it to ");
        assert!(line.starts_with(&remedy), "{line}");
        assert!(line.contains(&format!("{name}_FILE")), "{line}");
    }
}

#[test]
fn a_setting_that_is_not_understood_is_named() {
    for (name, value) in [
        ("PORT", "abc"),
        ("PORT", ""),
        ("BIND", "127.0.0.1"),
        ("WEBHOOK_PATH", "webhook"),
        ("WEBHOOK_PATH", "/healthz"),
        ("THREADS", "1"),
        ("THREADS", "0"),
        ("THREADS", "x"),
        ("DATA_DIR", ""),
        ("MAX_PENDING", "0"),
        ("SEND_RATE", "-1"),
        ("GRAPH_URL", "ftp://x"),
        ("GRAPH_URL", "http://user:51mu1a7edapp@127.0.0.1"),
        ("GRAPH_VERSION", "26"),
        ("RUST_LOG", "verbose"),
        ("PAGE_ACCESS_TOKEN", ""),
        ("PAGE_ACCESS_TOKEN", "EAASimulated PageAccessToken"),
        ("VERIFY_TOKEN", " "),
        ("APP_SECRET", "\n"),
    ] {
        let lines = refused(|command| {
            command.env(name, value);
        });
        assert_eq!(lines.len(), 1, "{name}={value:?}: {lines:#?}");
        let line = &lines[0];
        assert!(
            line.starts_with(&format!("{name} ")),
            "{name}={value:?}: {line}"
        );
        assert!(
            line.contains(": set it to ") || line.contains(": copy it again"),
            "{line}"
        );
    }
}

#[test]
fn a_secret_file_that_does_not_serve_is_named() {
    let directory = Directory::new("secret-files");
    let empty = directory.file("empty", b" \n");
    let binary = directory.file("binary", b"\xff\xfe");
    let missing = directory.path().join("missing");
    for (name, _) in SECRETS {
        let variable = format!("{name}_FILE");
        // A directory: nobody can read it as a file, not even root.
        for path in [&empty, &binary, &missing, directory.path()] as [&Path; 4] {
            let lines = refused(|command| {
                command.env_remove(name).env(&variable, path);
            });
            assert_eq!(lines.len(), 1, "{lines:#?}");
            let start = format!("{variable}: failed to read {}: ", path.display());
            assert!(lines[0].starts_with(&start), "{lines:#?}");
        }
        let both = refused(|command| {
            command.env(&variable, &empty);
        });
        let expected = format!("{name} and {variable} are both set: remove one of them");
        assert_eq!(both, [expected]);
    }
}

#[test]
fn a_secret_in_the_place_of_its_file_name_is_not_shown() {
    for (name, secret) in SECRETS {
        let variable = format!("{name}_FILE");
        let lines = refused(|command| {
            command.env_remove(name).env(&variable, secret);
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with(&format!("{variable}: failed to read")));
    }
}

#[test]
fn all_mistakes_are_told_in_one_run() {
    let lines = refused(|command| {
        command
            .env("PAGE_ACCESS_TOKEN", "EAASimulated PageAccessToken")
            .env_remove("VERIFY_TOKEN")
            .env("APP_SECRET_FILE", "/nowhere")
            .env("PORT", "abc")
            .env("THREADS", "1")
            .env("GRAPH_VERSION", "26");
    });
    let expected = [
        "PAGE_ACCESS_TOKEN has",
        "VERIFY_TOKEN is missing",
        "APP_SECRET and APP_SECRET_FILE are both set",
        "PORT is",
        "THREADS is",
        "GRAPH_VERSION is",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{lines:#?}");
    }
}

/// Echoes a signed message. The Graph API checks the page token and its proof.
pub fn assert_echoes(world: &World) {
    world
        .messenger
        .handshake()
        .expect("the verify token is known");
    let answer = world.deliver(&[text_message("7", "m1", "hello")]);
    assert_eq!(answer.status, 200, "{}", world.bot.log());
    assert_eq!(world.texts(1), ["hello"]);
}

#[test]
fn secrets_may_come_from_files() {
    let directory = Directory::new("files");
    assert_echoes(&World::started_with(|command| {
        for (name, secret) in SECRETS {
            let path = directory.file(name, format!("{secret}\n").as_bytes());
            command.env_remove(name).env(format!("{name}_FILE"), path);
        }
    }));
}

#[test]
fn secrets_may_come_from_systemd() {
    let directory = Directory::new("systemd");
    assert_echoes(&World::started_with(|command| {
        command.env("CREDENTIALS_DIRECTORY", directory.path());
        for (name, secret) in SECRETS {
            directory.file(&name.to_lowercase(), format!("{secret}\n").as_bytes());
            command.env_remove(name);
        }
    }));
}

#[test]
fn a_variable_comes_before_a_credential() {
    let directory = Directory::new("credentials");
    assert_echoes(&World::started_with(|command| {
        command.env("CREDENTIALS_DIRECTORY", directory.path());
        for (name, _) in SECRETS {
            directory.file(&name.to_lowercase(), b"of another page");
        }
    }));
}

#[test]
fn credentials_that_cannot_be_looked_for_are_not_called_missing() {
    let directory = Directory::new("loop");
    let around = directory.path().join("around");
    std::os::unix::fs::symlink(&around, &around).expect("a link can be made");
    let lines = refused(|command| {
        command.env("CREDENTIALS_DIRECTORY", &around);
        command.env_remove("APP_SECRET");
    });
    let line = lines.iter().find(|line| line.starts_with("APP_SECRET"));
    let why = "failed to read ";
    assert!(line.is_some_and(|line| line.contains(why)), "{lines:#?}");
}

#[test]
fn a_newline_at_the_end_of_a_secret_does_no_harm() {
    assert_echoes(&World::started_with(|command| {
        for (name, secret) in SECRETS {
            command.env(name, format!("{secret}\r\n"));
        }
    }));
}

#[test]
fn bind_chooses_the_address_whatever_port_says() {
    let world = World::started_with(|command| {
        command.env("BIND", "127.0.0.1:0").env("PORT", "1");
    });
    assert!(world.bot.address().starts_with("127.0.0.1:"));
    assert!(!world.bot.address().ends_with(":1"));
    assert_echoes(&world);
    // On other systems than Linux only 127.0.0.1 is loopback.
    #[cfg(target_os = "linux")]
    {
        let world = World::started_with(|command| {
            command.env("BIND", "127.0.0.2:0");
        });
        assert!(world.bot.address().starts_with("127.0.0.2:"));
        assert_echoes(&world);
    }
}

#[test]
fn port_listens_on_every_address_of_both_families() {
    let mut world = World::started_with(|command| {
        command.env_remove("BIND").env("PORT", "0");
    });
    let port = world.bot.address().rsplit(':').next().unwrap_or_default();
    let mut hosts = vec![format!("127.0.0.1:{port}")];
    if TcpListener::bind("[::1]:0").is_ok() {
        hosts.push(format!("[::1]:{port}"));
    } else {
        eprintln!("this host has no IPv6 loopback: only IPv4 is tested");
    }
    for host in &hosts {
        world.messenger = Messenger::new(&format!("http://{host}/"));
        assert_echoes(&world);
    }
}

#[test]
fn the_webhook_path_moves_the_webhook() {
    let world = World::with(&[("WEBHOOK_PATH", "/hook")], |_| Reply::deliver());
    let url = format!("http://{}", world.bot.address());
    let body = webhook("page", &[text_message("7", "m1", "hello")]);
    for elsewhere in ["/", "/hook/", "/hook2", "/Hook"] {
        let messenger = Messenger::new(&format!("{url}{elsewhere}"));
        assert!(messenger.handshake().is_err(), "{elsewhere}");
        let answer = messenger.deliver(&body).expect("the bot answers");
        assert_eq!(answer.status, 404, "{elsewhere}");
    }
    let messenger = Messenger::new(&format!("{url}/hook"));
    messenger.handshake().expect("the webhook is here");
    assert_eq!(
        messenger.deliver(&body).expect("the bot answers").status,
        200
    );
    assert_eq!(world.texts(1), ["hello"]);
    let health = raw(&world.bot, &request("GET", "/healthz", "", ""));
    assert_eq!(status_and_body(&health), (200, "ok"));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let other = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    let address = other.local_addr().expect("it is bound").to_string();
    let ended = start(|command| {
        command.env("BIND", &address);
    });
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    let start = format!("echobot: failed to listen on {address}: ");
    assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    assert!(ended.stderr.contains("BIND"), "{}", ended.stderr);
    assert!(!ended.stdout.contains("listening"), "{}", ended.stdout);
}

#[test]
fn a_port_that_is_taken_on_one_family_is_told() {
    let other = TcpListener::bind("0.0.0.0:0").expect("the system has a port");
    let port = other.local_addr().expect("it is bound").port().to_string();
    let ended = start(|command| {
        command.env_remove("BIND").env("PORT", &port);
    });
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.contains("failed to listen on [::]:"),
        "{}",
        ended.stderr
    );
}
