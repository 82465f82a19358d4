//! What fails on the way to the Graph API is told by its name, with what can be done, by the bot and by `check`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::check::operate;
use crate::process::run;
use crate::support::{Directory, PATIENCE, World, program, start_bot};

/// A port on which nobody listens. Not one that was open before: another test would soon be given it.
fn closed_port() -> String {
    "127.0.0.1:1".to_string()
}

/// Says something on each connection that comes, once a request has.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                request.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address.to_string()
}

/// Both the bot and `check` tell this of such a Graph API; neither says what nobody understands.
#[track_caller]
fn assert_told(graph_url: &str, settings: &[(&str, &str)], what: &str) -> String {
    let bot = start_bot(graph_url, settings);
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("the bot answers").status, 503);
    let line = bot.wait_for_log(what, PATIENCE);
    let line = line.unwrap_or_else(|| panic!("{what}:\n{}", bot.log()));
    assert!(line.contains("failed to reach the Graph API: "), "{line}");
    let check = operate(graph_url, &["check"], settings);
    assert_eq!(check.code, Some(1));
    assert!(check.stdout.contains(what), "{}", check.stdout);
    for said in [bot.log(), check.stdout] {
        assert!(!said.contains("uncategorized"), "{said}");
        assert!(!said.contains("appsecret_proof"), "{said}");
        assert!(!said.contains("pass-word"), "{said}");
    }
    line
}

#[test]
fn a_name_that_nobody_knows_is_told() {
    let what = "failed to look up the name no-such-name.invalid: ";
    assert_told("http://no-such-name.invalid", &[], what);
}

#[test]
fn a_refused_connection_is_told() {
    let address = closed_port();
    let what = "failed to connect to 127.0.0.1: Connection refused";
    assert_told(&format!("http://{address}"), &[], what);
}

#[test]
fn a_proxy_that_is_down_is_told() {
    let address = closed_port();
    let proxy = format!("http://user:pass-word@{address}");
    let what = format!(
        "the proxy {address} did not connect to graph.test: failed to connect to 127.0.0.1: Connection refused"
    );
    assert_told("http://graph.test", &[("ALL_PROXY", &proxy)], &what);
}

#[test]
fn a_proxy_that_refuses_is_told_with_its_status() {
    let address = server("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let proxy = format!("http://{address}");
    let what =
        format!("the proxy {address} did not connect to graph.test: proxy server responded 407");
    assert_told("http://graph.test", &[("HTTPS_PROXY", &proxy)], &what);
}

#[test]
fn a_proxy_that_says_nothing_is_told() {
    let address = server("");
    let proxy = format!("http://{address}");
    let what =
        format!("the proxy {address} did not connect to graph.test: proxy server did not respond");
    assert_told("http://graph.test", &[("http_proxy", &proxy)], &what);
}

#[test]
fn a_socks_proxy_does_not_switch_off_one_that_can_be_used() {
    let address = closed_port();
    let good = format!("http://{address}");
    let settings = [
        ("ALL_PROXY", "socks5h://127.0.0.1:2"),
        ("HTTPS_PROXY", &good),
    ];
    let what = format!("the proxy {address} did not connect to graph.test");
    assert_told("http://graph.test", &settings, &what);
}

#[test]
fn white_space_in_no_proxy_is_no_part_of_a_name() {
    let proxy = format!("http://{}", closed_port());
    for no_proxy in [
        "foo.test, 127.0.0.1",
        "127.0.0.1 ,\tfoo.test",
        " 127.0.0.1 ",
    ] {
        let settings = [("HTTP_PROXY", &*proxy), ("NO_PROXY", no_proxy)];
        let world = World::with(&settings, |_| Reply::deliver());
        let answer = world.deliver(&[text_message("7", "m_1", "hello")]);
        assert_eq!(answer.status, 200, "{}", world.bot.log());
    }
}

#[test]
fn what_is_not_used_of_the_proxies_is_told_by_check() {
    let settings = [
        ("ALL_PROXY", "http://user:pass-word@ho st:3128"),
        ("HTTPS_PROXY", "socks5h://127.0.0.1:1"),
        ("NO_PROXY", "localhost,10.0.0.0/8"),
    ];
    let check = operate("http://127.0.0.1:1", &["check"], &settings);
    for what in [
        "– proxy: ALL_PROXY is not understood, and not used",
        "– proxy: HTTPS_PROXY is not used: SOCKS proxies are not supported",
        "– proxy: NO_PROXY has a range of addresses, which is not understood",
    ] {
        assert!(check.stdout.contains(what), "{what}:\n{}", check.stdout);
    }
    assert!(!check.stdout.contains("pass-word"), "{}", check.stdout);
}

/// An authority of our own, and a Graph API on `localhost` with a certificate of it.
struct Private {
    authority: String,
    url: String,
}

impl Private {
    /// `change` spoils the certificate.
    fn new(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Private {
        let mut params = CertificateParams::new(Vec::new()).expect("no name is no mistake");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        let authority = params.self_signed(&key).expect("it is signed").pem();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec![name.to_string()]).expect("it is a name");
        change(&mut params);
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params.signed_by(&key, &issuer).expect("it is signed");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what they need")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("certificate and key belong together");
        let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
        let port = listener.local_addr().expect("it is bound").port();
        let config = Arc::new(config);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&config);
                thread::spawn(move || deliver_all(stream, config));
            }
        });
        let url = format!("https://localhost:{port}");
        Private { authority, url }
    }

    /// Settings that trust the authority, by a file.
    fn trusted(&self, directory: &Directory) -> PathBuf {
        directory.file("authority.pem", self.authority.as_bytes());
        directory.path().join("authority.pem")
    }
}

