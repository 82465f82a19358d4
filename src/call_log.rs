//! The log lines about calls of the Send API, and about the page.

use crate::account::TokenPage;
use crate::graph::Report;
use crate::outbox::{Due, Ended, Fate, Notice, Reason};

/// Logs the end of one call. While the page is held, failures are not logged one by one.
pub(crate) fn call<R>(due: &Due, report: &Report, ended: &Ended<R>) {
    let (label, wrong) = (due.echo.label(), &report.wrong);
    if ended.fate == Fate::Done && due.is_last_part() {
        log::info!("echoed: {label}, {} ms", due.came.elapsed().as_millis());
        log::debug!("echoed: {label}, text {:?}", due.echo.text);
    }
    let what = match ended.fate {
        Fate::Done if !wrong.is_empty() => "echoed, but the answer is unexpected",
        Fate::Dropped => "echo dropped",
        Fate::Settled => "echo settled, it may have been shown",
        Fate::Delayed => "echo delayed",
        Fate::Done | Fate::Held => return,
    };
    log::warn!("{what}: {label}: {wrong}");
}

/// Why nothing is sent.
pub(crate) fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Outage => "the Graph API does not answer",
        Reason::Limit => "the page is limited",
        Reason::Operator => "nothing can be sent until you act",
        Reason::Evidence => "several people's messages are refused in a row",
    }
}

/// Logs that the page is held or sends again. `page` adds whose token it is, if that is known.
pub(crate) fn page(notice: Notice, report: &Report, owed: usize, page: &TokenPage) {
    let (reason, pause) = match notice {
        Notice::Resumed => return log::info!("the page sends again: {owed} echoes are owed"),
        Notice::Held(reason, pause) => (reason, pause.as_secs()),
    };
    let held = format!("the page is held back: nothing is sent for {pause} s");
    let what = match reason {
        Reason::Outage => "they will be sent when it answers again".to_string(),
        Reason::Limit => held,
        Reason::Operator => format!(
            "is PAGE_ACCESS_TOKEN still valid, and is the page restricted? Set a valid one and restart: {held}"
        ),
        Reason::Evidence => format!(
            "none of them is dropped. Is PAGE_ACCESS_TOKEN{} of the page that people write to? Has it lost a \
             permission? Is APP_SECRET the app's, and is the app live? echobot check tells",
            page.hint()
        ),
    };
    let (why, wrong) = (why(reason), &report.wrong);
    log::error!("{why}: {wrong}; {owed} echoes are owed: {what}");
}
