//! A bot as a process of its own, and what it logs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{APP_SECRET, PAGE_ACCESS_TOKEN, SimulatorError, VERIFY_TOKEN, failed_to, lock};

/// The bot is listening within this time, or something is wrong.
const START: Duration = Duration::from_secs(10);

/// A running bot. It is killed when this is dropped.
pub struct Bot {
    /// The process, for its id and to wait for its end.
    pub process: Child,
    log: Arc<Log>,
    address: String,
}

/// The lines of stdout and stderr up to now.
#[derive(Default)]
struct Log {
    output: Mutex<Output>,
    changed: Condvar,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    /// Pipes on which more may come.
    open: usize,
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
        let log = Arc::new(Log::default());
        log.follow(process.stdout.take());
        log.follow(process.stderr.take());
        let mut bot = Bot {
            process,
            log,
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
        lock(&self.log.output).lines.join("\n")
    }

    /// Waits until it has logged a line with this text; the line, or none in time, or none when
    /// it has ended.
    pub fn wait_for_log(&self, text: &str, at_most: Duration) -> Option<String> {
        let find = |output: &Output| {
            let mut lines = output.lines.iter();
            lines.find(|line| line.contains(text)).cloned()
        };
        let output = lock(&self.log.output);
        let is_missing = |output: &mut Output| output.open > 0 && find(output).is_none();
        let changed = &self.log.changed;
        let waited = changed.wait_timeout_while(output, at_most, is_missing);
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
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

impl Log {
    /// Collects the lines of a pipe in a thread of its own, so that the bot never blocks on it.
    fn follow(self: &Arc<Log>, pipe: Option<impl Read + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let log = Arc::clone(self);
        lock(&log.output).open += 1;
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lock(&log.output).lines.push(line);
                log.changed.notify_all();
            }
            lock(&log.output).open -= 1;
            log.changed.notify_all();
        });
    }
}
