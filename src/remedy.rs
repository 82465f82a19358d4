//! What to do about a directory that cannot be used.

use std::io::{self, ErrorKind};

/// What to do about this error, if it is one of the usual ones.
pub(crate) fn remedy(error: &io::Error, otherwise: &'static str) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "create it",
        ErrorKind::PermissionDenied => "let echobot write there, as the owner of the files",
        ErrorKind::AlreadyExists => "name a directory, not a file or a link to nowhere",
        ErrorKind::ReadOnlyFilesystem => "mount it writable",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space there, or inodes"
        }
        // What the standard library says of a path that is too long for a socket.
        ErrorKind::InvalidInput => "use a shorter path",
        _ => otherwise,
    }
}
