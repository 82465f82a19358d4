//! Ways to the Graph API for a bot that cannot be told where it is: a forward proxy that answers for it with a certificate
//! of an authority of its own and tunnels everything else, and a port that speaks TLS. Both are on loopback.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{self, Handler, HttpServer, Response};
use super::options::{Options, listen, listen_near};
use super::{GraphApi, SimulatorError, failed_to, platform, random};

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
    servers: Vec<HttpServer>,
    /// What is removed at the end.
    temporary: Option<PathBuf>,
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
        let mut proxy = Proxy::default();
        if !options.has_proxy && options.tls_port.is_none() {
            return Ok(proxy);
        }
        let name = format!("echobot-simulate-{:08x}", random() >> 32);
        let temporary = proxy.temporary.insert(std::env::temp_dir().join(name));
        let kept = options.certificates.as_deref();
        let made = certificates(kept.unwrap_or(temporary), kept.is_some());
        let failed = |cause| SimulatorError(format!("failed to make certificates: {cause}"));
        let (file, tls) = made.map_err(failed)?;
        let (file, handle, tls) = (file.display(), Arc::clone(&api.handler), Arc::new(tls));
        let (ip, way) = (Ipv4Addr::LOCALHOST.into(), Way { tls, handle });
        if options.has_proxy {
            let listener = listen_near(ip, options.proxy_port, PORT, "--proxy-port")?;
            let address = proxy.serve(listener, &way, Way::serve)?;
            platform::say(&format!(
                "for your bot's environment (and nothing in it need be changed):\n\
                 HTTPS_PROXY=http://{address}\nHTTP_PROXY=http://{address}\nNO_PROXY=localhost,127.0.0.1\n\
                 NODE_EXTRA_CA_CERTS={file}\nNODE_USE_ENV_PROXY=1\nREQUESTS_CA_BUNDLE={file}\nSSL_CERT_FILE={file}"
            ));
        }
        if let Some(port) = options.tls_port {
            let listener = listen(ip, port, "--tls-port")?;
            let port = proxy.serve(listener, &way, Way::serve_tls)?.port();
            platform::say(&format!(
                "the Graph API over TLS: https://localhost:{port}, signed by the authority in {file}"
            ));
        }
        Ok(proxy)
    }

    fn serve(
        &mut self,
        listener: TcpListener,
        way: &Way,
        run: fn(&Way, TcpStream) -> io::Result<()>,
    ) -> Result<SocketAddr, SimulatorError> {
        let way = way.clone();
        let server = HttpServer::accept(listener, move |stream| drop(run(&way, stream)));
        let server = server.map_err(failed_to("start the proxy"))?;
        let address = server.address();
        self.servers.push(server);
        Ok(address)
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
    fn serve_tls(&self, stream: TcpStream) -> io::Result<()> {
        let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let socket = stream.try_clone()?;
        let stream = StreamOwned::new(connection, stream);
        http::serve(stream, &socket, None, &*self.handle);
        Ok(())
    }

    /// Serves one connection of a client of the proxy: its first request decides where it leads to.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(mut request) = http::read(&mut BufReader::new(&stream))? else {
            return Ok(());
        };
        let (authority, target) = request.parts();
        let (mut authority, target) = (authority.to_string(), target.to_string());
        let is_ours = HOSTS.contains(&authority.split(':').next().unwrap_or_default());
        let is_tunnel = request.method == "CONNECT";
        let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
        if is_ours && is_tunnel {
            stream.write_all(established)?;
            return self.serve_tls(stream);
        }
        if is_ours {
            http::serve(&stream, &stream, Some(request), &*self.handle);
            return Ok(());
        }
        if !authority.contains(':') {
            authority += ":80";
        }
        let mut other = match TcpStream::connect(&authority) {
            Ok(other) => other,
            Err(error) => {
                let words = format!("failed to reach {authority}: {error}");
                let response = Response::new(502, "text/plain", words);
                return stream.write_all(&response.print(false, true));
            }
        };
        if is_tunnel {
            stream.write_all(established)?;
        } else {
            request.target = target;
            let is_other = |name: &str| !name.eq_ignore_ascii_case("connection");
            request.headers.retain(|(name, _)| is_other(name));
            request
                .headers
                .push(("Connection".to_string(), "close".to_string()));
            other.write_all(request.head("\r\n").as_bytes())?;
            other.write_all(&request.body)?;
        }
        let (from, to) = (stream.try_clone()?, other.try_clone()?);
        thread::spawn(move || copy(&from, &to));
        copy(&other, &stream);
        Ok(())
    }
}

/// Until one end closes; then the other learns of it.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
