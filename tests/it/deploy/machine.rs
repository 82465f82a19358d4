//! Debian 13 with a systemd that runs, in namespaces of its own.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{built, leave_out};
use crate::process::{Ended, Running, run};
use crate::support::{Directory, PATIENCE};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// It is gone, with all that was done in it, when this is dropped.
pub struct Machine {
    process: Running,
    init: String,
    _copy: Directory,
}

impl Machine {
    /// None where there is no root of Debian 13, or nobody may boot it.
    pub fn boot() -> Option<Machine> {
        let Some(root) = built("debian-13") else {
            leave_out("systemd", ".ci/run makes a root of Debian 13 to try it in");
            return None;
        };
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let copy = Directory::new("machine");
        let mut boot = Command::new(repository.join("tests/it/deploy/boot"));
        boot.args([&root, copy.path(), repository])
            .stdin(Stdio::null());
        let process = Running::start(&mut boot);
        let pid = process.0.id();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the machine does not start");
            thread::sleep(Duration::from_millis(50));
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let init = children.unwrap_or_default().trim().to_string();
            let is_systemd = |name: String| name.trim() == "systemd";
            if fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(is_systemd) {
                let machine = Machine {
                    process,
                    init,
                    _copy: copy,
                };
                machine.wait_for("systemctl is-system-running | grep -E '^(running|degraded)$'");
                return Some(machine);
            }
        }
    }

    /// A program of this machine's in the other one's network.
    pub fn in_its_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--net", program]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target", &self.init, "--mount", "--pid", "--net", "--uts", "--ipc",
            ])
            .args(["--cgroup", "--root", "bash", "-c"])
            .arg(format!("cd /srv/echobot; {script}"))
            .env_clear()
            .envs([("PATH", PATH), ("SYSTEMD_PAGER", ""), ("HOME", "/root")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn ended(&self, script: &str, input: &str) -> Ended {
        let mut process = Running::start(&mut self.command(script));
        let mut stdin = process.0.stdin.take().expect("it is piped");
        // Most commands read nothing.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        process.end()
    }

    /// Runs this in the repository's directory, as root. What it says on stdout.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        self.run_with(script, "")
    }

    #[track_caller]
    fn run_with(&self, script: &str, input: &str) -> String {
        let ended = self.ended(script, input);
        assert_eq!(
            ended.code,
            Some(0),
            "{script}: {}{}",
            ended.stdout,
            ended.stderr
        );
        ended.stdout
    }

    /// Runs the commands of a guide as they are written, and types this where one reads.
    #[track_caller]
    pub fn follow(&self, block: &str, typed: &str) {
        for line in block.replace("\\\n", " ").lines() {
            // That shows the log until somebody stops it.
            let line = line.replace("journalctl -u echobot -f", "journalctl -u echobot");
            self.run_with(&line, typed);
        }
    }

    #[track_caller]
    pub fn wait_for(&self, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ended(script, "").code != Some(0) {
            assert!(Instant::now() < deadline, "{script}: {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A property of a unit, as systemd has it now.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let value = self.run(&format!("systemctl show --value --property={name} {unit}"));
        value.trim().to_string()
    }

    /// The last of the journal.
    pub fn log(&self) -> String {
        self.ended("journalctl --lines 50 --output cat", "").stdout
    }

    /// Whether a bot answers there that it is well.
    pub fn is_well(&self, address: &str) -> bool {
        let url = format!("http://{address}/healthz");
        let asked = run(self
            .in_its_network("curl")
            .args(["-sS", "--noproxy", "*", &url]));
        asked.code == Some(0) && asked.stdout.starts_with("ok")
    }

    #[track_caller]
    pub fn assert_well(&self, address: &str) {
        assert!(self.is_well(address), "{}", self.log());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let pid = self.process.0.id();
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
        // The kernel keeps a group until its last process is gone.
        let script = "cd \"$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/mounts)\"
            for n in $(seq 100); do
                find echobot-test-$0 -depth -type d -exec rmdir {} + 2> /dev/null && break
                sleep 0.05
            done";
        let _ = Command::new("bash")
            .args(["-c", script, &pid.to_string()])
            .status();
    }
}
