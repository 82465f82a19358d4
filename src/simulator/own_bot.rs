//! echobot itself, killed and started again on the outbox that it had.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use log::LevelFilter;

use super::{Bot, SimulatorError, lock, random};
use crate::config;

/// This very program as another process.
pub(super) struct OwnBot {
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
    bot: Mutex<Bot>,
    /// Its data directory, if it has one of its own.
    data: Option<PathBuf>,
}

impl OwnBot {
    /// One with a data directory of its own, or, where `REDIS_URL` is set, two with one outbox.
    pub(super) fn start_all(graph_url: &str) -> Result<Vec<OwnBot>, SimulatorError> {
        let shared = config::shared_outbox_texts();
        if shared.is_empty() {
            let data = std::env::temp_dir().join(format!("echobot-simulate-{:016x}", random()));
            // Where nothing can be written the outbox is in memory.
            let made = DirBuilder::new().mode(0o700).create(&data);
            return Ok(vec![OwnBot::start(
                graph_url,
                made.ok().map(|()| data),
                &[],
            )?]);
        }
        // The page's real bots may use the same server.
        let prefix = format!("echobot-simulate-{:016x}", random());
        let settings = [shared, vec![("REDIS_PREFIX", prefix)]].concat();
        let start = |_| OwnBot::start(graph_url, None, &settings);
        (0..2).map(start).collect()
    }

    fn start(
        graph_url: &str,
        data: Option<PathBuf>,
        more: &[(&'static str, String)],
    ) -> Result<OwnBot, SimulatorError> {
        // Without /proc only the command line knows the program.
        let named = || std::env::args_os().next().map(PathBuf::from);
        let program = std::env::current_exe().ok().or_else(named);
        let program = program.unwrap_or_default();
        let mut settings = vec![("GRAPH_URL", graph_url.to_string())];
        settings.extend(log_level().map(|level| ("RUST_LOG", level)));
        settings.extend_from_slice(more);
        let directory = data.iter().map(|data| data.to_string_lossy().into_owned());
        settings.extend(directory.map(|data| ("DATA_DIR", data)));
        let bot = Bot::start(&program, &settings).inspect_err(|_| remove(data.as_deref()))?;
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
        remove(self.data.as_deref());
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

fn remove(data: Option<&Path>) {
    let _ = data.map(fs::remove_dir_all);
}

/// The simulator's own level, unless the bot would not log its address at it.
fn log_level() -> Option<String> {
    let level = config::log_level_text()?.to_string_lossy().into_owned();
    let parsed = level.trim().parse();
    let is_too_quiet = parsed.is_ok_and(|level: LevelFilter| level < LevelFilter::Info);
    (!is_too_quiet).then_some(level)
}
