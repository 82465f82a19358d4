//! The same with TLS above it.

use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion, version};
use ureq::tls::TlsConfig;

use super::*;

fn server(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let names = ["127.0.0.1".to_string()];
    let own = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key);
    Arc::new(config.expect("key and certificate belong together"))
}

/// Answers all requests of a connection with what they brought.
fn answer_all(stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut stream = BufReader::new(stream);
    while let Some((_, body)) = read_request(&mut stream) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), &body].concat();
        stream
            .get_mut()
            .write_all(&answer)
            .expect("the client reads");
    }
}

#[test]
fn many_calls_go_over_one_connection_with_tls() {
    for version in [&version::TLS12, &version::TLS13] {
        let server = server(version);
        let (opened, connections) = mpsc::channel();
        let url = serve(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&server)).expect("it is a config");
            let _ = opened.send(());
            answer_all(StreamOwned::new(connection, stream));
        });
        let url = url.replace("http:", "https:");
        // Nobody has signed the certificate.
        let tls = TlsConfig::builder().disable_verification(true).build();
        let config = Agent::config_builder().tls_config(tls).build();
        let agent = Agent::with_parts(config, connector(), DefaultResolver::default());
        // The largest is more than a TLS record and a buffer.
        for length in [1, 100, 2_000, 16_384, 40_000, 5] {
            let body = "x".repeat(length);
            let answer = call(&agent, &url, body.as_bytes()).expect("an answer");
            assert!(answer == body, "{length} bytes, {version:?}");
        }
        assert_eq!(connections.try_iter().count(), 1, "{version:?}");
    }
}
