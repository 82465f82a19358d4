//! An outbox that version 0.2.0 has left: `outbox-0.2.0.resp` has the commands that make one such, with times in 2100, so
//! that nothing in it is ever too old. To person 7 two texts are owed, to 8 one on Instagram, to 9 the second part of a
//! long one; `m_old_0` was answered.

use echobot::simulator::Reply;

use super::*;
use crate::graph_api::GraphApi;
use crate::store::upgrade::assert_owed_by_0_2_0;

#[test]
fn what_version_0_2_0_has_left_in_the_log_is_sent() {
    let Some(server) = server() else { return };
    server.feed(include_bytes!("outbox-0.2.0.resp"));
    let time = server.ask("TIME");
    let seconds: u64 = time
        .lines()
        .nth(2)
        .and_then(|line| line.parse().ok())
        .expect("a time");
    let rename = format!(
        "RENAME {{echobot}}:mids:41571 {{echobot}}:mids:{}",
        seconds / 43_200
    );
    assert!(server.ask(&rename).starts_with("+OK"));
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, "4 echoes are owed");
    wait_until_nothing_is_owed(&server);
    assert_owed_by_0_2_0(&graph_api);
    for n in 0..5 {
        let answer = write_to(&bot, "7", &format!("m_old_{n}"), "once more");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(write_to(&bot, "7", "m_new", "new").status, 200);
    assert_says(&bot, "echoed: mid m_new");
    assert_eq!(graph_api.calls().len(), 5, "redeliveries are known");
}
