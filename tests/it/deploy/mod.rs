//! echobot where it is used: one static file, a systemd service, behind proxies, on Heroku.
//!
//! What needs a program that is not there is left out, with a word about it; with
//! `ECHOBOT_DEPLOY=required` it fails instead.

#![allow(clippy::print_stdout, reason = "what was left out is said")]

mod heroku;
mod name_server;
mod package;
mod proxies;
pub mod proxy;
mod start;
mod static_file;
mod systemd;
mod unit;

use std::path::{Path, PathBuf};

/// Whether nothing may be left out.
fn is_required() -> bool {
    std::env::var("ECHOBOT_DEPLOY").is_ok_and(|value| value == "required")
}

/// Says that a test is left out, and what would change that.
pub fn leave_out(what: &str, remedy: &str) {
    assert!(!is_required(), "{what} cannot be tested: {remedy}");
    println!("left out: {what}; {remedy}");
}

/// A program that `cargo build --release` has made, at this path below the target directory.
/// Only where it was built just before: elsewhere it may be an old one.
pub fn built(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    is_required().then(|| target.join(path))
}
