//! The program as others see it: real processes, real sockets.

#![allow(unreachable_pub, reason = "a test binary is reached by nobody")]

mod answers;
mod events;
mod promises;
mod store;
mod support;
mod trouble;
