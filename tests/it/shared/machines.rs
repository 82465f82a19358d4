//! Two machines behind one proxy, with the files of deploy/; and the static file.

use std::path::Path;

use echobot::simulator::Reply;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;
use crate::deploy::proxy::{Kind, Proxy, answer};
use crate::deploy::{STATIC_FILE, built};
use crate::graph_api::GraphApi;
use crate::support::{Directory, copy_program};

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

/// By a name that only the hosts file of its root has, without TLS and with it.
#[test]
fn the_static_file_finds_the_server_by_its_name() {
    let Some(server) = server() else { return };
    let Some(program) = built(STATIC_FILE) else {
        return leave_out("the static file", ".ci/run builds and tests it");
    };
    let root = Directory::new("shared-root");
    copy_program(&program, root.path());
    std::fs::create_dir(root.path().join("etc")).expect("a directory can be made");
    root.file("etc/hosts", b"127.0.0.1 redis.test\n");
    let made = generate_simple_self_signed(vec!["redis.test".to_string()]);
    let CertifiedKey { cert, signing_key } = made.expect("a certificate is made");
    let certificate = root.file("etc/certificate.pem", cert.pem().as_bytes());
    let key = root.file("key.pem", signing_key.serialize_pem().as_bytes());
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let port = redis_server::free_port().to_string();
    let tls = [
        ["--tls-port", &port],
        ["--tls-auth-clients", "no"],
        ["--tls-cert-file", &certificate],
        ["--tls-key-file", &key],
    ];
    let Some(_with_tls) = server_with(&[tls.as_flattened(), &SAFE].concat()) else {
        return;
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    for url in [
        server.url().replace("127.0.0.1", "redis.test"),
        format!("rediss://redis.test:{port}"),
    ] {
        let settings = [
            ("GRAPH_URL", graph_api.url()),
            ("REDIS_URL", url.clone()),
            ("SSL_CERT_FILE", "/etc/certificate.pem".to_string()),
            ("TMPDIR", "/etc".to_string()),
        ];
        let mut command = Bot::command(Path::new("/usr/sbin/chroot"), &settings);
        let bot = Bot::run(command.arg(root.path()).arg("/echobot"));
        let bot = bot.unwrap_or_else(|error| panic!("{error}"));
        let answer = write_to(&bot, "7", &url, "hello");
        assert_eq!(answer.status, 200, "{}", bot.log());
        assert_says(&bot, &format!("echoed: mid {url}"));
    }
}