/// Answers each request as if it had delivered a message.
fn deliver_all(stream: TcpStream, config: Arc<ServerConfig>) {
    let body = r#"{"recipient_id":"7","message_id":"m_sent","id":"100200300400500","name":"Page"}"#;
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    let connection = ServerConnection::new(config).expect("the configuration is complete");
    let mut stream = StreamOwned::new(connection, stream);
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&received);
        let is_whole = text.starts_with("GET ") || text.contains("\"text\"");
        if is_whole && text.contains("\r\n\r\n") {
            received.clear();
            let _ = stream.write_all(answer.as_bytes());
        }
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_told_with_the_remedy() {
    let private = Private::new("localhost", |_| {});
    let what = "failed to connect to localhost: its certificate is not valid (UnknownIssuer): if a proxy on the way makes \
                its own certificates, set SSL_CERT_FILE";
    assert_told(&private.url, &[], what);
}

#[test]
fn a_certificate_for_another_name_is_told() {
    let private = Private::new("other.test", |_| {});
    let directory = Directory::new("tls-name");
    let file = private.trusted(&directory);
    let file = file.to_str().expect("it is UTF-8");
    let what = "its certificate is not valid (certificate not valid for name \"localhost\"";
    let line = assert_told(&private.url, &[("SSL_CERT_FILE", file)], what);
    assert!(
        line.contains("does the name resolve to the right machine?"),
        "{line}"
    );
}

#[test]
fn a_certificate_out_of_its_time_is_told_and_the_clock_is_asked_for() {
    let trials: [(&str, i32, i32); 2] = [
        ("certificate expired", 2000, 2001),
        ("certificate not valid yet", 3000, 3001),
    ];
    for (what, from, to) in trials {
        let private = Private::new("localhost", |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        });
        let directory = Directory::new("tls-time");
        let file = private.trusted(&directory);
        let file = file.to_str().expect("it is UTF-8");
        let what = format!("its certificate is not valid ({what}");
        let line = assert_told(&private.url, &[("SSL_CERT_FILE", file)], &what);
        assert!(line.contains("is this machine's clock right?"), "{line}");
    }
}

#[test]
fn authorities_of_a_file_or_a_directory_are_trusted() {
    let private = Private::new("localhost", |_| {});
    let directory = Directory::new("tls-trusted");
    let file = private.trusted(&directory);
    fs::write(directory.path().join("README"), "no certificate").expect("it can be written");
    for (name, path) in [
        ("SSL_CERT_FILE", &*file),
        ("SSL_CERT_DIR", directory.path()),
    ] {
        let path = path.to_str().expect("it is UTF-8");
        let bot = start_bot(&private.url, &[(name, path)]);
        let body = webhook("page", &[text_message("7", "m_1", "hello")]);
        let answer = Messenger::new(&bot.url()).deliver(&body);
        assert_eq!(answer.expect("it answers").status, 200, "{}", bot.log());
        let echoed = bot.wait_for_log("echoed: mid m_1", PATIENCE);
        assert!(echoed.is_some(), "{}", bot.log());
    }
}

#[test]
fn files_and_directories_without_certificates_are_refused_at_the_start() {
    let directory = Directory::new("tls-none");
    directory.file("none.pem", b"nothing");
    let none = directory.path().join("none.pem");
    let missing = directory.path().join("missing");
    for (name, path, what) in [
        ("SSL_CERT_FILE", &none, "there is none in it"),
        ("SSL_CERT_FILE", &missing, "No such file"),
        ("SSL_CERT_DIR", &missing, "No such file"),
    ] {
        let path = path.to_str().expect("it is UTF-8");
        let ended = run(&mut Bot::command(program(), &[(name, path.to_string())]));
        assert_eq!(ended.code, Some(2), "{name}");
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
    }
}
