//! echobot itself, killed and started again on the outbox that it had.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use log::LevelFilter;

use super::{Bot, SimulatorError, lock, random};
use crate::config;
use crate::shield::LONGEST_PLACE;

/// How its directories and its keys begin.
const PREFIX: &str = "echobot-simulate-";

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
            return Ok(vec![OwnBot::start(graph_url, true, &[])?]);
        }
        // The page's real bots may use the same server.
        let prefix = format!("{PREFIX}{:016x}", random());
        let settings = [shared, vec![("REDIS_PREFIX", prefix)]].concat();
        let start = |_| OwnBot::start(graph_url, false, &settings);
        (0..2).map(start).collect()
    }

    fn start(
        graph_url: &str,
        is_on_disk: bool,
        more: &[(&'static str, String)],
    ) -> Result<OwnBot, SimulatorError> {
        // Without /proc only the command line knows the program.
        let named = || std::env::args_os().next().map(PathBuf::from);
        let program = std::env::current_exe().ok().or_else(named);
        let program = program.unwrap_or_default();
        let mut settings = vec![("GRAPH_URL", graph_url.to_string())];
        settings.extend(log_level().map(|level| ("RUST_LOG", level)));
        settings.extend_from_slice(more);
        let data = std::env::temp_dir().join(format!("{PREFIX}{:08x}", random() >> 32));
        // Where nothing can be written the outbox is in memory.
        let made = DirBuilder::new().mode(0o700).create(&data);
        let data = made.ok().map(|()| data);
        for directory in data.iter().map(|data| data.to_string_lossy().into_owned()) {
            if directory.len() <= LONGEST_PLACE {
                settings.push(("TMPDIR", directory.clone()));
            }
            settings.extend(is_on_disk.then_some(("DATA_DIR", directory)));
        }
        let bot = run(&program, &settings).inspect_err(|_| remove(data.as_deref()))?;
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
        *bot = run(&self.program, &self.settings)?;
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

/// The bot, which ends when this process does.
fn run(program: &Path, settings: &[(&str, String)]) -> Result<Bot, SimulatorError> {
    let mut command = Bot::command(program, settings);
    Bot::run(command.args(["simulate", "--own-bot"]))
}

/// In the bot that is our own: when the simulator ends, however that happens, nobody holds the other end of stdin any
/// more. Then the bot ends too, and what it has written goes.
pub fn end_with_simulator() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let directories = ["TMPDIR", "DATA_DIR"].map(std::env::var_os);
        for directory in directories.into_iter().flatten().map(PathBuf::from) {
            let name = directory.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with(PREFIX) {
                remove(Some(&directory));
            }
        }
        std::process::exit(0);
    });
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
