//! The real bot, as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{APP_SECRET, PAGE_ACCESS_TOKEN, SimulatorError, VERIFY_TOKEN};

/// The bot is listening within this time, or something is wrong.
const START: Duration = Duration::from_secs(10);

/// A running bot. It is killed when this is dropped.
pub struct Bot {
    process: Child,
    log: Arc<Log>,
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
        let mut process = command
            .spawn()
            .map_err(|error| SimulatorError::io("start the bot", &error))?;
        let log = Arc::new(Log::default());
        follow(process.stdout.take(), &log);
        follow(process.stderr.take(), &log);
        let mut bot = Bot {
            process,
            log,
            address: String::new(),
        };
        bot.address = bot.wait_for_address()?;
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

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All that it has logged up to now.
    pub fn log(&self) -> String {
        self.log.said().lines.join("\n")
    }

    /// Waits until it has logged a line with this text; the line, or none in time, or none when
    /// it has ended.
    pub fn wait_for_log(&self, text: &str, at_most: Duration) -> Option<String> {
        let found = |said: &Said| said.lines.iter().find(|line| line.contains(text)).cloned();
        let waited = self
            .log
            .changed
            .wait_timeout_while(self.log.said(), at_most, |said| {
                said.open > 0 && found(said).is_none()
            });
        found(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits until it ends by itself; its exit status, or none in time.
    pub fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            match self.process.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// Kills it, without a warning; all that it has logged.
    pub fn kill(mut self) -> String {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The last lines may still be on their way.
        let ended = self
            .log
            .changed
            .wait_while(self.log.said(), |said| said.open > 0);
        ended
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .join("\n")
    }

    /// Reads the address from the line that says where it listens.
    fn wait_for_address(&self) -> Result<String, SimulatorError> {
        let line = self.wait_for_log("listening on http://", START);
        let address = line
            .as_deref()
            .and_then(|line| line.split("http://").nth(1)?.split('/').next());
        address.map(str::to_string).ok_or_else(|| {
            SimulatorError(format!("the bot does not listen; it said:\n{}", self.log()))
        })
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Default)]
struct Log {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    /// Outputs on which more may come.
    open: usize,
}

impl Log {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects the lines of an output in a thread of its own, so that the bot never blocks on it.
fn follow(output: Option<impl Read + Send + 'static>, log: &Arc<Log>) {
    let Some(output) = output else { return };
    let log = Arc::clone(log);
    log.said().open += 1;
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.said().lines.push(line);
            log.changed.notify_all();
        }
        log.said().open -= 1;
        log.changed.notify_all();
    });
}
