//! The server: how to connect to it, what its refusals mean, and whether it can be used.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, Connection, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates};

use crate::config::SharedOutbox;

/// A connection is there within this time, and so is each reply. A webhook takes two replies as a rule: where its connection
/// has become silent, 2 s pass before a new one is tried, and Messenger waits for 5 s.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Routers forget a connection that is idle for some minutes, and drop what comes over it later.
const KEPT_ALIVE_EVERY: Duration = Duration::from_secs(30);

/// The server, how our keys in it begin, and how many echoes may be owed there.
pub(super) struct Server {
    setting: SharedOutbox,
    pub(super) max_pending: usize,
    client: Client,
    /// Held while something is committed as sent, and while a part of the log is read anew.
    pub(super) exchange: Mutex<()>,
    /// Whether a connection failed since the writer looked last. The URL's name may lead to another server since then, and
    /// the leader follows it: the writer must not append to the old one.
    pub(super) has_failed: AtomicBool,
    /// Whether it could not be used over the writer's connection, and over the leader's, when it was last tried.
    is_away: [AtomicBool; 2],
}

impl Server {
    /// # Errors
    /// When the URL is not understood.
    pub(super) fn new(setting: &SharedOutbox, max_pending: usize) -> Result<Server, String> {
        // So the redis crate wants to hear it.
        let mut url = setting.url.expose().to_string();
        if setting.is_insecure && !url.ends_with("#insecure") {
            url.push_str("#insecure");
        }
        let keepalive = TcpKeepalive::new().with_time(KEPT_ALIVE_EVERY);
        let tcp = TcpSettings::default().set_keepalive(keepalive);
        let address = url.into_connection_info();
        let client = address.and_then(|address| Client::open(address.set_tcp_settings(tcp)));
        Ok(Server {
            client: client.map_err(|_| {
                "REDIS_URL is not understood: set it to an address such as redis://:PASSWORD@host:6379 (special characters \
                 of the password as %XX), or rediss:// with TLS (REDIS_TLS_INSECURE=true goes with that only)"
            })?,
            setting: setting.clone(),
            max_pending,
            exchange: Mutex::default(),
            has_failed: AtomicBool::default(),
            is_away: Default::default(),
        })
    }

    /// With the certificates that are built in, or else with those of its own: the server may have a public one.
    pub(super) fn connect(&self) -> RedisResult<Connection> {
        let mut connected = self.client.get_connection_with_timeout(ANSWERED_WITHIN);
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.setting.authorities.clone(),
        };
        let info = self.client.get_connection_info().clone();
        if connected.is_err()
            && certificates.root_cert.is_some()
            && let Ok(client) = Client::build_with_tls(info, certificates)
        {
            connected = client.get_connection_with_timeout(ANSWERED_WITHIN);
        }
        let connection = connected?;
        connection.set_read_timeout(Some(ANSWERED_WITHIN))?;
        connection.set_write_timeout(Some(ANSWERED_WITHIN))?;
        Ok(connection)
    }

    /// All keys share a hash tag, so that one script may use several of them.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.setting.prefix)
    }

    /// Logs when the shared outbox cannot be used over this connection, and when it can be used again over both.
    pub(super) fn note<T>(&self, connection: usize, result: &Result<T, String>) {
        let was_away = self.is_away[connection].swap(result.is_err(), Ordering::Relaxed);
        let is_other_away = self.is_away[1 - connection].load(Ordering::Relaxed);
        match result {
            Err(error) if !was_away && !is_other_away => log::error!(
                "{error}; webhooks are refused, and Messenger keeps them, until the shared outbox can be used again"
            ),
            Ok(_) if was_away && !is_other_away => log::info!("the shared outbox works again"),
            _ => {}
        }
    }

    /// Why the shared outbox cannot be used, and what to do. Of the URL only host and port are shown.
    pub(super) fn explain(&self, error: &RedisError) -> String {
        let said = format!("{} {error}", error.code().unwrap_or_default());
        let is_said = |(parts, _): &(&str, &str)| parts.split('|').any(|part| said.contains(part));
        let mut refusals = REFUSALS.lines().filter_map(|line| line.split_once(" = "));
        let why = match refusals.find(is_said) {
            _ if error.is_timeout() => "it does not answer in time",
            known => known.map_or("$", |(_, why)| why),
        };
        let why = why.replace('%', &self.setting.prefix);
        let why = why.replace('$', &error.to_string());
        let address = self.client.get_connection_info().addr();
        format!("REDIS_URL: failed to use {address}: {why}")
    }
}

/// Parts of what servers say, with `|` between them, what it means, and what to do. `%` is the prefix, `$` what was said.
const REFUSALS: &str = include_str!("refusals.txt");
