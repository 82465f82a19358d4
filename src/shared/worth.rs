//! What a 200 is worth on a server: that is decided by its settings, not by ours.

use std::collections::HashMap;

use log::Level;

use super::verbs::Log;

const SAFE: &str = "a 200 survives the loss of the server";

/// What becomes of what was acknowledged when the server's machine is lost, and why the server may drop what is owed by itself, if it may.
pub(super) fn of(log: &mut Log) -> Result<(&'static str, Option<String>), String> {
    let names = ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"];
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(&names);
    let settings: HashMap<String, String> =
        log.run(|connection| match command.query(connection) {
            Err(error) if !error.is_io_error() => Ok(HashMap::new()),
            told => told,
        })?;
    let get = |name: &str| settings.get(name).map_or("", String::as_str);
    let worth = match (get("appendonly"), get("appendfsync")) {
        ("yes", "always") => SAFE,
        ("yes", "everysec") => {
            "up to a second of what was answered 200 may be lost with the server (appendfsync is everysec; always is safe)"
        }
        ("yes", _) => {
            "some of what was answered 200 may be lost with the server's machine (appendfsync is no; always is safe)"
        }
        ("", _) => {
            "the server does not tell what a 200 is worth, because it forbids CONFIG: ask its provider for the values of \
             appendonly and appendfsync"
        }
        _ => {
            "everything that is owed is lost with the server (appendonly is no; yes, with appendfsync always, is safe)"
        }
    };
    let policy = get("maxmemory-policy");
    let evicts = get("maxmemory") != "0" && !["", "noeviction"].contains(&policy);
    let eviction = evicts.then(|| {
        format!("when its memory is full, the server deletes echoes that are owed (maxmemory-policy is {policy}): set noeviction")
    });
    Ok((worth, eviction))
}

/// Tells what a 200 is worth.
pub(super) fn tell(log: &mut Log) -> Result<(), String> {
    let (durability, eviction) = of(log)?;
    let level = match durability == SAFE {
        true => Level::Info,
        false => Level::Warn,
    };
    log::log!(level, "the shared outbox: {durability}");
    if let Some(eviction) = eviction {
        log::warn!("the shared outbox: {eviction}");
    }
    Ok(())
}
