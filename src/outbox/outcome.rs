//! What one call came to.

use std::time::Duration;

/// What one call of the Send API came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered: never sent again.
    Delivered,
    /// The request did not leave: it may be made again at any time.
    Unsent,
    /// Nobody knows whether the message was delivered: every further try may show it once more.
    PerhapsSent,
    /// The message or its recipient is refused, for sure and for good.
    OwnFault,
    /// No such person; a token of another page hears this of everybody.
    NoSuchPerson,
    /// The whole page is limited, for this time if Meta says how long.
    PageLimited(Option<Duration>),
    /// The whole page is refused until the operator acts.
    PageRefused,
    /// Refused, and it is to be found out for whom. Some such refusals end by themselves, after
    /// minutes (`is_passing`).
    Refused {
        /// Whether it may be over in a few minutes.
        is_passing: bool,
    },
}
