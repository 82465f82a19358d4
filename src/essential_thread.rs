//! Threads that the bot cannot do without.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use crate::logger;

/// The stack of a thread, in bytes. TLS and JSON need a few dozen kilobytes of it.
const STACK: usize = 512 * 1024;

/// Starts a thread. A panic in it ends the process with a line in the log: a supervisor starts the
/// bot anew, while a bot that lacks a thread would only look alive.
pub(crate) fn spawn(
    name: String,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let end_with_it = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            log::error!("a thread panicked: stopping, so that the bot can be restarted");
            logger::exit(1);
        }
    };
    let thread = thread::Builder::new().name(name).stack_size(STACK);
    thread.spawn(end_with_it)
}
