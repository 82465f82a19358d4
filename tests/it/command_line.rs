//! The command line: what it prints where, and the exit codes.

use std::fs::File;
use std::time::Instant;

use crate::process::{closed_pipe, echobot, run};
use crate::support::PATIENCE;

#[test]
fn help_and_version_are_printed_on_stdout() {
    for option in ["--help", "-h"] {
        let ended = run(&mut echobot(&[option]));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        for word in [
            "echobot simulate",
            "--say TEXT",
            "check",
            "setup",
            "--version",
            "APP_SECRET",
        ] {
            assert!(ended.stdout.contains(word), "{option}: {}", ended.stdout);
        }
    }
    for option in ["--version", "-V"] {
        let ended = run(&mut echobot(&[option]));
        let version = concat!("echobot ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(ended.stdout, version);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_command_line_that_is_not_understood_points_to_the_help() {
    for (arguments, named) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["--frobnicate"], "--frobnicate"),
        (&["-x"], "-x"),
        (&["simulate", "--json"], "--say"),
        (&["simulate", "--port", "x"], "x"),
        (&["setup"], "--callback-url"),
        (&["check", "everything"], "everything"),
        (&["simulate", "--say"], "--say"),
        (&["simulate", "--say", ""], "--say"),
        (&["simulate", "hello"], "hello"),
        (&["simulate", "--say", "hello", "--shout"], "--shout"),
    ] {
        let ended = run(&mut echobot(arguments));
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        for word in [named, "--help"] {
            assert!(
                ended.stderr.contains(word),
                "{arguments:?}: {}",
                ended.stderr
            );
        }
    }
}

#[test]
fn help_into_a_closed_pipe_is_no_panic() {
    let ended = run(echobot(&["--help"]).stdout(closed_pipe()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn simulate_prints_the_echo_and_nothing_else() {
    let ended = run(&mut echobot(&["simulate", "--say", "Hello 👋"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "Hello 👋\n");
}

#[test]
fn simulate_says_several_texts_in_order() {
    let arguments = ["simulate", "--say", "one", "--say=two", "--say", "one"];
    let ended = run(&mut echobot(&arguments));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "one\ntwo\none\n");
}

#[test]
fn a_long_text_comes_back_in_parts_that_join_to_it() {
    let text = "👋".repeat(5000);
    let ended = run(&mut echobot(&["simulate", "--say", &text]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let parts: Vec<&str> = ended.stdout.lines().collect();
    assert!(parts.len() >= 5, "{} parts", parts.len());
    assert!(parts.iter().all(|part| part.encode_utf16().count() <= 2000));
    assert!(parts.concat() == text, "the parts do not join to the text");
}

#[test]
fn simulate_works_however_little_is_to_be_logged() {
    for level in ["off", "error", "warn", "trace"] {
        let mut command = echobot(&["simulate", "--say", "hi"]);
        let ended = run(command.env("RUST_LOG", level));
        assert_eq!(ended.code, Some(0), "RUST_LOG={level}: {}", ended.stderr);
        assert_eq!(ended.stdout, "hi\n", "RUST_LOG={level}");
    }
}

#[test]
fn simulate_needs_no_settings_and_heeds_none_of_a_real_bot() {
    let mut command = echobot(&["simulate", "--say", "hi"]);
    command
        .env("PORT", "abc")
        .env("APP_SECRET", "of a real app")
        .env("GRAPH_URL", "http://127.0.0.1:1");
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "hi\n");
}

#[test]
fn simulate_that_cannot_start_the_bot_says_at_once_what_the_bot_said() {
    let start = Instant::now();
    let mut command = echobot(&["simulate", "--say", "hi"]);
    let ended = run(command.env("RUST_LOG", "verbose"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    for word in ["the bot does not listen", "RUST_LOG is \"verbose\""] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
    // The bot has ended: there is nothing to wait for.
    assert!(start.elapsed() < PATIENCE / 4, "{:?}", start.elapsed());
}

#[test]
fn simulate_that_cannot_print_fails() {
    let ended = run(echobot(&["simulate", "--say", "hi"]).stdout(closed_pipe()));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("failed to print the echo: "),
        "{}",
        ended.stderr
    );
}

#[test]
#[cfg(target_os = "linux")]
fn simulate_onto_a_full_disk_fails() {
    let full = File::create("/dev/full").expect("Linux has it");
    let ended = run(echobot(&["simulate", "--say", "hi"]).stdout(full));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("failed to print the echo: "),
        "{}",
        ended.stderr
    );
}
