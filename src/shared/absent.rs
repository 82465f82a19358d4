//! In a program without the feature `redis` there is no shared outbox: none of these can be made, which the compiler
//! knows, so that nothing of it is left.

use std::convert::Infallible;

use crate::config::SharedOutbox;
use crate::outbox::{WriteBatch, Written};
use crate::pool::Pool;

const ABSENT: &str = "REDIS_URL is set, and this echobot is built without the shared outbox: build it with cargo build \
                      --release --locked --features redis, or remove REDIS_URL";

pub(crate) type Owner = [String; 3];

pub(crate) struct SharedLog(Infallible);

pub(crate) type Leader = SharedLog;

impl SharedLog {
    pub(crate) fn open(_: &SharedOutbox, _: usize) -> Result<SharedLog, String> {
        Err(ABSENT.to_string())
    }

    pub(crate) fn leader(&self) -> Leader {
        match self.0 {}
    }

    pub(crate) fn commit(&mut self, _: &WriteBatch, _: &Owner) -> Result<Written, String> {
        match self.0 {}
    }

    pub(crate) fn run<R>(self, _: &Pool<R>, _: impl Fn() -> Owner) {
        match self.0 {}
    }
}

pub(crate) fn check(_: &SharedOutbox) -> Result<String, String> {
    Err(ABSENT.to_string())
}
