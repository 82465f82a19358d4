//! The server: how to connect to it, what its refusals mean, and whether it can be used.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Client, Connection, RedisError, RedisResult, TlsCertificates};

use crate::config::SharedOutbox;

/// A connection is there within this time, and a reply within the next: together less than Messenger waits.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// The server, how our keys in it begin, and how many echoes may be owed there.
pub(super) struct Server {
    setting: SharedOutbox,
    pub(super) max_pending: usize,
    client: Client,
    /// Held for a commit, and while a part of the log is read anew.
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
        let fragment = if setting.is_insecure { "#insecure" } else { "" };
        let url = format!("{}{fragment}", setting.url.expose());
        Ok(Server {
            client: Client::open(url).map_err(|_| {
                "REDIS_URL is not understood: set it to an address such as redis://:PASSWORD@host:6379, or \
                 rediss:// with TLS (REDIS_TLS_INSECURE=true goes with that only)"
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
        let mut connected = self.client.get_connection_with_timeout(CONNECTED_WITHIN);
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.setting.authorities.clone(),
        };
        let info = self.client.get_connection_info().clone();
        if connected.is_err()
            && certificates.root_cert.is_some()
            && let Ok(client) = Client::build_with_tls(info, certificates)
        {
            connected = client.get_connection_with_timeout(CONNECTED_WITHIN);
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
        let why = match REFUSALS.iter().find(|(part, _)| said.contains(part)) {
            _ if error.is_timeout() => "it does not answer in time",
            known => known.map_or("$", |(_, why)| why),
        };
        let why = why.replace('%', &self.setting.prefix);
        let why = why.replace('$', &error.to_string());
        let address = self.client.get_connection_info().addr();
        format!("REDIS_URL: failed to use {address}: {why}")
    }
}

const PASSWORD: &str = "the password is missing or wrong: put the right one into the URL, as in redis://:PASSWORD@host";
const REPLICA: &str = "it is a replica: name the primary";
const TOO_OLD: &str = "it is too old, or forbids commands: Redis 7 or Valkey is needed";

const RIGHTS: &str =
    "$; give that user +@read +@write +eval +time +config|get and ~{%}:* with ACL SETUSER";

/// Parts of what servers say, what it means, and what to do. `%` is the prefix, `$` what was said.
const REFUSALS: [(&str, &str); 18] = [
    ("NOAUTH", PASSWORD),
    ("WRONGPASS", PASSWORD),
    ("unauthenticated", PASSWORD),
    ("Password authentication failed", PASSWORD),
    ("READONLY", REPLICA),
    ("MASTERDOWN", REPLICA),
    ("readonly replica", REPLICA),
    ("read only replica", REPLICA),
    ("unexpected symbol near '#'", TOO_OLD),
    ("unknown command", TOO_OLD),
    ("Invalid command", TOO_OLD),
    ("NOPERM", RIGHTS),
    ("The user executing the script", RIGHTS),
    (
        "OOM",
        "its memory is full: raise maxmemory, or wait until the echoes that are owed are sent",
    ),
    ("LOADING", "it is still reading its data"),
    ("MISCONF", "it cannot write to its disk"),
    (
        "OTHERPAGE",
        "its outbox % belongs to another page's bot, or to another PAGE_ACCESS_TOKEN whose page is not known yet: give \
         each page's bot a REDIS_PREFIX of its own",
    ),
    (
        "invalid peer certificate",
        "$; name its authority with SSL_CERT_FILE, or, if the server is yours and makes its own \
         as Heroku's do, set REDIS_TLS_INSECURE=true",
    ),
];
