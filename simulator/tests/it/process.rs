//! Processes whose end, output or log is looked at.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, program};

/// The program with these arguments and an empty environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a program said, and the exit code that it ended with.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command that is to end by itself.
pub fn run(command: &mut Command) -> Ended {
    Running::start(command).end()
}

/// A process that does not outlive the test.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Running {
        Running(command.spawn().expect("the program starts"))
    }

    /// Waits until it ends, and reads what it said.
    pub fn end(mut self) -> Ended {
        let (stdout, stderr) = (
            read_all(self.0.stdout.take()),
            read_all(self.0.stderr.take()),
        );
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.0.try_wait().expect("a child can be waited for") {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let _ = self.0.kill();
        let text = |thread: JoinHandle<String>| thread.join().expect("it only reads");
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert!(
            status.is_some(),
            "it does not end; it said:\n{stdout}{stderr}"
        );
        Ended {
            code: status.and_then(|status| status.code()),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_all(output: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            let _ = output.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
