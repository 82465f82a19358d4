//! The program as others see it: real processes, real sockets.

#![allow(unreachable_pub, reason = "a test binary is reached by nobody")]

mod answers;
mod attacks;
mod command_line;
mod events;
mod log;
mod process;
mod promises;
mod secrets;
mod settings;
mod signature;
mod store;
mod support;
mod tidy;
mod trouble;
