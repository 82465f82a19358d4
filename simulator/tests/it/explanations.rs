//! Where a newcomer needs a word, there is one.

use std::net::TcpListener;
use std::sync::atomic::Ordering;

use super::*;
use crate::client::{exchanges, post};
use crate::process::run;

fn remark(news: &Value, words: &str) -> bool {
    let has = |row: &Value| {
        row["remark"]
            .as_str()
            .is_some_and(|remark| remark.contains(words))
    };
    exchanges(news, "webhook").any(has)
}

#[test]
fn a_bot_that_answers_and_never_calls_is_told_where_the_graph_api_is() {
    let world = World::start();
    post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "hello"}),
    );
    let words = format!(
        "has not called {}: does it still talk to graph.facebook.com?",
        world.graph
    );
    wait_for_news(&world.simulator, |news| remark(news, &words));
}

#[test]
fn a_signed_webhook_that_is_refused_asks_for_the_app_secret() {
    let world = World::start();
    world.bot.status.store(403, Ordering::SeqCst);
    post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "hello"}),
    );
    wait_for_news(&world.simulator, |news| {
        remark(news, "is --app-secret the bot's?")
    });
}

#[test]
fn a_message_that_is_given_up_is_told_with_what_waited_behind_it() {
    let world = World::start();
    world.bot.status.store(500, Ordering::SeqCst);
    post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "hello"}),
    );
    wait_for_news(&world.simulator, |news| {
        note(news, "given up after 30 redeliveries")
    });
    let news = world.news();
    assert_eq!(exchanges(&news, "webhook").count(), 31);
    world.bot.status.store(200, Ordering::SeqCst);
    post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "again"}),
    );
    assert_eq!(world.bot.wait(32).len(), 32);
}

#[test]
fn it_waits_for_a_bot_that_is_not_up_yet_and_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = free.local_addr().expect("it listens");
    drop(free);
    let url = format!("http://{address}/");
    let arguments = [
        "--webhook",
        &url,
        "--verify-token",
        "a",
        "--app-secret",
        "b",
        "--port",
        "0",
    ];
    let (_process, mut told) = simulate(&arguments);
    let line = wait_for_line(&mut told, "waiting until it is");
    assert!(line.contains(&url), "{line}");
}

#[test]
fn a_port_that_is_taken_is_told_by_its_number() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it listens").port().to_string();
    for flag in ["--port", "--graph-port", "--proxy-port"] {
        let bot = OtherBot::start();
        let arguments = bot.arguments(&[flag, &port]);
        let ended = run(&mut support::simulate(&arguments));
        assert_eq!(ended.code, Some(1));
        let words = format!(
            "failed to listen on port {port}: another program is there; {flag} chooses another"
        );
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    }
}

#[test]
fn a_certificate_that_nobody_has_signed_is_explained() {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::sync::Arc;

    let made = generate_simple_self_signed(vec!["localhost".to_string()]).expect("it is made");
    let CertifiedKey { cert, signing_key } = made;
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der())
        .expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it listens").port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection =
                rustls::ServerConnection::new(Arc::clone(&config)).expect("it is configured");
            let mut tls = rustls::StreamOwned::new(connection, stream);
            let _ = std::io::Read::read(&mut tls, &mut [0; 100]);
        }
    });
    let url = format!("https://localhost:{port}/");
    let arguments = [
        "--webhook",
        &url,
        "--verify-token",
        "a",
        "--app-secret",
        "b",
        "--say",
        "hello",
    ];
    let ended = run(&mut support::simulate(&arguments));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .contains("Messenger takes no such certificate either"),
        "{}",
        ended.stderr
    );
}
