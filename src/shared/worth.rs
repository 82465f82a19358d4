//! What a 200 is worth on a server: that is decided by its settings, not by ours.

use std::collections::HashMap;

use log::Level;

use super::verbs::Log;

/// How `appendonly`, `appendfsync` and `no-appendfsync-on-rewrite` begin, and what a 200 is worth then.
const WORTH: &str = include_str!("worth.txt");

/// The best that it can be worth.
const SAFE: &str = "a 200 survives the loss of the server";

/// What becomes of what was acknowledged when the server's machine is lost, and why the server may drop what is owed by
/// itself, if it may.
pub(super) fn of(log: &mut Log) -> Result<(&'static str, Option<String>), String> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("*append*").arg("maxmemory*");
    let settings: HashMap<String, String> =
        log.run(|connection| match command.query(connection) {
            Err(error) if !error.is_io_error() => Ok(HashMap::new()),
            told => told,
        })?;
    let get = |name: &str| settings.get(name).map_or("", String::as_str);
    let set = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite"].map(get);
    let set = set.join(" ");
    let mut worth = WORTH.lines().filter_map(|line| line.split_once(" = "));
    let worth = worth.find(|(begins, _)| set.starts_with(begins));
    let (_, worth) = worth.expect("the last one is for all others");
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
    let level = [Level::Warn, Level::Info][usize::from(durability == SAFE)];
    log::log!(level, "the shared outbox: {durability}");
    eviction.inspect(|eviction| log::warn!("the shared outbox: {eviction}"));
    Ok(())
}
