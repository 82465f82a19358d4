//! echobot
pub mod config;
pub mod door;
pub mod echo;
pub mod event;
pub mod graph;
mod hex;
pub mod logger;
pub mod outbox;
pub mod pool;
mod seen;
pub mod server;
pub mod simulator;
pub mod webhook;
