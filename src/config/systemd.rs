//! The variables that systemd sets for a service. They are not settings: without systemd none of
//! them is set.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

/// Where and how often systemd wants to hear of the bot's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Systemd {
    /// The socket of `Type=notify`, as sd_notify(3) writes it: a path, or a name after an `@`.
    pub notify_socket: Option<OsString>,
    /// `WatchdogSec=`: the bot must report that it is alive at least this often.
    pub watchdog: Option<Duration>,
    /// Whether stdout is a stream to the journal.
    pub is_journal: bool,
}

impl Systemd {
    pub(super) fn read(lookup: &dyn Fn(&str) -> Option<OsString>) -> Systemd {
        let number = |name| lookup(name)?.to_str()?.parse::<u64>().ok();
        let is_for_us = lookup("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
        let microseconds = number("WATCHDOG_USEC").filter(|n| is_for_us && *n > 0);
        Systemd {
            notify_socket: lookup("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: microseconds.map(Duration::from_micros),
            is_journal: is_stream(lookup("JOURNAL_STREAM"), io::stdout()),
        }
    }
}

/// Whether this output goes to the journal.
pub fn goes_to_journal(output: impl AsFd) -> bool {
    is_stream(env::var_os("JOURNAL_STREAM"), output)
}

/// Whether this is the device and inode of the output (systemd.exec(5), `JOURNAL_STREAM`): a program that a service
/// starts with its output elsewhere has the variable too.
fn is_stream(stream: Option<OsString>, output: impl AsFd) -> bool {
    let output = output.as_fd().try_clone_to_owned().map(File::from);
    let metadata = output.and_then(|output| output.metadata());
    let is_it = |stream| metadata.is_ok_and(|it| stream == *format!("{}:{}", it.dev(), it.ino()));
    stream.is_some_and(is_it)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Systemd;

    fn watchdog(pid: Option<u32>, microseconds: &str) -> Option<Duration> {
        let systemd = Systemd::read(&|name| match name {
            "WATCHDOG_USEC" => Some(microseconds.into()),
            "WATCHDOG_PID" => pid.map(|pid| pid.to_string().into()),
            _ => None,
        });
        systemd.watchdog
    }

    #[test]
    fn nothing_is_told_where_nobody_asks() {
        assert_eq!(Systemd::read(&|_| None), Systemd::default());
        assert_eq!(Systemd::read(&|_| Some("".into())), Systemd::default());
    }

    #[test]
    fn a_watchdog_for_another_process_is_none_for_this_one() {
        let two_seconds = Some(Duration::from_secs(2));
        assert_eq!(watchdog(None, "2000000"), two_seconds);
        assert_eq!(watchdog(Some(std::process::id()), "2000000"), two_seconds);
        assert_eq!(watchdog(Some(std::process::id() + 1), "2000000"), None);
        for not_a_time in ["0", "soon", "-1"] {
            assert_eq!(watchdog(None, not_a_time), None, "{not_a_time}");
        }
    }
}
