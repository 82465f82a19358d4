//! `echobot simulate`: the simulator with this bot behind it.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use serde_json::{Value, json};

pub use crate::page::Simulator;
use crate::process::{Running, echobot, run};
use crate::support::Directory;

mod conversations;
mod process;

#[test]
fn the_flags_of_another_bot_go_together() {
    let ended = run(&mut echobot(&[
        "simulate",
        "--webhook",
        "http://127.0.0.1:1/",
    ]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--verify-token"), "{}", ended.stderr);
}

#[test]
fn trouble_can_be_had_from_the_command_line() {
    let ended = run(&mut echobot(&[
        "simulate",
        "--say",
        "hello",
        "--latency",
        "300",
        "--json",
    ]));
    let heard: Value = serde_json::from_str(&ended.stdout).expect("it is a line of JSON");
    assert!(
        heard["echo_ms"].as_u64().is_some_and(|time| time >= 300),
        "{heard}"
    );
    let ended = run(&mut echobot(&[
        "simulate", "--say", "hello", "--fault", "551",
    ]));
    assert!(ended.stderr.contains("551"), "{}", ended.stderr);
    let ended = run(&mut echobot(&["simulate", "--fault", "odd"]));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("368/1346003"), "{}", ended.stderr);
    let ended = run(&mut echobot(&[
        "simulate", "--say", "hello", "--errors", "100",
    ]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let told = ended.stderr.contains("no echo within 20 s") && ended.stderr.contains("500");
    assert!(told, "{}", ended.stderr);
    for wrong in [["--errors", "101"], ["--latency", "soon"]] {
        let ended = run(echobot(&["simulate", "--say", "hello"]).args(wrong));
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    }
}

/// Up to the length at which the path of a Unix socket there would be too long.
#[test]
fn it_starts_however_long_the_path_of_the_temporary_directory_is() {
    let place = std::env::temp_dir().join(format!("it-{}", std::process::id()));
    for length in 30..=64 {
        let name = "x".repeat(length - 1 - place.as_os_str().len());
        let temporary = place.join(name);
        std::fs::create_dir_all(&temporary).expect("it can be made");
        let mut command = echobot(&["simulate", "--say", "hello"]);
        let ended = run(command.env("TMPDIR", &temporary));
        assert_eq!(ended.stdout, "hello\n", "{length}: {}", ended.stderr);
    }
    std::fs::remove_dir_all(&place).expect("it can be removed");
}

#[test]
fn the_bot_and_its_files_are_gone_when_it_ends() {
    let temporary = Directory::new("simulate");
    let mut command = echobot(&["simulate", "--port", "0"]);
    let mut process = Running::start(command.env("TMPDIR", temporary.path()));
    let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut said = String::new();
    output
        .read_line(&mut said)
        .expect("it says where its page is");
    if !said.starts_with("open ") {
        panic!("{said:?}: {}", process.end().stderr);
    }
    let left = || {
        std::fs::read_dir(temporary.path())
            .expect("it is there")
            .count()
    };
    assert!(left() > 0);
    let pid = process.0.id().to_string();
    let killed = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(killed.expect("kill can be run").success());
    assert_eq!(process.end().code, Some(0));
    let names: Vec<_> = std::fs::read_dir(temporary.path())
        .expect("it is there")
        .collect();
    let simulated = names
        .iter()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("simulate"));
    assert_eq!(simulated.count(), 0, "{names:?}");
}
