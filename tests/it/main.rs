//! The program as others see it: real processes, real sockets.

mod answers;
mod support;
