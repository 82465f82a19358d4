//! Ways to the Graph API for a bot that cannot be told where it is: a forward proxy that answers for it with a certificate
//! of an authority of its own and tunnels everything else, and a port that speaks TLS. Both are on loopback.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::bot::Temporary;
use super::http::{self, HttpServer, Request, Response};
use super::options::{Options, listen};
use super::{GraphApi, SimulatorError, failed_to, platform};

/// For whom the proxy answers.
const HOSTS: [&str; 3] = [
    "graph.facebook.com",
    "graph-video.facebook.com",
    "graph.instagram.com",
];

/// Headers of a request that are not passed on: its body has been read, and no other follows it.
const OF_THE_CONNECTION: [&str; 4] = [
    "connection",
    "content-length",
    "expect",
    "transfer-encoding",
];

/// The first port that is tried.
const PORT: u16 = 8091;

/// Where systems keep the certificates that they trust: Debian, Red Hat, SUSE; Alpine and macOS.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Servers that run until this is dropped, and what is removed then.
pub(crate) type Proxy = Option<(Vec<HttpServer>, Temporary)>;

/// Starts what the options ask for, and says what a bot is to have in its environment.
pub(crate) fn start_proxy(options: &Options, api: &GraphApi) -> Result<Proxy, SimulatorError> {
    if !options.has_proxy && options.tls_port.is_none() {
        return Ok(None);
    }
    let temporary = Temporary::new();
    let kept = options.certificates.as_deref();
    let made = certificates(kept.unwrap_or(&temporary.0), kept.is_some());
    let failed = |cause| SimulatorError(format!("failed to make certificates: {cause}"));
    let (file, tls) = made.map_err(failed)?;
    let (file, tls, calls) = (file.display(), Arc::new(tls), Arc::clone(&api.calls));
    let listener = listen(None, options.tls_port, 0, "--tls-port")?;
    let server = HttpServer::start(listener, move |client| {
        if let Ok(connection) = ServerConnection::new(Arc::clone(&tls)) {
            let stream = StreamOwned::new(connection, client);
            http::serve(stream, client, |request, client| {
                calls.answer(request, client)
            });
        }
    });
    let mut servers = vec![server.map_err(failed_to("start the proxy"))?];
    let (plain, secure) = (api.server.address, servers[0].address);
    if options.tls_port.is_some() {
        let port = secure.port();
        platform::say(&format!(
            "the Graph API over TLS: https://localhost:{port}, signed by the authority in {file}"
        ));
    }
    if options.has_proxy {
        let listener = listen(None, options.proxy_port, PORT, "--proxy-port")?;
        let server = HttpServer::start(listener, move |client| {
            http::serve(client, client, |request, client| {
                pass_on(request, client, plain, secure)
            });
        });
        let server = server.map_err(failed_to("start the proxy"))?;
        let address = server.address;
        platform::say(&format!(
            "for your bot's environment (and nothing in it need be changed):\n\
                 HTTPS_PROXY=http://{address}\nHTTP_PROXY=http://{address}\nNO_PROXY=localhost,127.0.0.1\n\
                 NODE_EXTRA_CA_CERTS={file}\nNODE_USE_ENV_PROXY=1\nREQUESTS_CA_BUNDLE={file}\nSSL_CERT_FILE={file}"
        ));
        servers.push(server);
    }
    Ok(Some((servers, temporary)))
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
    let authority = CertifiedIssuer::self_signed(params, key)?;
    if known.is_none() {
        let trusted = SYSTEM.iter().find_map(|file| fs::read_to_string(file).ok());
        fs::write(&file, authority.pem() + &trusted.unwrap_or_default())?;
    }
    if is_kept && known.is_none() {
        let mut private = OpenOptions::new();
        let private = private.write(true).create(true).truncate(true).mode(0o600);
        let key = authority.key().serialize_pem();
        private.open(&key_file)?.write_all(key.as_bytes())?;
    }
    let key = KeyPair::generate()?;
    // The port that speaks TLS is called by others too.
    let names = HOSTS.iter().chain(&["localhost", "127.0.0.1"]);
    let names: Vec<String> = names.map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    // Python 3.13 wants it.
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &authority)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((file, tls))
}

/// Connects a client of the proxy with the server that it asks for, or with the Graph API, `plain` or `secure`, in its
/// place: by a tunnel, or for one request.
fn pass_on(
    request: &Request,
    mut client: &TcpStream,
    plain: SocketAddr,
    secure: SocketAddr,
) -> Option<Response> {
    let (host, port) = request
        .authority
        .rsplit_once(':')
        .unwrap_or((&request.authority, "80"));
    let is_tunnel = request.method == "CONNECT";
    let connected = match HOSTS.contains(&host) {
        true => TcpStream::connect(if is_tunnel { secure } else { plain }),
        false => TcpStream::connect(format!("{host}:{port}")),
    };
    let mut server = match connected {
        Ok(server) => server,
        Err(error) => {
            let words = format!("failed to reach {host}:{port}: {error}");
            return Some(Response::new(502, "text/plain", words));
        }
    };
    if is_tunnel {
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .ok()?;
    } else {
        let (mut request, length) = (request.clone(), request.body.len());
        let lines = request.headers.split_inclusive('\n').filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str())
        });
        request.headers =
            lines.collect::<String>() + &format!("Content-Length: {length}\nConnection: close\n");
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

/// Until one end closes; then the other learns of it.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
