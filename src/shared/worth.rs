//! What a 200 is worth on a server: that is decided by its settings, not by ours.

use super::verbs::Log;

/// What was found, in words.
pub(crate) struct Worth {
    /// What becomes of what was acknowledged when the server's machine is lost.
    pub(crate) durability: &'static str,
    /// Whether that is as good as a disk of one's own.
    is_durable: bool,
    /// Why the server may drop what is owed by itself.
    pub(crate) eviction: Option<String>,
}

pub(super) fn of(log: &mut Log) -> Result<Worth, String> {
    let names = ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"];
    let settings = log.settings(&names)?;
    let get = |name: &str| settings.get(name).map_or("", String::as_str);
    let (durability, is_durable) = match (get("appendonly"), get("appendfsync")) {
        ("", _) => (
            "the server does not tell what a 200 is worth (CONFIG is forbidden): its provider does, look for appendonly \
             and appendfsync",
            false,
        ),
        ("yes", "always") => ("a 200 survives the loss of the server", true),
        ("yes", "everysec") => (
            "up to a second of what was answered 200 may be lost with the server (appendfsync is everysec; always is safe)",
            false,
        ),
        ("yes", _) => (
            "some of what was answered 200 may be lost with the server's machine (appendfsync is no; always is safe)",
            false,
        ),
        _ => (
            "everything that is owed is lost with the server (appendonly is no; yes, with appendfsync always, is safe)",
            false,
        ),
    };
    let policy = get("maxmemory-policy");
    let evicts = get("maxmemory") != "0" && !["", "noeviction"].contains(&policy);
    Ok(Worth {
        durability,
        is_durable,
        eviction: evicts.then(|| {
            format!("when its memory is full the server drops what is owed (maxmemory-policy is {policy}): set noeviction")
        }),
    })
}

impl Worth {
    pub(super) fn log(&self) {
        match self.is_durable {
            true => log::info!("the shared outbox: {}", self.durability),
            false => log::warn!("the shared outbox: {}", self.durability),
        }
        if let Some(eviction) = &self.eviction {
            log::warn!("the shared outbox: {eviction}");
        }
    }
}
