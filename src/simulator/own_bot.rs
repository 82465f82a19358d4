//! echobot itself, killed and started again on the data directory that it had.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use log::LevelFilter;

use super::{Bot, SimulatorError, lock, random};
use crate::config;

/// This very program as another process, with a data directory of its own.
pub(super) struct OwnBot {
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
    bot: Mutex<Bot>,
    data: PathBuf,
}

impl OwnBot {
    pub(super) fn start(graph_url: &str) -> Result<OwnBot, SimulatorError> {
        // Without /proc only the command line knows the program.
        let named = || std::env::args_os().next().map(PathBuf::from);
        let program = std::env::current_exe().ok().or_else(named);
        let program = program.unwrap_or_default();
        let mut settings = vec![("GRAPH_URL", graph_url.to_string())];
        settings.extend(log_level().map(|level| ("RUST_LOG", level)));
        let data = std::env::temp_dir().join(format!("echobot-simulate-{:016x}", random()));
        // Where nothing can be written the outbox is in memory.
        if DirBuilder::new().mode(0o700).create(&data).is_ok() {
            settings.push(("DATA_DIR", data.to_string_lossy().into_owned()));
        }
        let bot = Bot::start(&program, &settings).inspect_err(|_| {
            let _ = fs::remove_dir_all(&data);
        })?;
        Ok(OwnBot {
            bot: Mutex::new(bot),
            program,
            settings,
            data,
        })
    }

    /// Kills it and starts it again; the address of its webhook then.
    pub(super) fn restart(&self) -> Result<String, SimulatorError> {
        let mut bot = lock(&self.bot);
        bot.kill();
        *bot = Bot::start(&self.program, &self.settings)?;
        Ok(bot.url())
    }

    /// Kills it and removes what it has left.
    pub(super) fn tear_down(&self) {
        lock(&self.bot).kill();
        let _ = fs::remove_dir_all(&self.data);
    }

    pub(super) fn url(&self) -> String {
        lock(&self.bot).url()
    }

    pub(super) fn log(&self) -> String {
        lock(&self.bot).log()
    }
}

impl Drop for OwnBot {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// The simulator's own level, unless the bot would not log its address at it.
fn log_level() -> Option<String> {
    let level = config::log_level_text()?.to_string_lossy().into_owned();
    let parsed = level.trim().parse();
    let is_too_quiet = parsed.is_ok_and(|level: LevelFilter| level < LevelFilter::Info);
    (!is_too_quiet).then_some(level)
}
