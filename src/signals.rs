//! Signals: the way down begins with one.

use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::essential_thread;
use crate::logger;
use crate::shield::Shield;
use crate::systemd::Systemd;

/// Watches signals from now on. The caller puts the shield into the returned cell as soon as the port is open. The first
/// signal closes the port; before it is open, the signal ends the process at once, because nothing was received. Heroku
/// sends SIGTERM several times, and means one; a second SIGINT means now. A bot that was started with `nohup` outlives SIGHUP.
pub(crate) fn watch(systemd: Systemd) -> io::Result<Arc<OnceLock<Arc<Shield>>>> {
    // A write beyond a limit of file sizes is to fail as on a full disk, and not to end the bot.
    flag::register(SIGXFSZ, Arc::default())?;
    let hangup = (!is_in("SigIgn:", SIGHUP)).then_some(SIGHUP);
    if is_in("SigBlk:", SIGTERM) {
        log::error!("SIGTERM cannot stop the bot: it was started with signals blocked");
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT].into_iter().chain(hangup))?;
    let port = Arc::new(OnceLock::<Arc<Shield>>::new());
    let opened = Arc::clone(&port);
    let watch = move || {
        let mut interrupts = 0;
        for signal in signals.forever() {
            let Some(shield) = opened.get() else {
                log::info!("stopped: it had not started yet");
                logger::exit(0);
            };
            interrupts += u32::from(signal == SIGINT);
            if interrupts > 1 {
                log::warn!("interrupted twice: stopping at once");
                logger::exit(130);
            }
            if !shield.is_closed() {
                shield.close();
                // Stopping has deadlines of its own, so the watchdog's time begins again.
                systemd.tell("STOPPING=1\nWATCHDOG=1");
                log::info!("stopping: the port is closed");
            }
        }
    };
    essential_thread::spawn("signals".to_string(), watch)?;
    Ok(port)
}

/// Whether the signal is ignored or blocked in this process, as Linux tells it (proc_pid_status(5)).
fn is_in(mask: &str, signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(mask));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
