//! The program as others see it: real processes, real sockets.

#![allow(unreachable_pub, reason = "a test binary is reached by nobody")]

mod account;
mod another_bot;
mod answers;
mod attacks;
mod browser;
mod check;
mod command_line;
mod connections;
mod delivery;
mod deploy;
mod documents;
mod environment;
mod events;
mod faults;
mod full_disk;
mod graph_api;
mod log;
mod network;
mod operator;
mod page;
mod patience;
mod process;
mod promises;
mod secrets;
mod settings;
mod setup;
#[cfg(feature = "redis")]
mod shared;
mod signature;
mod simulate;
mod store;
mod support;
mod tidy;
mod token_page;
mod trouble;
mod unread_log;
