//! The page that the token is for, and whether an event is that page's.

use std::sync::Mutex;
use std::time::Duration;

use log::Level;

use super::calls::Owner;
use crate::config::Secret;
use crate::event::{Event, Platform};
use crate::hex;
use crate::lock::lock;
use crate::outbox::MidDigest;
use crate::rate_limited_log::RateLimitedLog;
use crate::shared;

/// What is known of the page.
pub(crate) struct TokenPage {
    /// A digest of the token.
    token: String,
    known: Mutex<Known>,
    other_pages: RateLimitedLog,
}

#[derive(Default)]
struct Known {
    /// As the Graph API said, which may be wrong: a person's token, an answer of something else.
    owner: Option<Owner>,
    /// Whether an event of this very page has come: then it is right.
    has_come: bool,
    /// The page of the last event that was taken.
    last: String,
}

impl TokenPage {
    pub(super) fn unknown(token: &Secret) -> TokenPage {
        TokenPage {
            token: hex::encode(&MidDigest::of(token.expose()).0),
            known: Mutex::default(),
            other_pages: RateLimitedLog::new(module_path!(), Duration::from_secs(60)),
        }
    }

    /// Takes what the Graph API says. Of another page than before no event has come yet.
    pub(super) fn learn(&self, owner: Owner) {
        let mut known = lock(&self.known);
        if known.owner.as_ref().is_none_or(|old| old.id != owner.id) {
            known.has_come = false;
            known.owner = Some(owner);
        }
    }

    /// The owner of a shared outbox: the token's digest, its page, and the page of the last event.
    pub(crate) fn outbox_owner(&self) -> shared::Owner {
        let known = lock(&self.known);
        let told = known.owner.as_ref().map_or("", |owner| &owner.id);
        [self.token.clone(), told.to_string(), known.last.clone()]
    }

    /// Whether an event is to be answered. An app hears all its pages, and the token is for one of them; but as long as
    /// it is not certain for which one, the Graph API decides: what was answered 200 is not thrown away for a guess.
    pub(crate) fn is_ours(&self, event: &Event) -> bool {
        // Instagram's accounts have ids of their own.
        let (Platform::Messenger, Some(page)) = (event.platform, &event.page) else {
            return true;
        };
        let mut known = lock(&self.known);
        match known.owner.as_ref().filter(|owner| owner.id != *page) {
            None => known.has_come |= known.owner.is_some(),
            Some(owner) if known.has_come => {
                let line = format_args!(
                    "passed over: an event of the page {page}; PAGE_ACCESS_TOKEN is for {owner}: unsubscribe \
                     the app from the other page, or run another bot with that page's token"
                );
                self.other_pages.log("passed over", Level::Warn, line);
                return false;
            }
            Some(owner) => {
                let line = format_args!(
                    "an event of the page {page} has come, and none yet of {owner}, the owner of \
                     PAGE_ACCESS_TOKEN: is it the token of another page, or of a person? echobot check tells"
                );
                self.other_pages.log("not certain", Level::Warn, line);
            }
        }
        known.last.clone_from(page);
        true
    }

    /// In a line of the log, after the token; nothing while the page is not known.
    pub(crate) fn hint(&self) -> String {
        let hint = |owner: &Owner| format!(" (it is for {owner})");
        let known = lock(&self.known);
        known.owner.as_ref().map(hint).unwrap_or_default()
    }
}
