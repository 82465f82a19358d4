//! A forward proxy that answers for the Graph API, so that a bot needs no change: `CONNECT` with a certificate of an
//! authority of its own, and addresses in absolute form. It is on loopback, and every other host is refused by name.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{self, HttpServer, Request, Response};
use super::options::{listen, listen_near};
use super::platform;
use super::{SimulatorError, random};

/// For whom it answers.
const HOSTS: [&str; 3] = [
    "graph.facebook.com",
    "graph-video.facebook.com",
    "graph.instagram.com",
];

/// The first port that is tried.
const PORT: u16 = 8091;

/// A proxy that runs until it is dropped.
pub(super) struct Proxy {
    _server: HttpServer,
    /// The authority's certificate.
    certificate: PathBuf,
}

impl Proxy {
    /// Starts it, and says what a bot is to have in its environment.
    pub(super) fn start(
        port: Option<u16>,
        handle: impl Fn(Request) -> Response + Send + Sync + 'static,
    ) -> Result<Proxy, SimulatorError> {
        let ip = Ipv4Addr::LOCALHOST.into();
        let listener = match port {
            Some(port) => listen(ip, port, "--proxy-port")?,
            None => listen_near(ip, PORT)?,
        };
        let failed = |cause: &dyn std::fmt::Display| {
            SimulatorError(format!("failed to start the proxy: {cause}"))
        };
        let (authority, tls) = certificates().map_err(|error| failed(&error))?;
        let certificate =
            std::env::temp_dir().join(format!("echobot-simulate-{:08x}.pem", random() >> 32));
        fs::write(&certificate, authority).map_err(|error| failed(&error))?;
        let tls = Arc::new(tls);
        let run = move |stream| serve(stream, &tls, &handle);
        let server = HttpServer::accept(listener, run).map_err(|error| failed(&error))?;
        let (address, file) = (server.address(), certificate.display());
        platform::say(&format!(
            "for your bot's environment (and nothing in it need be changed):\n\
             HTTPS_PROXY=http://{address}\nHTTP_PROXY=http://{address}\nNO_PROXY=localhost,127.0.0.1\n\
             NODE_EXTRA_CA_CERTS={file}\nNODE_USE_ENV_PROXY=1\nREQUESTS_CA_BUNDLE={file}\nSSL_CERT_FILE={file}"
        ));
        Ok(Proxy {
            _server: server,
            certificate,
        })
    }

    /// Removes the certificate. The authority's key was never anywhere but in memory.
    pub(super) fn tear_down(&self) {
        let _ = fs::remove_file(&self.certificate);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// The certificate in PEM of an authority that was made just now, and what it has signed for the hosts.
fn certificates() -> Result<(String, ServerConfig), Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "echobot simulate");
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(HOSTS.map(str::to_string))?;
    // Python 3.13 wants it.
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone(), authority.der().clone()],
            key,
        )?;
    Ok((authority.pem(), tls))
}

fn serve(stream: TcpStream, tls: &Arc<ServerConfig>, handle: &dyn Fn(Request) -> Response) {
    let mut received = Vec::new();
    while let Ok(Some(mut request)) = http::read(&mut &stream, &mut received) {
        let host = host(&request.target).to_string();
        if !HOSTS.contains(&host.as_str()) {
            let words = format!(
                "this proxy answers for {}, and not for {host}",
                HOSTS.join(", ")
            );
            let _ = http::respond(
                &mut &stream,
                &stream,
                Response::new(403, "text/plain", words),
                &request,
            );
            return;
        }
        if request.method == "CONNECT" {
            let is_told = (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let connection = ServerConnection::new(Arc::clone(tls));
            if let (Ok(()), Ok(connection), Ok(socket)) = (is_told, connection, stream.try_clone())
            {
                http::serve(StreamOwned::new(connection, stream), &socket, handle);
            }
            return;
        }
        request.target = without_authority(&request.target);
        let response = handle(request.clone());
        if http::respond(&mut &stream, &stream, response, &request).is_err() {
            return;
        }
    }
}

/// The host of `host:443`, `http://host/path`.
fn host(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split(['/', ':', '?']).next().unwrap_or_default()
}

/// `http://host/path` -> `/path`.
fn without_authority(target: &str) -> String {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..]).to_string()
}
