//! The log: lines go through a bounded queue to one thread, which writes them to stdout with simple_logger.
//!
//! Logging never waits: a line that finds the queue full is dropped and counted, and the count is logged as soon as
//! lines are written again. So neither a reader that stops reading nor a full disk stops the bot. simple_logger panics
//! when a line cannot be written, and does not escape control characters, by which a text from outside could forge a
//! line: both are dealt with here.

use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

use crate::systemd::goes_to_journal;

/// The most lines in the queue: more than a second of them at 300 messages a second.
const MAX_LINES: usize = 512;

/// The most bytes in the queue: at `debug` a line has a person's text. A longer line is taken when it is the only one.
const MAX_BYTES: usize = 256 * 1024;

/// How long the thread sleeps when it has emptied the queue, so that it is woken once for several lines.
const GATHER: Duration = Duration::from_millis(10);

/// How long the queue may take to empty before the process ends.
const EMPTY_WITHIN: Duration = Duration::from_secs(1);

/// The name of the thread that writes.
const THREAD: &str = "log";

/// Empties the queue when it is dropped: for one second at most.
#[must_use]
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        log::logger().flush();
    }
}

/// Starts the log. The last lines are written when the returned value is dropped.
///
/// From then on a panic is logged with its location only: its message may quote a person's text.
///
/// A line for the journal begins with its priority, as the journal understands it (sd-daemon(3)).
///
/// # Errors
/// When the thread cannot be started.
pub fn start(level: LevelFilter) -> io::Result<Flush> {
    let (lines, queued) = sync_channel(MAX_LINES);
    // It lives as long as the process.
    let logger: &Logger = Box::leak(Box::new(Logger {
        lines,
        bytes: AtomicUsize::new(0),
        dropped: AtomicU64::new(0),
        simple: SimpleLogger::new().with_level(level),
        is_journal: goes_to_journal(io::stdout()),
    }));
    // A second start in the same process (as in tests) changes nothing.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
        panic::set_hook(Box::new(log_panic));
        let write = move || logger.write_all(queued);
        thread::Builder::new().name(THREAD.into()).spawn(write)?;
    }
    Ok(Flush)
}

/// Ends the process, with the last lines of the log.
pub(crate) fn exit(code: i32) -> ! {
    log::logger().flush();
    std::process::exit(code)
}

struct Line {
    level: Level,
    target: String,
    text: String,
    /// Lines that were dropped between the one before and this one.
    dropped: u64,
}

struct Logger {
    lines: SyncSender<Line>,
    /// Bytes that are not written yet.
    bytes: AtomicUsize,
    /// Lines that were dropped since the last one that was taken, or were not written.
    dropped: AtomicU64,
    simple: SimpleLogger,
    is_journal: bool,
}

impl Log for Logger {
    /// Only echobot's own entries: at `debug` and `trace` ureq logs whole addresses, and one of them
    /// contains the `appsecret_proof`.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("echobot") && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = one_line(&record.args().to_string());
        let length = text.len();
        let queued = self.bytes.fetch_add(length, Ordering::Relaxed);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let line = Line {
            level: record.level(),
            target: record.target().to_string(),
            text,
            dropped,
        };
        let is_full = queued > 0 && queued + length > MAX_BYTES;
        if is_full || self.lines.try_send(line).is_err() {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {
        let deadline = Instant::now() + EMPTY_WITHIN;
        while self.bytes.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Logger {
    fn write_all(&self, lines: Receiver<Line>) {
        for line in lines {
            self.tell(line.dropped);
            self.write(line.level, &line.target, &line.text, 1);
            let length = line.text.len();
            let is_last = self.bytes.load(Ordering::Relaxed) == length;
            if is_last {
                // Nothing follows that could bring the count along.
                self.tell(self.dropped.swap(0, Ordering::Relaxed));
            }
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            if is_last {
                thread::sleep(GATHER);
            }
        }
    }

    /// Tells of dropped lines, now or with the next line.
    fn tell(&self, dropped: u64) {
        if dropped > 0 {
            let text = format!("{dropped} log lines were dropped: they could not be written");
            self.write(Level::Error, module_path!(), &text, dropped);
        }
    }

    /// Writes a line, or counts as dropped the lines that it stands for.
    fn write(&self, level: Level, target: &str, text: &str, stands_for: u64) {
        let priority = match level {
            _ if !self.is_journal => "",
            Level::Error => "<3>",
            Level::Warn => "<4>",
            Level::Info => "<6>",
            Level::Debug | Level::Trace => "<7>",
        };
        let write = || {
            // It waits in stdout's buffer for the rest of the line.
            let _ = io::stdout().write_all(priority.as_bytes());
            let (args, mut record) = (format_args!("{text}"), Record::builder());
            self.simple
                .log(&record.level(level).target(target).args(args).build());
        };
        if panic::catch_unwind(AssertUnwindSafe(write)).is_err() {
            self.dropped.fetch_add(stands_for, Ordering::Relaxed);
        }
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    // In the thread that writes it means that a line cannot be written.
    if thread::current().name() != Some(THREAD)
        && let Some(location) = panic.location()
    {
        log::error!("a bug in echobot: panic at {location}; please report it");
    }
}

/// The message with all characters escaped that control a terminal, or reorder or break lines.
pub(crate) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        match c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            one_line("a\nb\r\tc\x1b[31m\0"),
            "a\\nb\\r\\tc\\u{1b}[31m\\u{0}"
        );
        assert_eq!(one_line("a\u{2028}b\u{202e}c"), "a\\u{2028}b\\u{202e}c");
    }

    #[test]
    fn other_scripts_stay_as_they_are() {
        assert_eq!(one_line("你好 👋🏽 مرحبا \\n"), "你好 👋🏽 مرحبا \\n");
    }
}
