//! In a program without the feature `redis` there is no shared outbox: none of these can be made, which the compiler
//! knows, so that nothing of it is left.

use crate::config::Secret;
use crate::outbox::{WriteBatch, Written};
use crate::pool::Pool;

/// Where the log would be.
#[derive(Debug, Clone)]
pub struct Address(Never);

pub(crate) struct SharedLog(Never);

pub(crate) struct Leader(Never);

#[derive(Debug, Clone, Copy)]
enum Never {}

impl Address {
    /// # Errors
    /// Always.
    pub fn new(_: Secret, _: String, _: Option<Vec<u8>>) -> Result<Address, &'static str> {
        Err(
            "REDIS_URL is set, and this echobot is built without the shared outbox: build it with cargo build --release \
             --locked --features redis, or remove REDIS_URL",
        )
    }
}

impl SharedLog {
    pub(crate) fn new(address: &Address, _: usize) -> SharedLog {
        match address.0 {}
    }

    pub(crate) fn leader(&self) -> Leader {
        match self.0 {}
    }

    pub(crate) fn commit(&mut self, _: &WriteBatch) -> Result<Written, String> {
        match self.0 {}
    }
}

impl Leader {
    pub(crate) fn run<R>(self, _: &Pool<R>) {
        match self.0 {}
    }
}

pub(crate) fn check(address: &Address) -> Result<String, String> {
    match address.0 {}
}
