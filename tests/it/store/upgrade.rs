//! An outbox that version 0.2.0 has left: `outbox-0.2.0.redb`, with times in 2100, so that nothing in it is ever too old. To
//! person 7 two texts are owed, to 8 one on Instagram, to 9 the second part of a long one; `m_old_0` was answered.

use echobot::simulator::{Reply, text_message};

use crate::graph_api::GraphApi;
use crate::support::{Directory, PATIENCE, World};

#[test]
fn what_version_0_2_0_has_left_on_disk_is_sent() {
    let data = Directory::new("0.2.0");
    data.file("outbox.redb", include_bytes!("outbox-0.2.0.redb"));
    let world = World::with(&[("DATA_DIR", data.text())], |_| Reply::deliver());
    assert!(
        world.bot.log().contains("4 echoes are owed"),
        "{}",
        world.bot.log()
    );
    assert_owed_by_0_2_0(&world.graph_api);
    for n in 0..5 {
        let message = text_message("7", &format!("m_old_{n}"), "once more");
        assert_eq!(world.deliver(&[message]).status, 200);
    }
    assert_eq!(
        world.deliver(&[text_message("7", "m_new", "new")]).status,
        200
    );
    assert_eq!(world.texts(5)[4], "new", "redeliveries are known");
}

/// What both outboxes of version 0.2.0 owe that are kept here, in order for each person.
#[track_caller]
pub fn assert_owed_by_0_2_0(graph_api: &GraphApi) {
    let calls = graph_api.wait_for_calls(4, PATIENCE);
    let to = |person: &str| -> Vec<String> {
        let calls = calls.iter().filter(|call| call.recipient == person);
        calls.map(|call| call.text.clone()).collect()
    };
    assert_eq!(to("7"), ["first", "second, with \"quotes\" and ü"]);
    assert_eq!(to("8"), ["on Instagram"]);
    assert_eq!(to("9"), ["b".repeat(2000)]);
    assert_eq!(calls.len(), 4);
}
