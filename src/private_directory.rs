//! The place of the shield's Unix socket: a directory that no other user can enter, so that nobody
//! gets past the shield.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, DirEntry, File};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "echobot-private-";
/// The path of a Unix socket has 107 bytes at most (unix(7)); the names of the directory and the socket are in it.
pub(crate) const LONGEST_PLACE: usize = 107 - PREFIX.len() - 16 - "//tiny_http".len();

/// A younger directory may be one whose process has yet to lock it.
const YOUNG: Duration = Duration::from_secs(60);

/// It is removed when this is dropped, or, when the process was killed, by the next shield there.
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    /// Locked for as long as the process lives. systemd-tmpfiles, too, leaves alone what is locked.
    handle: File,
}

impl PrivateDirectory {
    /// Makes one in the first of these places that can hold it, and listens in it.
    pub(crate) fn listen_in(places: &[PathBuf]) -> io::Result<(Self, UnixListener)> {
        let mut failures = Vec::new();
        for place in places {
            remove_abandoned(place);
            let made = Self::create_in(place)
                .and_then(|directory| Ok((UnixListener::bind(directory.socket())?, directory)));
            match made {
                Ok((listener, directory)) => return Ok((directory, listener)),
                Err(error) => failures.push(format!("{}: {error}", place.display())),
            }
        }
        let failures = failures.join(", and in ");
        Err(io::Error::other(format!(
            "no private directory can be made in {failures}; set TMPDIR to a directory that can be written, \
             with a path of {LONGEST_PLACE} bytes at most"
        )))
    }

    fn create_in(place: &Path) -> io::Result<Self> {
        let random = RandomState::new().build_hasher().finish();
        let path = place.join(format!("{PREFIX}{random:016x}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let handle = File::open(&path).and_then(|handle| handle.lock().map(|()| handle));
        let handle = handle.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        Ok(Self { path, handle })
    }

    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("tiny_http")
    }

    /// An open file, to be duplicated.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what killed processes have left.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        // The lock ends with the process, however it ends.
        let is_free = || File::open(entry.path()).is_ok_and(|handle| handle.try_lock().is_ok());
        if is_ours && is_old(&entry) && is_free() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_old(entry: &DirEntry) -> bool {
    let changed = entry.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age >= YOUNG))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let place =
            std::env::temp_dir().join(format!("echobot-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&place).expect("the temporary directory can be written");
        place
    }

    fn names_in(place: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(place).expect("it is there");
        entries
            .map(|entry| entry.expect("it can be read").path())
            .collect()
    }

    fn make_old(directory: &PrivateDirectory) {
        let old = SystemTime::now() - 2 * YOUNG;
        directory.handle.set_modified(old).expect("it is ours");
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let place = place("abandoned");
        let places = [place.clone()];
        let (in_use, _) = PrivateDirectory::listen_in(&places).expect("it can be made");
        let (young, _) = PrivateDirectory::listen_in(&places).expect("it can be made");
        let (killed, _) = PrivateDirectory::listen_in(&places).expect("it can be made");
        let foreign = place.join("something else");
        fs::create_dir(&foreign).expect("it can be made");
        make_old(&in_use);
        make_old(&killed);
        killed.handle.unlock().expect("it is locked");
        young.handle.unlock().expect("it is locked");
        remove_abandoned(&place);
        let mut expected = vec![in_use.path.clone(), young.path.clone(), foreign];
        let mut left = names_in(&place);
        expected.sort();
        left.sort();
        assert_eq!(left, expected);
        fs::remove_dir_all(&place).expect("it is ours");
    }

    #[test]
    fn the_first_place_that_can_hold_it_is_taken() {
        let place = place("places");
        let too_long = place.join("x".repeat(200));
        fs::create_dir(&too_long).expect("it can be made");
        let places = [place.join("missing"), too_long.clone(), place.clone()];
        let longest = PathBuf::from(format!("/{}", "x".repeat(LONGEST_PLACE - 1)));
        let is_path = |place: PathBuf| {
            let socket = place.join(format!("{PREFIX}{:016x}/tiny_http", 0));
            std::os::unix::net::SocketAddr::from_pathname(socket).is_ok()
        };
        assert!(is_path(longest.clone()));
        assert!(!is_path(longest.with_file_name("x".repeat(LONGEST_PLACE))));
        let (directory, _) = PrivateDirectory::listen_in(&places).expect("the last one is fine");
        assert_eq!(directory.path.parent(), Some(&*place));
        assert_eq!(names_in(&too_long), Vec::<PathBuf>::new());
        let error = PrivateDirectory::listen_in(&places[..2]).map(drop);
        let error = error.expect_err("neither can hold it").to_string();
        assert!(
            error.contains("missing: ") && error.contains("TMPDIR"),
            "{error}"
        );
        drop(directory);
        fs::remove_dir_all(&place).expect("it is ours");
    }
}
