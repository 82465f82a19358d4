//! `echobot simulate` with two bots and one log.

use serde_json::{Value, json};

use super::*;
use crate::page::{echoes, exchanges, post, wait_for_news};
use crate::process::{echobot, run};
use crate::simulate::Simulator;

#[test]
fn simulate_runs_two_bots_on_one_server_and_either_may_be_killed() {
    let Some(server) = server() else { return };
    let simulator = Simulator::start_with(&[], &[("REDIS_URL", &server.url())]);
    let news = wait_for_news(&simulator, |_| true);
    assert_eq!(news["own_bots"], 2);
    let mut texts: Vec<String> = Vec::new();
    for bot in 0..2 {
        let more: Vec<String> = (0..6)
            .map(|n| format!("{n} before the kill of {bot}"))
            .collect();
        for text in &more {
            post(&simulator, "say", &json!({"person": "7", "text": text}));
        }
        post(&simulator, "kill", &json!({"bot": bot}));
        texts.extend(more);
        let news = wait_for_news(&simulator, |news| {
            let is_over = |kill: &Value| kill["took"].is_u64();
            news["owed"] == 0 && exchanges(news, "bot").filter(|kill| is_over(kill)).count() > bot
        });
        // What was sent last before the kill may come twice.
        let mut once: Vec<&str> = Vec::new();
        for echo in echoes(&news) {
            if !once.contains(&echo) {
                once.push(echo);
            }
        }
        assert_eq!(once, texts);
    }
}

#[test]
fn say_works_with_two_bots_too_and_leaves_the_pages_own_log_alone() {
    let Some(server) = server() else { return };
    let mut command = echobot(&["simulate", "--say", "one", "--say", "two"]);
    let said = run(command.env("REDIS_URL", server.url()));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(said.stdout, "one\ntwo\n");
    assert!(
        server
            .ask("EXISTS {echobot}:log {echobot}:leader")
            .starts_with(":0")
    );
}
