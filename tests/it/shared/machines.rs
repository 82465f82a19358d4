//! Two machines behind one proxy, with the files of deploy/; and the static file.

use std::path::Path;

use echobot::simulator::Reply;

use super::*;
use crate::deploy::proxy::{Kind, Proxy, answer};
use crate::deploy::{STATIC_FILE, built};
use crate::graph_api::GraphApi;
use crate::support::copy_program;

/// The proxy's file has both where it had one; `between` is what stands between the two. What it sends over a
/// connection that it had kept to the dead one is lost, and delivered again.
fn a_machine_dies_behind(kind: Kind, between: &str) {
    let Some(server) = server() else { return };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let mut bots = [(); 2].map(|()| bot(&server, &graph_api.url()));
    let both = format!("{}{between}{}", bots[0].address(), bots[1].address());
    let Some(proxy) = Proxy::start(kind, &both) else {
        return;
    };
    let mut again = 0;
    for n in 0..30 {
        if n == 10 {
            bots[0].kill();
        }
        let text = n.to_string();
        let body = webhook("page", &[text_message("7", &text, &text)]);
        while answer(&mut proxy.webhook(&body)).0 != 200 {
            again += 1;
            assert!(again <= 2, "{n}");
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while !graph_api.calls().iter().any(|call| call.text == "29") {
        assert!(Instant::now() < deadline, "{}", bots[1].log());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_machine_dies_behind_caddy_and_the_other_answers() {
    a_machine_dies_behind(Kind::Caddy, " ");
}

#[test]
fn a_machine_dies_behind_nginx_and_the_other_answers() {
    a_machine_dies_behind(Kind::Nginx, ";\n    server ");
}

#[test]
fn the_static_file_finds_the_server_by_its_name() {
    let Some(server) = server() else { return };
    let program = built(STATIC_FILE);
    let (Some(program), Some(root)) = (program, built("debian-13")) else {
        return leave_out("the static file", ".ci/run builds and tests it");
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    copy_program(&program, &root.join("echobot-shared"));
    let settings = [
        ("GRAPH_URL", graph_api.url()),
        ("REDIS_URL", server.url().replace("127.0.0.1", "localhost")),
    ];
    let mut command = Bot::command(Path::new("/usr/sbin/chroot"), &settings);
    let bot = Bot::run(command.arg(&root).arg("/echobot-shared"));
    let bot = bot.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        write_to(&bot, "7", "m_1", "hello").status,
        200,
        "{}",
        bot.log()
    );
    assert_says(&bot, "echoed: mid m_1");
}
