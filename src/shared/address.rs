//! Where the log is.

use std::fmt;

#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
use redis::ConnectionAddr::Tcp;
use redis::ConnectionAddr::TcpTls;
use redis::{
    Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates,
};

use crate::config::Secret;

/// Where the log is: a server, and how its keys begin.
#[derive(Debug, Clone)]
pub struct Address {
    url: Secret,
    pub(super) prefix: String,
    /// Certificates in PEM that are trusted beside those that are built in.
    authorities: Option<Vec<u8>>,
}

impl Address {
    /// The log in the server at this URL, under keys that begin so.
    ///
    /// # Errors
    /// When the URL is not understood.
    pub fn new(
        url: Secret,
        prefix: String,
        authorities: Option<Vec<u8>>,
    ) -> Result<Address, SharedError> {
        let address = Address {
            url,
            prefix,
            authorities,
        };
        let opened = address.info().and_then(Client::open);
        opened.map_err(|error| SharedError::new(&address, &error))?;
        Ok(address)
    }

    /// Several to be tried: whoever trusts certificates of its own may have a server with a public one.
    pub(super) fn clients(&self) -> RedisResult<Vec<Client>> {
        let mut clients = Vec::new();
        for info in look_up(self.info()?)? {
            clients.push(Client::open(info.clone())?);
            let is_verified = matches!(
                info.addr(),
                TcpTls {
                    insecure: false,
                    ..
                }
            );
            if is_verified && self.authorities.is_some() {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: self.authorities.clone(),
                };
                clients.push(Client::build_with_tls(info, certificates)?);
            }
        }
        Ok(clients)
    }

    fn info(&self) -> RedisResult<ConnectionInfo> {
        self.url.expose().into_connection_info()
    }

    /// Host and port; nothing else of the URL is to be shown.
    fn shown(&self) -> String {
        let info = self.info();
        info.map_or(String::new(), |info| info.addr().to_string())
    }
}

/// The redis crate looks up the name.
#[cfg(not(all(target_feature = "crt-static", target_env = "gnu")))]
fn look_up(info: ConnectionInfo) -> RedisResult<[ConnectionInfo; 1]> {
    Ok([info])
}

/// Each address of the host: a static glibc must not look up names, and the redis crate would let it.
#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
fn look_up(info: ConnectionInfo) -> RedisResult<Vec<ConnectionInfo>> {
    let (host, port) = match info.addr() {
        Tcp(host, port) | TcpTls { host, port, .. } => (host.clone(), *port),
        _ => return Ok(vec![info]),
    };
    let addresses = crate::names::look_up(&host, port)?.into_iter();
    let with_ip = |ip: String| match info.addr().clone() {
        // The certificate is for the name.
        TcpTls {
            insecure: false, ..
        } if ip != host => {
            let why = "this static file cannot verify the certificate of a name: use echobot for musl or one that is not \
                       static, or set REDIS_TLS_INSECURE=true";
            Err(std::io::Error::other(why).into())
        }
        TcpTls {
            insecure,
            tls_params,
            ..
        } => {
            let tls = TcpTls {
                host: ip,
                port,
                insecure,
                tls_params,
            };
            Ok(info.clone().set_addr(tls))
        }
        _ => Ok(info.clone().set_addr(Tcp(ip, port))),
    };
    addresses
        .map(|address| with_ip(address.ip().to_string()))
        .collect()
}

/// The shared outbox cannot be used; says what to do. It holds no part of the URL but host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedError(String);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SharedError {}

impl From<SharedError> for String {
    fn from(error: SharedError) -> String {
        error.0
    }
}

impl SharedError {
    pub(super) fn new(address: &Address, error: &RedisError) -> SharedError {
        let (place, what) = (address.shown(), what(error));
        SharedError(format!("REDIS_URL: failed to use {place}: {what}"))
    }
}

/// What a server's refusal means, and what to do.
fn what(error: &RedisError) -> String {
    let detail = error.detail().unwrap_or_default();
    let replica = "it is a replica: name the primary";
    let known = match error.code().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" => {
            "it asks for another password: write it into the URL, as in redis://:PASSWORD@host"
        }
        "NOPERM" => return format!("this user may not do that: {detail}"),
        "READONLY" | "MASTERDOWN" => replica,
        "OOM" => "its memory is full: raise maxmemory, or let what is owed be sent",
        "LOADING" => "it is still reading its data",
        "MISCONF" => "it cannot write to its disk",
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            "it refuses the password of the URL"
        }
        _ if detail.contains("readonly replica") || detail.contains("read only replica") => replica,
        _ if detail.contains("unexpected symbol near '#'")
            || detail.contains("unknown command") =>
        {
            "it is too old, or forbids commands: Redis 7 or Valkey is needed"
        }
        _ if error.to_string().contains("invalid peer certificate") => {
            return format!(
                "{error}; name its authority with SSL_CERT_FILE, or, if the server is yours and makes its own \
                 certificate as Heroku's do, set REDIS_TLS_INSECURE=true"
            );
        }
        _ => return error.to_string(),
    };
    known.to_string()
}
