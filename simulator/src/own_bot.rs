//! Bots that the simulator starts itself, kills, and starts again on what they have kept.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use super::{Bot, SimulatorError, lock, random};

/// How their directories begin.
const PREFIX: &str = "echobot-simulate-";

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
    program: PathBuf,
    arguments: &'static [&'static str],
    settings: Vec<(&'static str, String)>,
    bot: Mutex<Bot>,
    directory: Option<PathBuf>,
}

impl OwnBot {
    pub(crate) fn start(bots: &OwnBots, graph_url: &str) -> Result<OwnBot, SimulatorError> {
        // Without /proc only the command line knows the program.
        let named = || std::env::args_os().next().map(PathBuf::from);
        let program = std::env::current_exe().ok().or_else(named);
        let directory = std::env::temp_dir().join(format!("{PREFIX}{:08x}", random() >> 32));
        // Where nothing can be written there is none.
        let made = DirBuilder::new().mode(0o700).create(&directory).ok();
        let directory = made.map(|()| directory);
        let mut settings = bots.settings.clone();
        settings.push(("GRAPH_URL", graph_url.to_string()));
        if let Some(path) = directory.as_deref().and_then(Path::to_str) {
            settings.extend(
                bots.directories
                    .iter()
                    .map(|name| (*name, path.to_string())),
            );
        }
        let (program, arguments) = (program.unwrap_or_default(), bots.arguments);
        let bot = Bot::run(Bot::command(&program, &settings).args(arguments));
        Ok(OwnBot {
            bot: Mutex::new(bot.inspect_err(|_| remove(directory.as_deref()))?),
            program,
            arguments,
            settings,
            directory,
        })
    }

    /// Kills it and starts it again; the address of its webhook then.
    pub(crate) fn restart(&self) -> Result<String, SimulatorError> {
        let mut bot = lock(&self.bot);
        bot.kill();
        *bot = Bot::run(Bot::command(&self.program, &self.settings).args(self.arguments))?;
        Ok(bot.url())
    }

    /// Kills it and removes what it has left.
    pub(crate) fn tear_down(&self) {
        lock(&self.bot).kill();
        remove(self.directory.as_deref());
    }

    pub(crate) fn url(&self) -> String {
        lock(&self.bot).url()
    }

    pub(crate) fn log(&self) -> String {
        lock(&self.bot).log()
    }
}

impl Drop for OwnBot {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// In a bot that the simulator has started: when the simulator ends, however that happens, nobody holds the other end of
/// stdin any more. Then the bot ends too, and what it has written to the directories that these settings name goes.
pub fn end_with_simulator(directories: &'static [&'static str]) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let named = directories.iter().filter_map(std::env::var_os);
        for directory in named.map(PathBuf::from) {
            let name = directory.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with(PREFIX) {
                remove(Some(&directory));
            }
        }
        std::process::exit(0);
    });
}

fn remove(directory: Option<&Path>) {
    let _ = directory.map(fs::remove_dir_all);
}
