//! A byte buffer that a socket is read into.

use std::io::{self, Read};

/// Bytes read at once: a whole request or response in nearly every case.
pub(super) const CHUNK: usize = 8 * 1024;

/// Bytes received and not yet used. It grows with what has arrived, never with what was announced.
#[derive(Default)]
pub(super) struct Buffer {
    /// `bytes[..filled]` was received; the rest is room to read into.
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    pub(super) fn received(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Reads once, and holds `at_most` bytes afterwards (or what it held already). 0 is the end of the stream.
    pub(super) fn read_from(&mut self, mut source: impl Read, at_most: usize) -> io::Result<usize> {
        let room = self.filled.max(CHUNK) * 2;
        let wanted = at_most.clamp(CHUNK, room);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        loop {
            match source.read(&mut self.bytes[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.filled += count;
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Forgets the first `count` bytes. A buffer that has grown is given back, so that idle connections stay small.
    pub(super) fn consume(&mut self, count: usize) {
        self.bytes.copy_within(count..self.filled, 0);
        self.filled -= count;
        if self.filled == 0 && self.bytes.len() > CHUNK {
            *self = Buffer::default();
        }
    }
}
