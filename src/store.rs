//! The outbox on disk: what is pending, and the mids seen. The only room that names redb.

mod tables;

use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use crate::outbox::{StoredEcho, WriteBatch, Written};
use crate::remedy::remedy;

/// The name of the file in the data directory.
const FILE: &str = "outbox.redb";

/// The extension of the one beside it that is locked: redb locks its own too, but goes on without a word where the file
/// system has no locks.
const LOCK: &str = "lock";

/// Bytes of the file that redb keeps in memory. What is pending is in the outbox anyway.
const CACHE: usize = 512 * 1024;

/// The outbox on disk.
pub struct Store {
    path: PathBuf,
    /// None after a failed write: redb wants the file to be opened anew then.
    database: Option<Database>,
    /// Device and inode of the file that was opened at the start.
    file: (u64, u64),
    /// Locked until it is closed.
    _lock: File,
}

/// The store cannot be used; says what to do.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open: that may be over soon.
    Busy(String),
    /// The file is not there any more: nothing can be kept in it, now or later.
    Gone(String),
    /// Anything else.
    Unusable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (StoreError::Busy(line) | StoreError::Gone(line) | StoreError::Unusable(line)) = self;
        f.write_str(line)
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    fn busy(path: &Path) -> StoreError {
        let path = path.display();
        StoreError::Busy(format!(
            "DATA_DIR: {path} is in use by another echobot: stop that one, or choose another directory"
        ))
    }

    pub(crate) fn system(path: &Path, error: &io::Error) -> StoreError {
        let remedy = remedy(error, "choose another directory");
        let path = path.display();
        StoreError::Unusable(format!("DATA_DIR: failed to use {path}: {error}; {remedy}"))
    }

    fn damaged(path: &Path, what: &redb::Error) -> StoreError {
        let path = path.display();
        StoreError::Unusable(format!(
            "DATA_DIR: {path} is damaged ({what}), and was not changed: restore it from a backup, or move it away, which \
             loses the echoes that are owed in it"
        ))
    }
}

impl Store {
    /// Whether there is one in this directory, or perhaps: opening it tells.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).try_exists().unwrap_or(true)
    }

    /// Opens the store in a directory, which is made if it is missing, and reads what is owed,
    /// in order.
    ///
    /// # Errors
    /// When the directory cannot be written or locked, another process has the file open, or the file is
    /// damaged; the file is not changed then.
    pub fn open(directory: &Path) -> Result<(Store, Vec<StoredEcho>), StoreError> {
        let path = directory.join(FILE);
        let unusable = |error: io::Error| StoreError::system(&path, &error);
        // For this user alone: people's texts are in it.
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.map_err(unusable)?;
        let lock = lock(&path.with_extension(LOCK))?;
        make(&path)?;
        let database = open_file(&path)?;
        let found = keep_private(&path).and_then(|()| identity(&path));
        let file = found.map_err(unusable)?;
        let pending = guarded(|| tables::read_pending(&database));
        let pending = pending.map_err(|what| StoreError::damaged(&path, &what))?;
        let store = Store {
            path,
            database: Some(database),
            file,
            _lock: lock,
        };
        Ok((store, pending))
    }

    /// Writes this batch; it is on disk when this returns. Accepted echoes whose messages are known already are not written.
    ///
    /// # Errors
    /// When it failed; parts of it may have been written. The same batch may be written again: the
    /// next call opens the file anew, so that it works when there is room again.
    pub fn commit(&mut self, batch: &WriteBatch) -> Result<Written, StoreError> {
        let path = self.path.display();
        match identity(&self.path).map_err(|error| (error.kind(), error)) {
            Ok(file) if file == self.file => {}
            Ok(_) | Err((ErrorKind::NotFound | ErrorKind::NotADirectory, _)) => {
                return Err(StoreError::Gone(format!(
                    "DATA_DIR: {path} was removed or replaced while echobot was using it"
                )));
            }
            // It may pass, as on a disk that is reached over a network.
            Err((_, error)) => return Err(StoreError::system(&self.path, &error)),
        }
        let open = self.database.take();
        let database = open.map_or_else(|| open_file(&self.path), Ok)?;
        let failed = |what| match what {
            redb::Error::Corrupted(_) => StoreError::damaged(&self.path, &what),
            what => StoreError::Unusable(format!("failed to write {path}: {what}")),
        };
        let known = guarded(|| tables::write(&database, batch)).map_err(failed)?;
        self.database = Some(database);
        Ok(Written {
            known,
            ..Written::default()
        })
    }
}

/// It is opened for writing because NFS locks no other.
fn lock(path: &Path) -> Result<File, StoreError> {
    let file = File::options().append(true).create(true).open(path);
    let file = file.map_err(|error| StoreError::system(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::busy(path)),
        Err(TryLockError::Error(error)) => Err(StoreError::Unusable(format!(
            "DATA_DIR: failed to lock {}: {error}; this file system has no locks, and a second echobot would damage the \
             outbox: choose a directory on a local disk, or mount this one with locks",
            path.display()
        ))),
    }
}

/// Makes the file if there is none: under another name, because one that was half made when
/// the bot was killed would be a damaged one at the next start.
fn make(path: &Path) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let empty = redb::Error::Corrupted("it is empty".to_string());
    match fs::metadata(path) {
        Ok(file) if file.len() > 0 => return Ok(()),
        // None of ours is: a copy has failed, and redb would take it for a new one.
        Ok(_) => return Err(StoreError::damaged(path, &empty)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // A new one could take the place of what is owed.
        Err(error) => return Err(StoreError::system(path, &error)),
    }
    let made = open_file(&new).map(drop).and_then(|()| {
        // Before it has its name: nobody else ever reads what is in it.
        let named = make_private(&new).and_then(|()| fs::rename(&new, path));
        named.map_err(|error| StoreError::system(path, &error))
    });
    let _ = fs::remove_file(&new);
    // The file's name must outlive a power cut as what is in it does.
    let _ = path
        .parent()
        .map(|directory| File::open(directory)?.sync_all());
    made
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    let mut builder = Builder::new();
    // After an unclean end redb reads and checks all of it by itself. After a clean one it does not: that would take
    // minutes where many mids are remembered.
    builder.set_cache_size(CACHE);
    let opened = guarded(|| Ok(builder.create(path)?));
    opened.map_err(|error| match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::busy(path),
        redb::Error::Io(error) if error.raw_os_error().is_some() => {
            StoreError::system(path, &error)
        }
        error => StoreError::damaged(path, &error),
    })
}

/// Only this user may read the file, whatever its mode was.
fn keep_private(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode != 0o600 {
        make_private(path)?;
        let path = path.display();
        log::info!("the mode of {path} was {mode:o}, and is 600 now: only this user can read it");
    }
    Ok(())
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// redb panics on some damaged files.
fn guarded<T>(task: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    let invalid = || redb::Error::Corrupted("its contents are invalid".to_string());
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|_| Err(invalid()))
}
