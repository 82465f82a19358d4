//! Signals: the way down begins with one.

use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::notify::Notifier;
use crate::shield::Shield;

/// From now on these signals wait for [`close_on`].
pub(crate) fn watch() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT])
}

/// On the first signal the port is closed. Heroku sends SIGTERM several times, and means one; a
/// second SIGINT means now.
pub(crate) fn close_on(
    mut signals: Signals,
    shield: Arc<Shield>,
    notifier: Arc<Notifier>,
) -> io::Result<()> {
    let watch = move || {
        let mut interrupts = 0;
        for signal in signals.forever() {
            interrupts += u32::from(signal == SIGINT);
            if interrupts > 1 {
                log::warn!("interrupted twice: stopping at once");
                std::process::exit(130);
            }
            if !shield.is_closed() {
                log::info!("stopping: the port is closed");
                notifier.stopping();
                shield.close();
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}
