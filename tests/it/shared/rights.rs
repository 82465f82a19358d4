//! Servers that refuse a part of what an append does.

use super::servers::{check, delivering};
use super::*;

/// What the server does of a script before a call fails, it does not undo.
#[test]
fn a_message_whose_echo_could_not_be_written_is_not_known() {
    let Some(server) = server() else { return };
    let graph_api = delivering();
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    let last = u64::MAX;
    server.ask(&format!("XADD {{echobot}}:log {last}-{last} full full"));
    for _ in 0..2 {
        assert_eq!(write_to(&bot, "7", "m_1", "hello").status, 503);
    }
    server.ask("DEL {echobot}:log");
    assert_eq!(write_to(&bot, "7", "m_1", "hello").status, 200);
    assert_says(&bot, "echoed: mid m_1");
}

#[test]
fn a_user_without_a_right_that_the_bot_needs_is_refused_from_the_start() {
    let Some(server) = server() else { return };
    server.ask(
        "ACL SETUSER bot on >secret ~{echobot}:* +@read +@write +eval +time +config|get -expire",
    );
    let url = server.url().replace("redis://", "redis://bot:secret@");
    let graph_api = delivering();
    let bot = bot_with(&url, &graph_api.url(), &[]);
    for _ in 0..2 {
        assert_eq!(write_to(&bot, "7", "m_1", "hello").status, 503);
    }
    let line = "its user may not run EXPIRE on {echobot}:log";
    assert_says(&bot, line);
    let said = check(&url, &graph_api.url());
    assert!(said.contains(line) && said.contains('✗'), "{said}");
    server.ask("ACL SETUSER bot +expire");
    let is_taken = || write_to(&bot, "7", "m_1", "hello").status == 200;
    wait_until(is_taken, "the webhook is taken");
    assert_says(&bot, "echoed: mid m_1");
    assert_eq!(graph_api.calls().len(), 1, "{}", bot.log());
    let said = check(&url, &graph_api.url());
    assert!(said.contains("✓ shared outbox"), "{said}");
}
