//! The port under attack: nothing that arrives on the port kills the bot, stalls it or makes it
//! grow.
//!
//! In reduced size by default; `ECHOBOT_TESTS=full` plays the attacks in full.

#![allow(
    clippy::print_stdout,
    reason = "what was measured is shown with --nocapture"
)]

mod bad_manners;
mod bodies;
mod client;
mod crowds;
mod curl;
mod garbage;
mod load;
mod right_answers;
mod shortage;
mod siege;
mod threads;
