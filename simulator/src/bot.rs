//! A bot as a process of its own, and what it logs; and those that the simulator starts itself.

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{APP_SECRET, PAGE_ACCESS_TOKEN, SimulatorError, VERIFY_TOKEN};
use super::{failed_to, lock, random};

/// How the directories of own bots begin.
const PREFIX: &str = "echobot-simulate-";

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

/// This very program as one or more bots: processes with the made-up secrets and `GRAPH_URL` in their environment, which
/// log `listening on http://…`.
#[derive(Debug, Clone)]
pub struct OwnBots {
    /// How many there are.
    pub count: usize,
    /// The arguments that make the program a bot. It is to call [`end_with_simulator`] then.
    pub arguments: &'static [&'static str],
    /// The settings of each.
    pub settings: Vec<(&'static str, String)>,
    /// The settings that name a directory of its own, which survives when it is killed.
    pub directories: Vec<&'static str>,
    /// The text that is owed for a webhook with one event; none: nothing.
    pub owes: fn(&Value) -> Option<String>,
}

pub(crate) struct OwnBot {
    /// What starts it.
    pub(crate) command: Command,
    pub(crate) bot: Bot,
    /// What it keeps there is removed after it.
    _directory: Temporary,
}

impl OwnBot {
    pub(crate) fn start(bots: &OwnBots, graph_url: &str) -> Result<OwnBot, SimulatorError> {
        let mut settings = bots.settings.clone();
        settings.push(("GRAPH_URL", graph_url.to_string()));
        let directory = Temporary::new();
        // Where nothing can be written there is none.
        let private = DirBuilder::new().mode(0o700).create(&directory.0);
        if private.is_ok() {
            let named = |name: &_| (*name, directory.0.to_string_lossy().into_owned());
            settings.extend(bots.directories.iter().map(named));
        }
        // Without /proc only the command line knows the program.
        let named = || std::env::args_os().next().map(PathBuf::from);
        let program = std::env::current_exe().ok().or_else(named);
        let mut command = Bot::command(&program.unwrap_or_default(), &settings);
        Ok(OwnBot {
            bot: Bot::run(command.args(bots.arguments))?,
            command,
            _directory: directory,
        })
    }
}

/// A name for a directory that is removed, if it has been made, when this is dropped.
pub(crate) struct Temporary(pub(crate) PathBuf);

impl Temporary {
    pub(crate) fn new() -> Temporary {
        let name = format!("{PREFIX}{:08x}", random() >> 32);
        Temporary(std::env::temp_dir().join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// In a bot that the simulator has started: when the simulator ends, however that happens, nobody holds the other end of
/// stdin any more. Then the bot ends too, and what it has written to the directories that these settings name goes.
pub fn end_with_simulator(directories: &'static [&'static str]) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        for directory in directories.iter().filter_map(std::env::var_os) {
            if directory.to_string_lossy().contains(PREFIX) {
                let _ = fs::remove_dir_all(directory);
            }
        }
        std::process::exit(0);
    });
}
