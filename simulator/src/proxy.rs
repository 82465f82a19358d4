//! Ways to the Graph API for a bot that cannot be told where it is: a forward proxy that answers for it with a certificate
//! of an authority of its own and tunnels everything else, and a port that speaks TLS. Both are on loopback.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{self, Handler, HttpServer, Request, Response};
use super::options::{Options, listen};
use super::own_bot::Temporary;
use super::{GraphApi, SimulatorError, failed_to, platform};

/// For whom the proxy answers.
const HOSTS: [&str; 3] = [
    "graph.facebook.com",
    "graph-video.facebook.com",
    "graph.instagram.com",
];

/// By which names the port that speaks TLS is called besides.
const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// The first port that is tried.
const PORT: u16 = 8091;

/// Where systems keep the certificates that they trust: Debian, Red Hat, SUSE; Alpine and macOS.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Servers that run until this is dropped.
#[derive(Default)]
pub(crate) struct Proxy {
    _servers: Vec<HttpServer>,
    _directory: Option<Temporary>,
}

/// What answers: the Graph API, over TLS or not.
#[derive(Clone)]
struct Way {
    tls: Arc<ServerConfig>,
    handle: Arc<Handler>,
}

impl Proxy {
    /// Starts what the options ask for, and says what a bot is to have in its environment.
    pub(crate) fn start(options: &Options, api: &GraphApi) -> Result<Proxy, SimulatorError> {
        if !options.has_proxy && options.tls_port.is_none() {
            return Ok(Proxy::default());
        }
        let temporary = Temporary::new();
        let kept = options.certificates.as_deref();
        let made = certificates(kept.unwrap_or(&temporary.0), kept.is_some());
        let failed = |cause| SimulatorError(format!("failed to make certificates: {cause}"));
        let (file, tls) = made.map_err(failed)?;
        let (file, handle, tls) = (file.display(), Arc::clone(&api.handler), Arc::new(tls));
        let (way, mut servers) = (Way { tls, handle }, Vec::new());
        if options.has_proxy {
            let listener = listen(None, options.proxy_port, PORT, "--proxy-port")?;
            let way = way.clone();
            let answer = move |request: &Request, client: &TcpStream| way.answer(request, client);
            let server =
                HttpServer::start(listener, move |client| http::serve(client, client, &answer));
            let server = server.map_err(failed_to("start the proxy"))?;
            let address = server.address;
            platform::say(&format!(
                "for your bot's environment (and nothing in it need be changed):\n\
                 HTTPS_PROXY=http://{address}\nHTTP_PROXY=http://{address}\nNO_PROXY=localhost,127.0.0.1\n\
                 NODE_EXTRA_CA_CERTS={file}\nNODE_USE_ENV_PROXY=1\nREQUESTS_CA_BUNDLE={file}\nSSL_CERT_FILE={file}"
            ));
            servers.push(server);
        }
        if options.tls_port.is_some() {
            let listener = listen(None, options.tls_port, 0, "--tls-port")?;
            let server = HttpServer::start(listener, move |client| way.serve_tls(client));
            let server = server.map_err(failed_to("start the proxy"))?;
            let port = server.address.port();
            platform::say(&format!(
                "the Graph API over TLS: https://localhost:{port}, signed by the authority in {file}"
            ));
            servers.push(server);
        }
        Ok(Proxy {
            _servers: servers,
            _directory: Some(temporary),
        })
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
    let known = fs::read_to_string(&key_file).ok().filter(|_| file.exists());
    let key = known
        .as_deref()
        .map_or_else(KeyPair::generate, KeyPair::from_pem)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "messenger-simulator");
    if known.is_none() {
        let trusted = SYSTEM.iter().find_map(|file| fs::read_to_string(file).ok());
        let own = params.self_signed(&key)?.pem();
        fs::write(&file, own + &trusted.unwrap_or_default())?;
    }
    if is_kept && known.is_none() {
        let mut private = OpenOptions::new();
        let private = private.write(true).create(true).truncate(true).mode(0o600);
        private
            .open(&key_file)?
            .write_all(key.serialize_pem().as_bytes())?;
    }
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let names = HOSTS.iter().chain(&LOCAL).map(ToString::to_string);
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
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

impl Way {
    fn serve_tls(&self, client: &TcpStream) {
        if let Ok(connection) = ServerConnection::new(Arc::clone(&self.tls)) {
            let stream = StreamOwned::new(connection, client);
            http::serve(stream, client, &*self.handle);
        }
    }

    /// Answers a client of the proxy, or connects it with the server that it asks for; none: the connection is at its end.
    fn answer(&self, request: &Request, mut client: &TcpStream) -> Option<Response> {
        let (host, port) = request
            .authority
            .rsplit_once(':')
            .unwrap_or((&request.authority, "80"));
        let (is_ours, is_tunnel) = (HOSTS.contains(&host), request.method == "CONNECT");
        if is_ours && !is_tunnel {
            return (self.handle)(request, client);
        }
        let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
        if is_ours {
            client.write_all(established).ok()?;
            self.serve_tls(client);
            return None;
        }
        let mut server = match TcpStream::connect(format!("{host}:{port}")) {
            Ok(server) => server,
            Err(error) => {
                let words = format!("failed to reach {host}:{port}: {error}");
                return Some(Response::new(502, "text/plain", words));
            }
        };
        if is_tunnel {
            client.write_all(established).ok()?;
        } else {
            let mut request = request.clone();
            let lines = request.headers.split_inclusive('\n');
            let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            request.headers = lines.chain(["Connection: close\n"]).collect();
            let head = request.head().replace('\n', "\r\n");
            server.write_all(head.as_bytes()).ok()?;
            server.write_all(&request.body).ok()?;
        }
        // A tunnel may be silent for long.
        client.set_read_timeout(None).ok()?;
        thread::scope(|scope| {
            scope.spawn(|| copy(client, &server));
            copy(&server, client);
        });
        None
    }
}

/// Until one end closes; then the other learns of it.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
