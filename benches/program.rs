//! What is measured: programs in processes of their own, so that time and memory are theirs alone.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::Bot;

/// The program that users run.
pub(crate) const ECHOBOT: &str = env!("CARGO_BIN_EXE_echobot");

/// /proc tells times in this unit, whatever the kernel's own clock is (proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// Every program here has ended within this time after SIGTERM.
const END: Duration = Duration::from_secs(40);

/// A running program. It is killed when this is dropped.
pub(crate) struct Program {
    process: Child,
    name: String,
    address: SocketAddr,
}

impl Program {
    /// The bot as users run it, but for these settings.
    pub(crate) fn echobot(graph: SocketAddr, settings: &[(&str, String)]) -> Program {
        Program::start(&mut echobot(graph, settings))
    }

    /// This program itself, in another part.
    pub(crate) fn part(arguments: &[&str]) -> Program {
        let own = std::env::current_exe().expect("a running program has a path");
        let mut command = Command::new(own);
        command.args(arguments).stdout(Stdio::piped());
        Program::start(&mut command)
    }

    /// Runs this command, waits until it says on stdout where it listens, and drops whatever else it says.
    pub(crate) fn start(command: &mut Command) -> Program {
        let mut process = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program().display();
            panic!("failed to start {program}: {error}")
        });
        let output = process.stdout.take().expect("its stdout is a pipe");
        let mut lines = BufReader::with_capacity(64 * 1024, output);
        let mut said = String::new();
        let address = loop {
            let start = said.len();
            let len = lines.read_line(&mut said).expect("it says text");
            assert!(len > 0, "it ended before it listened; it said:\n{said}");
            if let Some(address) = address(&said[start..]) {
                break address;
            }
        };
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        Program {
            process,
            name: name(command),
            address,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The time that its threads and child processes have spent on a processor up to now.
    pub(crate) fn cpu(&self) -> Duration {
        self.pids().iter().map(|pid| cpu(pid)).sum()
    }

    /// The most memory that it and its child processes have had, in MiB.
    pub(crate) fn peak_memory(&self) -> f64 {
        self.pids().iter().map(|pid| peak_memory(pid)).sum()
    }

    /// Its own process, and those that it has started.
    fn pids(&self) -> Vec<String> {
        let own = self.process.id().to_string();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.unwrap_or_default();
        let mut pids: Vec<String> = children.split_whitespace().map(str::to_string).collect();
        pids.push(own);
        pids
    }

    /// Asks it to end, and waits until it has. Returns the command that it was.
    pub(crate) fn stop(mut self) -> String {
        let pid = self.process.id().to_string();
        let asked = Command::new("kill").arg(pid).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill failed");
        let deadline = Instant::now() + END;
        while let Ok(None) = self.process.try_wait() {
            assert!(Instant::now() < deadline, "it does not end after SIGTERM");
            thread::sleep(Duration::from_millis(2));
        }
        std::mem::take(&mut self.name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command that [`Program::echobot`] runs.
pub(crate) fn echobot(graph: SocketAddr, settings: &[(&str, String)]) -> Command {
    let mut command = Bot::command(Path::new(ECHOBOT), settings);
    command
        .env("GRAPH_URL", format!("http://{graph}"))
        .stderr(Stdio::inherit());
    command
}

fn name(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// From a line that tells it: `listening on http://127.0.0.1:5000/`, `Listening at: http://…`.
fn address(line: &str) -> Option<SocketAddr> {
    let (before, address) = line.split_once("http://")?;
    let end = address.find(['/', ' ', '\n'])?;
    before.to_lowercase().contains("listening").then_some(())?;
    address[..end].parse().ok()
}

/// The time that a process has spent on a processor. One that has just ended has spent nothing.
pub(crate) fn cpu(pid: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may have anything in it, come state … utime, stime: fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u32 = times.filter_map(|time| time.parse::<u32>().ok()).sum();
    TICK * ticks
}

fn peak_memory(pid: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.expect("the kernel tells the peak of a running program") / 1024.0
}

/// A fresh directory for an outbox, gone when this is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, SeqCst);
        let name = format!("measure-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("target/ can be written to");
        Directory(path)
    }

    /// The setting that makes it the bot's.
    pub(crate) fn setting(&self) -> (&'static str, String) {
        ("DATA_DIR", self.0.display().to_string())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
