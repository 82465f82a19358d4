//! Ways to the Graph API for a bot that cannot be told where it is: a forward proxy that answers for it with a certificate
//! of an authority of its own and tunnels everything else, and a port that speaks TLS. Both are on loopback.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{self, Handler, HttpServer, Request, Response};
use super::options::{Options, listen, listen_near};
use super::{GraphApi, SimulatorError, platform, random};

/// For whom it answers; the last ones are the port's that speaks TLS.
const HOSTS: [&str; 5] = [
    "graph.facebook.com",
    "graph-video.facebook.com",
    "graph.instagram.com",
    "localhost",
    "127.0.0.1",
];

/// The first port that is tried.
const PORT: u16 = 8091;

/// Where systems keep the certificates that they trust: Debian, Red Hat, SUSE, Alpine and macOS.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Servers that run until this is dropped.
pub(crate) struct Proxy {
    _servers: Vec<HttpServer>,
    /// What is removed at the end.
    temporary: Option<PathBuf>,
}

impl Proxy {
    /// Starts what the options ask for, and says what a bot is to have in its environment.
    pub(crate) fn start(
        options: &Options,
        graph_api: &GraphApi,
    ) -> Result<Option<Proxy>, SimulatorError> {
        let ports = options.ports;
        if ports.proxy.is_none() && ports.tls.is_none() {
            return Ok(None);
        }
        let failed = |cause: &dyn std::fmt::Display| {
            SimulatorError(format!("failed to start the proxy: {cause}"))
        };
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mut servers = Vec::new();
        let proxy = ports
            .proxy
            .map(|port| listen_near(ip, port, PORT, "--proxy-port"))
            .transpose()?;
        let direct = ports
            .tls
            .map(|port| listen(ip, port, "--tls-port"))
            .transpose()?;
        let temporary =
            std::env::temp_dir().join(format!("echobot-simulate-{:08x}", random() >> 32));
        let kept = options.certificates.as_deref();
        let (file, tls) = certificates(kept.unwrap_or(&temporary), kept.is_some())
            .map_err(|error| failed(&error))?;
        let tls = Arc::new(tls);
        let file = file.display();
        if let Some(listener) = proxy {
            let (tls, handle) = (Arc::clone(&tls), graph_api.handler());
            let run = move |stream| drop(serve(stream, &tls, &*handle));
            servers.push(HttpServer::accept(listener, run).map_err(|error| failed(&error))?);
            let address = servers[0].address();
            platform::say(&format!(
                "for your bot's environment (and nothing in it need be changed):\n\
                 HTTPS_PROXY=http://{address}\nHTTP_PROXY=http://{address}\nNO_PROXY=localhost,127.0.0.1\n\
                 NODE_EXTRA_CA_CERTS={file}\nNODE_USE_ENV_PROXY=1\nREQUESTS_CA_BUNDLE={file}\nSSL_CERT_FILE={file}"
            ));
        }
        if let Some(listener) = direct {
            let handle = graph_api.handler();
            let run = move |stream| drop(serve_tls(stream, &tls, &*handle));
            servers.push(HttpServer::accept(listener, run).map_err(|error| failed(&error))?);
            let port = servers[servers.len() - 1].address().port();
            platform::say(&format!(
                "the Graph API over TLS: https://localhost:{port}, signed by the authority in {file}"
            ));
        }
        Ok(Some(Proxy {
            _servers: servers,
            temporary: kept.is_none().then_some(temporary),
        }))
    }

    pub(crate) fn tear_down(&self) {
        let _ = self.temporary.as_ref().map(fs::remove_dir_all);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// The file with the certificate of an authority and those that the system trusts, and what the authority has signed for
/// the hosts. Its key stays in memory, unless it is to be the same next time.
fn certificates(
    directory: &Path,
    is_kept: bool,
) -> Result<(PathBuf, ServerConfig), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let (key_file, file) = (
        directory.join("key.pem"),
        directory.join("certificates.pem"),
    );
    let known = fs::read_to_string(&key_file)
        .ok()
        .filter(|_| is_kept && file.exists());
    let key = known
        .as_deref()
        .map_or_else(KeyPair::generate, KeyPair::from_pem)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "messenger-simulator");
    if known.is_none() {
        let trusted = SYSTEM.iter().find_map(|file| fs::read_to_string(file).ok());
        fs::write(
            &file,
            params.self_signed(&key)?.pem() + &trusted.unwrap_or_default(),
        )?;
        if is_kept {
            let mut private = OpenOptions::new();
            let mut file = private
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&key_file)?;
            file.write_all(key.serialize_pem().as_bytes())?;
        }
    }
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
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((file, tls))
}

fn serve_tls(stream: TcpStream, tls: &Arc<ServerConfig>, handle: &Handler) -> io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
    let socket = stream.try_clone()?;
    http::serve(StreamOwned::new(connection, stream), &socket, handle);
    Ok(())
}

/// Serves one connection of a client of the proxy: its first request decides where it leads to.
fn serve(stream: TcpStream, tls: &Arc<ServerConfig>, handle: &Handler) -> io::Result<()> {
    let mut received = Vec::new();
    let Some(mut request) = http::read(&mut &stream, &mut received)? else {
        return Ok(());
    };
    let authority = authority(&request.target).to_string();
    let is_ours = HOSTS[..3].contains(&authority.split(':').next().unwrap_or_default());
    let is_tunnel = request.method == "CONNECT";
    if is_tunnel && is_ours {
        (&stream).write_all(ESTABLISHED)?;
        return serve_tls(stream, tls, handle);
    }
    if is_ours {
        return serve_plain(&stream, request, received, handle);
    }
    let port = if authority.contains(':') { "" } else { ":80" };
    let other = match TcpStream::connect(format!("{authority}{port}")) {
        Ok(other) => other,
        Err(error) => {
            let words = format!("failed to reach {authority}: {error}");
            return (&stream)
                .write_all(&Response::new(502, "text/plain", words).print(false, true));
        }
    };
    if is_tunnel {
        (&stream).write_all(ESTABLISHED)?;
    } else {
        request.target = path(&request.target).to_string();
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
        request
            .headers
            .push(("Connection".to_string(), "close".to_string()));
        (&other).write_all(request.head("\r\n").as_bytes())?;
        (&other).write_all(&request.body)?;
    }
    (&other).write_all(&received)?;
    let (from, to) = (stream.try_clone()?, other.try_clone()?);
    thread::spawn(move || copy(&from, &to));
    copy(&other, &stream);
    Ok(())
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Requests in absolute form.
fn serve_plain(
    stream: &TcpStream,
    mut request: Request,
    mut received: Vec<u8>,
    handle: &Handler,
) -> io::Result<()> {
    loop {
        request.target = path(&request.target).to_string();
        let Some(response) = handle(&request, &|after| http::waits(stream, after)) else {
            return Ok(());
        };
        let mut stream = stream;
        stream.write_all(&response.print(request.method == "HEAD", false))?;
        match http::read(&mut stream, &mut received)? {
            Some(next) => request = next,
            None => return Ok(()),
        }
    }
}

/// Until one end closes; then the other learns of it.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = from.set_read_timeout(None);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// The host and port of `host:443`, `http://host/path`.
fn authority(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// `http://host/path` -> `/path`.
fn path(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}
