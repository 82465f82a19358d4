//! The bot behind nginx and behind Caddy, from curl to the Graph API.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Reply, VERIFY_TOKEN, text_message, webhook};

use super::proxy::{Kind, Proxy, answer};
use crate::support::{Directory, PATIENCE, World};

/// A proxy ends what is slow within 10 s; other tests run beside this one.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// A bot with a data directory, behind a proxy.
struct Site {
    world: World,
    proxy: Proxy,
    _data: Directory,
}

impl Site {
    fn start(kind: Kind) -> Option<Site> {
        let data = Directory::new("behind-a-proxy");
        let settings = [
            ("DATA_DIR", data.text()),
            ("SEND_RATE", "0"),
            ("RUST_LOG", "info"),
        ];
        let world = World::with(&settings, |_| Reply::deliver());
        let proxy = Proxy::start(kind, world.bot.address())?;
        Some(Site {
            world,
            proxy,
            _data: data,
        })
    }

    fn say(&self, mid: &str) -> (u16, String) {
        let body = webhook("page", &[text_message(mid, mid, mid)]);
        answer(&mut self.proxy.webhook(&body))
    }

    /// As Messenger does: a busy machine may answer 503.
    fn say_until_safe(&self, mid: &str) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, _) = self.say(mid);
            if status != 503 || Instant::now() > deadline {
                return status;
            }
        }
    }

    /// Waits until each of these texts has come to the Graph API, and nothing else.
    fn assert_echoed(&self, texts: impl IntoIterator<Item = String>) {
        let expected: BTreeSet<String> = texts.into_iter().collect();
        let mut heard = self.world.texts(expected.len());
        heard.sort();
        assert!(heard.iter().eq(&expected), "{} echoes", heard.len());
    }
}

fn everything_comes_through(kind: Kind) {
    let Some(site) = Site::start(kind) else {
        return;
    };
    let handshake = format!(
        "/?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=CHALLENGE_ACCEPTED"
    );
    let accepted = answer(&mut site.proxy.curl(&handshake));
    assert_eq!(accepted, (200, "CHALLENGE_ACCEPTED".to_string()));
    let refused = answer(&mut site.proxy.curl(&handshake.replace(VERIFY_TOKEN, "guessed")));
    assert_eq!(refused.0, 403);
    assert_eq!(site.say("hello 👋"), (200, "ok".to_string()));
    site.assert_echoed(["hello 👋".to_string()]);
}

#[test]
fn handshake_and_webhook_come_through_nginx() {
    everything_comes_through(Kind::Nginx);
}

#[test]
fn handshake_and_webhook_come_through_caddy() {
    everything_comes_through(Kind::Caddy);
}

/// A thousand messages in 3 MiB, as Messenger batches them after an outage.
fn a_batch_comes_through(kind: Kind) {
    let Some(site) = Site::start(kind) else {
        return;
    };
    let text = |n: usize| format!("{n} {}", "é".repeat(530));
    let message = |n| text_message(&format!("{}", n % 100), &format!("m{n}"), &text(n));
    let events: Vec<_> = (0..1000).map(message).collect();
    let body = webhook("page", &events);
    assert!(body.len() > 3 * 1024 * 1024, "{}", body.len());
    assert_eq!(answer(&mut site.proxy.webhook(&body)).0, 200);
    site.assert_echoed((0..1000).map(text));
}

#[test]
fn a_batch_of_3_mib_comes_through_nginx() {
    a_batch_comes_through(Kind::Nginx);
}

#[test]
fn a_batch_of_3_mib_comes_through_caddy() {
    a_batch_comes_through(Kind::Caddy);
}

fn many_come_through_at_once(kind: Kind) {
    let Some(site) = Site::start(kind) else {
        return;
    };
    let name = |n| format!("{n} of 64");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let site = &site;
        let say = |n| scope.spawn(move || site.say_until_safe(&name(n)));
        let clients: Vec<_> = (0..64).map(say).collect();
        let join = |client: thread::ScopedJoinHandle<_>| client.join().expect("curl runs");
        clients.into_iter().map(join).collect()
    });
    assert_eq!(statuses, [200; 64]);
    site.assert_echoed((0..64).map(name));
}

#[test]
fn sixty_four_clients_at_once_come_through_nginx() {
    many_come_through_at_once(Kind::Nginx);
}

#[test]
fn sixty_four_clients_at_once_come_through_caddy() {
    many_come_through_at_once(Kind::Caddy);
}

fn a_slow_client_comes_through(kind: Kind) {
    let Some(site) = Site::start(kind) else {
        return;
    };
    let events: Vec<_> = (0..200)
        .map(|n| text_message("7", &format!("m{n}"), &format!("{n} {}", "x".repeat(1000))))
        .collect();
    let mut curl = site.proxy.webhook(&webhook("page", &events));
    let start = Instant::now();
    assert_eq!(answer(curl.args(["--limit-rate", "100k"])).0, 200);
    assert!(start.elapsed() > Duration::from_secs(1), "it was slow");
    assert_eq!(site.world.texts(200).len(), 200);
}

#[test]
fn a_slow_client_comes_through_nginx() {
    a_slow_client_comes_through(Kind::Nginx);
}

#[test]
fn a_slow_client_comes_through_caddy() {
    a_slow_client_comes_through(Kind::Caddy);
}

/// Connections that stay silent, requests whose bodies never come, bodies that are too large, and
/// forged webhooks: they are ended, and a person's message comes through meanwhile.
fn an_attack_is_stopped(kind: Kind) {
    let Some(site) = Site::start(kind) else {
        return;
    };
    let start = Instant::now();
    let silent: Vec<_> = (0..200).map(|_| site.proxy.connect()).collect();
    let begun = [
        "POST / HTTP/1.1\r\nHost: bot.example.org\r\nContent-Length: 100000\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: bot.example.org\r\nX-Never",
    ];
    let endless: Vec<_> = begun
        .iter()
        .cycle()
        .take(20)
        .map(|request| site.proxy.begin(request))
        .collect();

    let too_large = vec![b' '; 5 * 1024 * 1024];
    assert_eq!(answer(&mut site.proxy.webhook(&too_large)).0, 413);
    let forged = site.proxy.file("forged", b"{}");
    let mut curl = site.proxy.curl("/");
    curl.arg("--data-binary")
        .arg(format!("@{}", forged.display()));
    assert_eq!(answer(&mut curl).0, 403);
    assert_eq!(site.say("meanwhile").0, 200);
    site.assert_echoed(["meanwhile".to_string()]);

    for client in endless {
        client.end();
    }
    for mut stream in silent {
        let timeout = Some(PATIENCE);
        stream
            .set_read_timeout(timeout)
            .expect("a timeout can be set");
        let ended = stream.read(&mut [0; 64]);
        let is_over = match &ended {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(is_over, "{ended:?}");
    }
    assert!(start.elapsed() < STOPPED_WITHIN, "{:?}", start.elapsed());
}

#[test]
fn an_attack_is_stopped_by_nginx() {
    an_attack_is_stopped(Kind::Nginx);
}

#[test]
fn an_attack_is_stopped_by_caddy() {
    an_attack_is_stopped(Kind::Caddy);
}
