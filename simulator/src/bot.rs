//! A bot as a process of its own, and what it logs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::{APP_SECRET, PAGE_ACCESS_TOKEN, SimulatorError, VERIFY_TOKEN, failed_to, lock};

/// The bot is listening within this time, or something is wrong.
const START: Duration = Duration::from_secs(10);

/// A running bot. It is killed when this is dropped.
pub struct Bot {
    /// The process, for its id and to wait for its end.
    pub process: Child,
    /// Its lines on stdout and stderr: those up to now, and those that come.
    log: Mutex<(Vec<String>, Receiver<String>)>,
    address: String,
}

impl Bot {
    /// Starts the program with made-up secrets on a free loopback port, and waits until it
    /// listens. `settings` are added to these, or replace them; nothing else of this process's
    /// environment is passed on.
    ///
    /// # Errors
    /// When it cannot be started or does not listen; with what it said.
    pub fn start(program: &Path, settings: &[(&str, String)]) -> Result<Bot, SimulatorError> {
        Bot::run(&mut Bot::command(program, settings))
    }

    /// Runs this command, and waits until it listens. It must log at `info` at least.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn run(command: &mut Command) -> Result<Bot, SimulatorError> {
        let mut process = command.spawn().map_err(failed_to("start the bot"))?;
        let (sender, lines) = mpsc::channel();
        follow(process.stdout.take(), sender.clone());
        follow(process.stderr.take(), sender);
        let mut bot = Bot {
            process,
            log: Mutex::new((Vec::new(), lines)),
            address: String::new(),
        };
        let line = bot.wait_for_log("listening on http://", START);
        let line = line.ok_or_else(|| {
            SimulatorError(format!("the bot does not listen; it said:\n{}", bot.log()))
        })?;
        let url = line.split("http://").nth(1).unwrap_or_default();
        bot.address = url.split('/').next().unwrap_or_default().to_string();
        Ok(bot)
    }

    /// The command that [`start`](Self::start) runs.
    pub fn command(program: &Path, settings: &[(&str, String)]) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PAGE_ACCESS_TOKEN", PAGE_ACCESS_TOKEN)
            .env("VERIFY_TOKEN", VERIFY_TOKEN)
            .env("APP_SECRET", APP_SECRET)
            .env("BIND", "127.0.0.1:0")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            // Nobody reads it or writes to it. Not null: an empty root directory has no /dev/null.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Where it listens, for example `127.0.0.1:5000`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of its webhook.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// All that it has logged up to now.
    pub fn log(&self) -> String {
        let (lines, more) = &mut *lock(&self.log);
        lines.extend(more.try_iter());
        lines.join("\n")
    }

    /// Waits until it has logged a line with this text; the line, or none in time, or none when
    /// it has ended.
    pub fn wait_for_log(&self, text: &str, at_most: Duration) -> Option<String> {
        let deadline = Instant::now() + at_most;
        let (lines, more) = &mut *lock(&self.log);
        let mut found = lines.iter().find(|line| line.contains(text)).cloned();
        while found.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = more.recv_timeout(left).ok()?;
            lines.push(line.clone());
            found = Some(line).filter(|line| line.contains(text));
        }
        found
    }

    /// Kills it, without a warning.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Collects the lines of a pipe in a thread of its own, so that the bot never blocks on it.
fn follow(pipe: Option<impl Read + Send + 'static>, log: Sender<String>) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = log.send(line);
        }
    });
}
