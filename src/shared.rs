//! An outbox that several processes share, in Redis or Valkey: one log to which every process appends what it has
//! accepted, and one process that sends.
//!
//! ```text
//! webhook ─► any process: append ─► 200
//!                           │ log
//! the one with the lease: tail ─► outbox ─► Send API
//!                           └──◄ commit: sent, done
//! ```
//!
//! So recipient queues, retries and holds stay those of [`Outbox`](crate::outbox::Outbox). The writer appends and commits in
//! one exchange with the server; a thread of its own asks for the lease and tails the log. The lease is short, and a call
//! begins only if it ends before the lease does. A commit carries the epoch of the lease, and is refused when another
//! process has the lease by now.
//!
//! After an error, a new connection or a refused commit this process begins no call until it has asked for the lease and
//! has read the log anew: the server may be another one by then, or have lost something.
//!
//! Only this folder names the `redis` crate. A program without the feature `redis` has `shared/absent.rs` in its place.

mod leader;
mod record;
mod server;
mod verbs;
mod worth;

pub(crate) use self::leader::Leader;
pub(crate) use self::verbs::Log as SharedLog;
use crate::config::SharedOutbox;

/// What shows whose outbox it is: a digest of the token, the page that the Graph API names for it, and the page of the
/// last event. What is not known is empty.
pub(crate) type Owner = [String; 3];

/// What `echobot check` finds: what a 200 is worth, and how much is owed.
pub(crate) fn check(setting: &SharedOutbox) -> Result<String, String> {
    let mut log = SharedLog::open(setting, 1)?;
    let (durability, eviction) = worth::of(&mut log)?;
    let (owed, is_sending) = log.state()?;
    let sender = if is_sending { "a" } else { "no" };
    let says = format!("{durability}; {owed} echoes are owed, and {sender} process sends");
    eviction.map_or(Ok(says), Err)
}
