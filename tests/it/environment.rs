//! What people's environments do to settings: texts that were copied badly, and other defaults of the system.

use std::process::Command;

use echobot::simulator::{Bot, Reply};

use crate::deploy::leave_out;
use crate::graph_api::GraphApi;
use crate::process::run;
use crate::settings::{SECRETS, assert_echoes, refused};
use crate::support::{Directory, PATIENCE, World, copy_program, program};

#[test]
fn what_was_copied_badly_is_refused_by_name_wherever_it_stands() {
    let directory = Directory::new("copied-badly");
    let trials = [
        ("\"quoted\"", "has quotes around it"),
        ("'quoted'", "has quotes around it"),
        ("\u{201c}quoted\u{201d}", "has quotes around it"),
        ("\u{feff}marked", "an invisible character (U+FEFF)"),
        ("in\u{200b}side", "an invisible character (U+200B)"),
        ("in\rside", "an invisible character (U+000D)"),
        ("in\u{a0}side", "an invisible character (U+00A0)"),
    ];
    for (text, says) in trials {
        for name in [
            "VERIFY_TOKEN",
            "APP_SECRET",
            "DATA_DIR",
            "WEBHOOK_PATH",
            "APP_ID",
        ] {
            let lines = refused(|command| {
                command.env(name, text);
            });
            assert_eq!(lines.len(), 1, "{lines:#?}");
            assert!(
                lines[0].starts_with(name) && lines[0].contains(says),
                "{lines:#?}"
            );
        }
        directory.file("secret", text.as_bytes());
        let lines = refused(|command| {
            command.env_remove("APP_SECRET");
            command.env("APP_SECRET_FILE", directory.path().join("secret"));
        });
        assert!(
            lines[0].starts_with("APP_SECRET_FILE: ") && lines[0].contains(says),
            "{lines:#?}"
        );
    }
    let lines = refused(|command| {
        command.env("DATA_DIR", "~/echobot");
    });
    assert!(lines[0].starts_with("DATA_DIR begins with ~"), "{lines:#?}");
}

#[test]
fn white_space_around_a_directory_makes_no_other_directory() {
    let directory = Directory::new("trimmed");
    let data = directory.path().join("data");
    let text = format!(" {}\r\n", data.display());
    let world = World::started_with(|command| {
        command.env("DATA_DIR", &text);
    });
    assert_echoes(&world);
    assert!(data.join("outbox.redb").is_file());
    let entries = std::fs::read_dir(directory.path()).expect("it can be read");
    assert_eq!(entries.count(), 1);
}

#[test]
fn a_bot_that_was_started_with_signals_blocked_says_that_they_cannot_stop_it() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let mut command = Bot::command("env".as_ref(), &[("GRAPH_URL", graph_api.url())]);
    command.arg("--block-signal").arg(program());
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    let line = bot.wait_for_log("SIGTERM cannot stop the bot", PATIENCE);
    assert!(line.is_some_and(|line| line.starts_with("ERROR")));
    let usual = Bot::run(&mut Bot::command(
        program(),
        &[("GRAPH_URL", graph_api.url())],
    ));
    let usual = usual.unwrap_or_else(|error| panic!("{error}"));
    assert!(!usual.log().contains("SIGTERM"), "{}", usual.log());
}

#[test]
fn a_bot_that_gets_too_few_threads_says_so_however_few() {
    let directory = Directory::new("few-threads");
    let bot = directory.path().join("echobot");
    copy_program(program(), &bot);
    // No limit binds root.
    const USER: [&str; 3] = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    for most in [1, 2, 5, 20, 40, 60] {
        let settings = [("GRAPH_URL", "http://127.0.0.1:9".to_string())];
        let mut command = Bot::command("prlimit".as_ref(), &settings);
        command.arg(format!("--nproc={most}")).arg("setpriv");
        let ended = run(command.args(USER).arg(&bot));
        assert_eq!(ended.code, Some(1), "{most}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("ulimit -u"),
            "{most}: {}",
            ended.stderr
        );
    }
}

/// In a network of its own, whose IPv6 sockets are for IPv6 alone unless they say otherwise.
#[test]
fn port_listens_on_ipv4_too_where_ipv6_alone_is_the_default() {
    let directory = Directory::new("bindv6only");
    let log = directory.path().join("log");
    let script = format!(
        "ip link set lo up && echo 1 > /proc/sys/net/ipv6/bindv6only || exit 77
         PORT=5000 '{}' > '{}' & bot=$!
         for n in $(seq 500); do grep -q listening '{1}' && break; sleep 0.01; done
         for host in 127.0.0.1 '[::1]'; do curl -s -o /dev/null -w '%{{http_code}} ' http://$host:5000/healthz; done
         kill $bot",
        program().display(),
        log.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]).envs(SECRETS);
    let Ok(output) = command.env("GRAPH_URL", "http://127.0.0.1:1").output() else {
        return leave_out("a network of its own", "there is no unshare");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() != Some(77) && !said.is_empty() {
        assert_eq!(
            said,
            "200 200 ",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    } else {
        leave_out("a network of its own", "it wants root, ip and curl");
    }
}
