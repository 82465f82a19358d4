//! Two pages' bots on one outbox, and one page whose token is renewed.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use echobot::simulator::{self, Kind, PAGE, Reply};

use super::*;
use crate::support::killed;

/// A Graph API that several pages' tokens are for: `token-7` is page 7's, and so is `token-7-new`.
struct Meta {
    graph_api: simulator::GraphApi,
    /// Token and text of each call of the Send API.
    calls: Arc<Mutex<Vec<(String, String)>>>,
}

impl Meta {
    /// Tells whose a token is, or fails when it is asked; delivers what is sent with these tokens.
    fn start(tells_pages: bool, delivering: &'static [&'static str]) -> Meta {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&calls);
        let behave = move |call: &simulator::Call| {
            let token = call.request.split("Bearer ").nth(1).unwrap_or_default();
            let token = token.lines().next().unwrap_or_default().to_string();
            let page = token.split('-').nth(1).unwrap_or_default();
            if call.kind != Kind::Other {
                let is_delivered = delivering.contains(&&*token);
                record
                    .lock()
                    .expect("it is ours")
                    .push((token, call.text.clone()));
                match is_delivered {
                    true => Reply::deliver(),
                    false => Reply::error(500, 2, None),
                }
            } else if tells_pages {
                Reply::answer(200, format!(r#"{{"id": "{page}", "name": "A page"}}"#))
            } else {
                Reply::error(500, 2, None)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let graph_api = simulator::GraphApi::start(listener, behave);
        let graph_api = graph_api.expect("the Graph API starts");
        Meta { graph_api, calls }
    }

    fn bot(&self, server: &RedisServer, token: &str) -> Bot {
        let settings = [("PAGE_ACCESS_TOKEN", token)];
        bot_with(&server.url(), &self.graph_api.url(), &settings)
    }

    fn texts_with(&self, token: &str) -> Vec<String> {
        let calls = self.calls.lock().expect("nobody panics with it");
        let own = calls.iter().filter(|(with, _)| with == token);
        own.map(|(_, text)| text.clone()).collect()
    }
}

/// Somebody writes to this page.
fn write_to_page(bot: &Bot, page: &str, mid: &str) -> u16 {
    let body = webhook("page", &[text_message("7", mid, mid)]);
    let body = String::from_utf8(body)
        .expect("it is JSON")
        .replace(PAGE, page);
    let delivered = Messenger::new(&bot.url()).deliver(body.as_bytes());
    delivered.expect("the bot answers").status
}

fn two_pages(tells_pages: bool) {
    let Some(server) = server() else { return };
    let meta = Meta::start(tells_pages, &["token-2"]);
    let first = meta.bot(&server, "token-1");
    assert_says(&first, LEADS);
    for n in 0..20 {
        assert_eq!(write_to_page(&first, "1", &format!("first_{n}")), 200);
    }
    let second = meta.bot(&server, "token-2");
    for n in 0..5 {
        assert_eq!(write_to_page(&second, "2", &format!("second_{n}")), 503);
    }
    assert_says(&second, "give each page's bot a REDIS_PREFIX of its own");
    killed(first);
    // As if it had died long ago: what the first page is owed stays.
    server.ask("DEL {echobot}:leader");
    assert_eq!(write_to_page(&second, "2", "second_9"), 503);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(meta.texts_with("token-2"), [""; 0], "{}", second.log());
    assert!(!second.log().contains(LEADS), "{}", second.log());
    assert!(server.ask("XLEN {echobot}:log").starts_with(":20"));
    // The first page's own bot goes on, with a new token too.
    let meta = Meta::start(tells_pages, &["token-1-new"]);
    let renewed = meta.bot(&server, "token-1-new");
    if !tells_pages {
        // Only an event can tell then.
        let deadline = Instant::now() + PATIENCE;
        while write_to_page(&renewed, "1", "first_20") != 200 {
            assert!(Instant::now() < deadline, "{}", renewed.log());
        }
    }
    wait_until_nothing_is_owed(&server);
    let texts = meta.texts_with("token-1-new");
    let expected = (0..texts.len()).map(|n| format!("first_{n}"));
    assert_eq!(texts, expected.collect::<Vec<_>>());
    assert!(texts.len() >= 20);
}

#[test]
fn another_pages_bot_is_refused_and_sends_nothing() {
    two_pages(true);
}

#[test]
fn another_pages_bot_is_refused_though_the_graph_api_tells_no_page() {
    two_pages(false);
}

#[test]
fn a_prefix_that_is_not_in_use_any_more_may_be_another_pages() {
    let Some(server) = server() else { return };
    let meta = Meta::start(true, &["token-1", "token-2"]);
    let first = meta.bot(&server, "token-1");
    assert_eq!(write_to_page(&first, "1", "first"), 200);
    wait_until_nothing_is_owed(&server);
    killed(first);
    server.ask("DEL {echobot}:leader");
    let second = meta.bot(&server, "token-2");
    assert_says(&second, LEADS);
    assert_eq!(write_to_page(&second, "2", "second"), 200);
    wait_until_nothing_is_owed(&server);
    assert_eq!(meta.texts_with("token-2"), ["second"]);
}
