//! A Messenger Platform on this machine: to try bots without a Meta account, and to test them. README.md is for its users.
//!
//! ```text
//! page, say ─► platform ─► events ─► delivery ─► messenger ─► the bot's webhook
//!                 │
//!             event_log ◄─ graph_api ◄─ parameters ◄─ http (or proxy) ◄─ the bot
//! ```
//!
//! [`Messenger`] sends webhooks as Meta does; [`GraphApi`] reads the calls, refuses what `send_api` finds wrong, and
//! answers everything else from what `page_api` knows. It knows no bot: [`OwnBots`] are programs that it starts, and what
//! reply they owe is a function that comes with them.

mod bot;
mod bubble;
mod delivery;
mod event_log;
mod events;
mod graph_api;
mod http;
mod messenger;
mod options;
mod page;
mod page_api;
mod parameters;
mod platform;
mod proxy;
mod reply;
mod say;
mod send_api;
mod trouble;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::hmac;

pub use self::bot::{Bot, OwnBots, end_with_simulator};
pub use self::events::names as event_names;
pub use self::graph_api::{Call, GraphApi, Kind};
pub use self::messenger::{Messenger, Received, event, text_message, webhook};
pub use self::options::Options;
pub use self::reply::Reply;
pub use self::trouble::Trouble;

/// The made-up page access token.
pub const PAGE_ACCESS_TOKEN: &str = "EAASimulatedPageAccessToken0123456789";
/// The made-up verify token.
pub const VERIFY_TOKEN: &str = "simulated-verify-token";
/// The made-up app secret.
pub const APP_SECRET: &str = "51mu1a7edapp5ecre70123456789abcdef";
/// The app's id.
pub const APP_ID: &str = "555000555000";
/// The id of the page.
pub const PAGE: &str = "100200300400500";
/// The page-scoped id of the person who chats.
pub const PERSON: &str = PEOPLE[0].0;
/// People who chat: id, first name, last name. Others are any ids that a test makes up.
pub const PEOPLE: [(&str, &str, &str); 4] = [
    ("7100200300400500", "Ada", "Byron"),
    ("7100200300400501", "李娜", "王"),
    ("7100200300400502", "ليلى", "حداد"),
    ("7100200300400503", "Bjørn", "Dahl"),
];

/// What went wrong, in words.
#[derive(Debug)]
pub struct SimulatorError(String);

impl fmt::Display for SimulatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SimulatorError {}

/// For `map_err`: the system refused to do this.
fn failed_to(what: &str) -> impl FnOnce(io::Error) -> SimulatorError {
    move |cause| SimulatorError(format!("failed to {what}: {cause}"))
}

/// HMAC-SHA256 in hex: what Meta's signatures and `appsecret_proof` are.
pub fn hmac_hex(key: &str, bytes: &[u8]) -> String {
    hmac_of(hmac::HMAC_SHA256, key, bytes)
}

fn hmac_of(algorithm: hmac::Algorithm, key: &str, bytes: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), bytes);
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// A random number: the standard library seeds its hashers at random.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Ignores lock poisoning: a thread that panicked leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{hmac, hmac_hex, hmac_of};

    #[test]
    fn signatures_are_those_that_others_compute() {
        assert_eq!(
            hmac_hex("sesame", b"hello world"),
            "f39034b29165ec6a5104d9aef27266484ab26c8caa7bca8bcb2dd02e8be61b17"
        );
        assert_eq!(
            hmac_of(
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                "sesame",
                b"hello world"
            ),
            "308de7627fe19e92294c4572a7f831bc1002809d"
        );
    }
}
