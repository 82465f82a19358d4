//! The place of the shield's Unix socket: a directory that no other user can enter, so that nobody gets past the shield.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use crate::remedy::remedy;

const PREFIX: &str = "echobot-private-";

/// The name of the socket in the directory.
const SOCKET: &str = "tiny_http";

/// The path of a Unix socket has 107 bytes at most (unix(7)); the names of the directory and the socket are in it.
const LONGEST_PLACE: usize = 107 - PREFIX.len() - 16 - SOCKET.len() - "//".len();

/// It is removed when this is dropped, or, when the process was killed, by the next shield there.
pub(super) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one in the first of these places that can hold it, and listens in it.
    pub(super) fn listen_in(places: &[PathBuf]) -> io::Result<(Self, UnixListener)> {
        let mut failures = Vec::new();
        for place in places {
            remove_abandoned(place);
            let random = RandomState::new().hash_one(0);
            let directory = Self(place.join(format!("{PREFIX}{random:016x}")));
            let made = DirBuilder::new().mode(0o700).create(&directory.0);
            match made.and_then(|()| UnixListener::bind(directory.socket())) {
                Ok(listener) => return Ok((directory, listener)),
                Err(error) => {
                    let remedy = remedy(&error, "use a file system that can hold a Unix socket");
                    failures.push(format!("{}: {error}: {remedy}", place.display()));
                }
            }
        }
        let failures = failures.join(", and in ");
        Err(io::Error::other(format!(
            "failed to create a private directory in {failures}, or set TMPDIR to another directory, with a path of \
             {LONGEST_PLACE} bytes at most"
        )))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what killed processes have left: directories with a socket on which nobody listens. A datagram socket cannot
/// connect to another process's either, but the error is another one, and tiny_http there notices nothing.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let probe = || UnixDatagram::unbound()?.connect(entry.path().join(SOCKET));
        if is_ours && probe().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
