//! echobot itself, started, killed and started again on the data directory that it had.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use log::LevelFilter;

use super::{Bot, SimulatorError};
use crate::config;

/// echobot itself, with a data directory of its own.
pub(super) struct OwnBot {
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// None while it is started again.
    bot: Mutex<Option<Bot>>,
    data: Option<PathBuf>,
}

impl OwnBot {
    pub(super) fn start(graph_url: &str) -> Result<OwnBot, SimulatorError> {
        let program = program()?;
        let data = new_directory();
        let mut settings = vec![("GRAPH_URL", graph_url.to_string())];
        if let Some(data) = &data {
            settings.push(("DATA_DIR", data.to_string_lossy().into_owned()));
        }
        if let Some(level) =
            config::log_level_text().map(|text| text.to_string_lossy().into_owned())
        {
            let is_too_quiet = level
                .trim()
                .parse()
                .is_ok_and(|level: LevelFilter| level < LevelFilter::Info);
            // Its address is read from a line at info.
            if !is_too_quiet {
                settings.push(("RUST_LOG", level));
            }
        }
        let mut own_bot = OwnBot {
            program,
            settings,
            bot: Mutex::default(),
            data,
        };
        let bot = Bot::start(&own_bot.program, &own_bot.settings)?;
        own_bot.bot = Mutex::new(Some(bot));
        Ok(own_bot)
    }

    /// Kills it and starts it again; the address of its webhook then.
    pub(super) fn restart(&self) -> Result<String, SimulatorError> {
        let mut bot = self.bot.lock().unwrap_or_else(PoisonError::into_inner);
        drop(bot.take());
        let started = Bot::start(&self.program, &self.settings)?;
        let url = started.url();
        *bot = Some(started);
        Ok(url)
    }

    pub(super) fn tear_down(&self) {
        drop(
            self.bot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if let Some(data) = &self.data {
            let _ = fs::remove_dir_all(data);
        }
    }

    pub(super) fn url(&self) -> String {
        let bot = self.bot.lock().unwrap_or_else(PoisonError::into_inner);
        bot.as_ref().map(Bot::url).unwrap_or_default()
    }

    pub(super) fn log(&self) -> String {
        let bot = self.bot.lock().unwrap_or_else(PoisonError::into_inner);
        bot.as_ref().map(Bot::log).unwrap_or_default()
    }
}

impl Drop for OwnBot {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// This very program: the bot is another process of it.
fn program() -> Result<PathBuf, SimulatorError> {
    // Without /proc only the command line knows.
    let named = || {
        std::env::args_os()
            .next()
            .map(PathBuf::from)
            .ok_or(io::ErrorKind::NotFound.into())
    };
    std::env::current_exe()
        .or_else(|_| named())
        .map_err(|error| SimulatorError::io("find this program", &error))
}

/// A directory for the bot's outbox; none where nothing can be written: then it is in memory.
fn new_directory() -> Option<PathBuf> {
    let name = format!("echobot-simulate-{:016x}", RandomState::new().hash_one(0));
    let path = std::env::temp_dir().join(name);
    DirBuilder::new().mode(0o700).create(&path).ok()?;
    Some(path)
}
