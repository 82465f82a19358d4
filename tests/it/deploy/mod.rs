//! echobot where it is used: one static file, a systemd service, a container, behind proxies, on Heroku.
//!
//! What needs a program that is not there is left out, with a word about it; with
//! `ECHOBOT_DEPLOY=required` it fails instead.

#![allow(clippy::print_stdout, reason = "what was left out is said")]

mod builds;
mod container;
mod guide;
mod heroku;
mod machine;
mod name_server;
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

/// The static file, below the target directory.
pub const STATIC_FILE: &str = "x86_64-unknown-linux-musl/release/echobot";

/// The block of commands in a guide that has this text.
#[track_caller]
pub fn block(guide: &str, having: &str) -> String {
    let blocks = guide.split("\n```sh").skip(1);
    let mut bodies = blocks.map(|rest| {
        let (_, body) = rest.split_once('\n').expect("the fence ends its line");
        body.split("\n```").next().unwrap_or_default()
    });
    let found = bodies.find(|body| body.contains(having));
    found
        .unwrap_or_else(|| panic!("no block has {having}"))
        .to_string()
        + "\n"
}

/// A program that `cargo build --release` has made, at this path below the target directory.
/// Only where it was built just before: elsewhere it may be an old one.
pub fn built(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    is_required().then(|| target.join(path))
}
