//! The page that the token is for, and whether an event is that page's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::Level;

use super::calls::Owner;
use crate::event::{Event, Platform};
use crate::rate_limited_log::RateLimitedLog;

/// What is known of the page.
pub(crate) struct TokenPage {
    known: Mutex<Option<Known>>,
    other_pages: RateLimitedLog,
}

struct Known {
    /// As the Graph API said, which may be wrong: a person's token, an answer of something else.
    owner: Owner,
    /// Whether an event of this very page has come: then it is right.
    has_come: bool,
}

impl TokenPage {
    pub(super) fn unknown() -> TokenPage {
        TokenPage {
            known: Mutex::new(None),
            other_pages: RateLimitedLog::new(module_path!(), Duration::from_secs(60)),
        }
    }

    /// Takes what the Graph API says. Of another page than before no event has come yet.
    pub(super) fn learn(&self, owner: Owner) {
        let mut known = self.known();
        let is_same = |known: &Known| known.owner.id == owner.id;
        if !known.as_ref().is_some_and(is_same) {
            let has_come = false;
            *known = Some(Known { owner, has_come });
        }
    }

    /// Whether an event is to be answered. An app hears all its pages, and the token is for one of them; but as long as
    /// it is not certain for which one, the Graph API decides: what was answered 200 is not thrown away for a guess.
    pub(crate) fn is_ours(&self, event: &Event) -> bool {
        let mut known = self.known();
        let (Some(Known { owner, has_come }), Some(page)) = (&mut *known, &event.page) else {
            return true;
        };
        // Instagram's accounts have ids of their own.
        if event.platform == Platform::Instagram || *page == owner.id {
            *has_come |= *page == owner.id;
            return true;
        }
        if *has_come {
            let line = format_args!(
                "passed over: an event of the page {page}; PAGE_ACCESS_TOKEN is for {owner}: unsubscribe \
                 the app from the other page, or run another bot with that page's token"
            );
            self.other_pages.log("passed over", Level::Warn, line);
        } else {
            let line = format_args!(
                "an event of the page {page} has come, and none yet of {owner}, the owner of PAGE_ACCESS_TOKEN: \
                 is it the token of another page, or of a person? echobot check tells"
            );
            self.other_pages.log("not certain", Level::Warn, line);
        }
        !*has_come
    }

    /// In a line of the log, after the token; nothing while the page is not known.
    pub(crate) fn hint(&self) -> String {
        let hint = |known: &Known| format!(" (it is for {})", known.owner);
        self.known().as_ref().map(hint).unwrap_or_default()
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
