//! The end of `echobot simulate`: nothing stays.

use std::path::Path;
use std::thread;
use std::time::Instant;

use super::*;
use crate::support::PATIENCE;

/// What is left in the directory, once it is nothing, or after a while.
fn left(directory: &Path) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE / 4;
    loop {
        let names = std::fs::read_dir(directory).expect("it is there").flatten();
        let names: Vec<String> = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        if names.is_empty() || Instant::now() > deadline {
            return names;
        }
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn however_it_ends_its_bot_ends_too_and_nothing_stays() {
    for signal in ["INT", "TERM", "HUP", "KILL"] {
        // Short, because a Unix socket's path is.
        let temporary = Directory::new("t");
        let mut command = echobot(&["simulate", "--port", "0"]);
        let mut process = Running::start(command.env("TMPDIR", temporary.path()));
        let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
        output
            .read_line(&mut String::new())
            .expect("it says where its page is");
        let pid = process.0.id().to_string();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let bot = children.expect("this is Linux").trim().to_string();
        assert!(Path::new(&format!("/proc/{bot}")).exists());
        let killed = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(killed.expect("kill can be run").success());
        process.0.wait().expect("it ends");
        let deadline = Instant::now() + PATIENCE;
        // Not by its number alone, which another process may have by now.
        let command = || std::fs::read_to_string(format!("/proc/{bot}/cmdline"));
        while command().is_ok_and(|command| command.contains("--own-bot")) {
            assert!(Instant::now() < deadline, "{signal}: {bot} lives on");
            thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(left(temporary.path()), [""; 0], "{signal}");
    }
}

/// In a container the page is asked by another name.
#[test]
fn it_listens_where_it_is_told() {
    let simulator = Simulator::start(&["--bind", "0.0.0.0"]);
    let url = simulator.url.replace("localhost", "127.0.0.2");
    let page = ureq::get(&url).call();
    assert!(page.is_ok_and(|page| page.status() == 200));
    let simulator = Simulator::start(&[]);
    let url = simulator.url.replace("localhost", "127.0.0.2");
    assert!(
        ureq::get(&url).call().is_err(),
        "else on loopback's own address only"
    );
}
