//! A call of the Send API, on its way from the outbox and back.

use std::sync::Arc;
use std::time::Instant;

use super::EchoId;
use crate::echo::Echo;

/// One call of the Send API that is to be made now.
#[derive(Debug, Clone)]
pub struct Due {
    pub(super) id: EchoId,
    /// Calls are numbered in the order in which they begin, from 1.
    pub(super) number: u64,
    /// The youngest call that had got through when this one began.
    pub(super) last_success: u64,
    /// The echo that it is a part of.
    pub echo: Arc<Echo>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// When the message came.
    pub came: Instant,
}

impl Due {
    /// The text to send: the whole echo, or the next part of a long one.
    pub fn text(&self) -> &str {
        &self.echo.text[self.start..self.end]
    }

    /// Whether the echo is complete with it.
    pub fn is_last_part(&self) -> bool {
        self.echo.text[self.end..].trim().is_empty()
    }
}
