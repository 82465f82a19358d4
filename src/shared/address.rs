//! Where the log is.

use std::time::Duration;

use redis::ConnectionAddr::TcpTls;
use redis::{
    Client, Connection, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    TlsCertificates,
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
    ) -> Result<Address, &'static str> {
        let address = Address {
            url,
            prefix,
            authorities,
        };
        let opened = address.info().and_then(Client::open);
        match opened {
            Ok(_) => Ok(address),
            Err(_) => Err(
                "REDIS_URL is not understood: set it to an address such as redis://:PASSWORD@host:6379, or \
                 rediss:// with TLS (REDIS_TLS_INSECURE=true goes with that only)",
            ),
        }
    }

    /// With the certificates that are built in, or else with those of its own: the server may have a public one.
    pub(super) fn connect(&self, within: Duration) -> RedisResult<Connection> {
        let info = self.info()?;
        let connected = Client::open(info.clone())?.get_connection_with_timeout(within);
        let root_cert = match info.addr() {
            TcpTls {
                insecure: false, ..
            } => self.authorities.clone(),
            _ => None,
        };
        if connected.is_ok() || root_cert.is_none() {
            return connected;
        }
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert,
        };
        Client::build_with_tls(info, certificates)?.get_connection_with_timeout(within)
    }

    fn info(&self) -> RedisResult<ConnectionInfo> {
        self.url.expose().into_connection_info()
    }

    /// Why the shared outbox cannot be used, and what to do. Of the URL only host and port are shown.
    pub(super) fn explain(&self, error: &RedisError) -> String {
        let info = self.info();
        let place = info.map_or(String::new(), |info| info.addr().to_string());
        format!("REDIS_URL: failed to use {place}: {}", what(error))
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
