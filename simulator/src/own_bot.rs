//! Bots that the simulator starts itself, kills, and starts again on what they have kept.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::{Bot, SimulatorError, random};

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
