//! The outbox that several processes share, on a real server. Where none is installed these tests are left out, with a
//! word about it; with `ECHOBOT_DEPLOY=required` they fail instead.
//!
//! In reduced size by default; `ECHOBOT_TESTS=full` plays them in full.

#![allow(
    clippy::print_stdout,
    reason = "what was measured is shown with --nocapture"
)]

mod basics;
mod connections;
mod failover;
mod load;
mod machines;
mod memory;
mod pages;
mod redis_server;
mod rights;
mod servers;
mod simulate;
mod switch;
mod upgrade;

use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Received, text_message, webhook};

use self::redis_server::{RedisServer, SAFE};
use self::switch::Switch;
use crate::deploy::leave_out;
use crate::support::{PATIENCE, start_bot};

/// A server where nothing is lost; none where it is not installed.
fn server() -> Option<RedisServer> {
    server_with(&SAFE)
}

fn server_with(options: &[&str]) -> Option<RedisServer> {
    if !redis_server::is_installed() {
        leave_out("the shared outbox", "install redis-server");
        return None;
    }
    Some(RedisServer::start(options))
}

/// Two servers, and a proxy that leads to the first; none where there is no redis-server.
fn two_servers() -> Option<(RedisServer, RedisServer, Switch)> {
    let (first, second) = (server()?, server()?);
    let switch = Switch::to(first.port());
    Some((first, second, switch))
}

/// A bot with this server, whose Graph API is at this address.
fn bot(server: &RedisServer, graph_url: &str) -> Bot {
    bot_with(&server.url(), graph_url, &[])
}

fn bot_with(redis_url: &str, graph_url: &str, settings: &[(&str, &str)]) -> Bot {
    let mut all = vec![("REDIS_URL", redis_url)];
    all.extend(settings);
    start_bot(graph_url, &all)
}

const LEADS: &str = "this process sends";
const FOLLOWS: &str = "another process sends";

#[track_caller]
fn assert_says(bot: &Bot, text: &str) {
    let said = bot.wait_for_log(text, PATIENCE);
    assert!(said.is_some(), "no {text:?} in\n{}", bot.log());
}

/// Somebody writes to the page, and the webhook goes to this bot.
fn write_to(bot: &Bot, person: &str, mid: &str, text: &str) -> Received {
    let body = webhook("page", &[text_message(person, mid, text)]);
    let delivered = Messenger::new(&bot.url()).deliver(&body);
    delivered.expect("the bot answers")
}

#[track_caller]
fn wait_until_nothing_is_owed(server: &RedisServer) {
    let is_empty = || server.ask("XLEN {echobot}:log").starts_with(":0");
    wait_until(is_empty, "nothing is owed");
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
