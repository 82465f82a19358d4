//! The log: simple_logger to stdout, made safe.
//!
//! simple_logger panics when a line cannot be written (closed pipe, full disk), and does not escape
//! control characters. The bot must outlive its log, and no text from outside may forge a line.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

/// Starts the log. Lines that cannot be written are dropped.
///
/// From then on a panic is logged with its location only: its message may quote a person's text.
///
/// With `priorities` each line begins with its priority, as the journal understands it (sd-daemon(3)).
pub fn start(level: LevelFilter, priorities: bool) {
    let logger = SafeLogger {
        simple: SimpleLogger::new().with_level(level),
        priorities,
    };
    // A second start in the same process (as in tests) changes nothing.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
        panic::set_hook(Box::new(log_panic));
    }
}

struct SafeLogger {
    simple: SimpleLogger,
    priorities: bool,
}

thread_local! {
    /// Whether this thread is writing a line. A panic meanwhile means that it cannot be written, and
    /// cannot be logged.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

impl Log for SafeLogger {
    /// Only echobot's own entries: at `debug` and `trace` ureq logs whole addresses, and one of them
    /// contains the `appsecret_proof`.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("echobot") && self.simple.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = OneLine(record.args());
        if self.priorities {
            let priority = match record.level() {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            let (level, target) = (record.level(), record.target());
            let _ = writeln!(io::stdout(), "<{priority}>{level:<5} [{target}] {line}");
            return;
        }
        WRITING.set(true);
        let _ = panic::catch_unwind(AssertUnwindSafe(|| {
            self.simple.log(
                &Record::builder()
                    .metadata(record.metadata().clone())
                    .args(format_args!("{line}"))
                    .build(),
            );
        }));
        WRITING.set(false);
    }

    fn flush(&self) {}
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    if WRITING.get() {
        return;
    }
    let location = panic.location().map(ToString::to_string);
    log::error!(
        "a bug in echobot: panic at {}; please report it",
        location.as_deref().unwrap_or("an unknown place")
    );
}

/// The message with all characters escaped that control a terminal, or reorder or break lines.
struct OneLine<'a>(&'a fmt::Arguments<'a>);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping(f).write_fmt(*self.0)
    }
}

/// Escapes the text that is written to it.
struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(at) = text.find(is_dangerous) {
            let (plain, rest) = text.split_at(at);
            self.0.write_str(plain)?;
            let mut rest = rest.chars();
            let dangerous = rest.next().into_iter();
            dangerous
                .flat_map(char::escape_default)
                .try_for_each(|c| self.0.write_char(c))?;
            text = rest.as_str();
        }
        self.0.write_str(text)
    }
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::OneLine;

    fn one_line(message: &str) -> String {
        OneLine(&format_args!("{message}")).to_string()
    }

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
