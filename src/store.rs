//! The outbox on disk: what is pending, and the mids seen. The only room that names redb.

mod tables;

use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageError};

use crate::outbox::{EchoId, StoredEcho, WriteBatch};

/// The name of the one file in the data directory.
const FILE: &str = "outbox.redb";

/// Bytes of the file that redb keeps in memory. What is pending is in the outbox anyway.
const CACHE: usize = 512 * 1024;

/// The outbox on disk.
pub struct Store {
    path: PathBuf,
    /// None after a failed write: redb wants the file to be opened anew then.
    database: Option<Database>,
    /// Device and inode of the file that was opened at the start.
    file: (u64, u64),
}

/// The store cannot be used; says what to do.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Directory(io::Error),
    Locked,
    Gone,
    Damaged(String),
    Write(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Directory(error) => write!(
                f,
                "DATA_DIR: failed to use {path}: {error}; name a directory that echobot may write to"
            ),
            Cause::Locked => write!(
                f,
                "DATA_DIR: {path} is in use by another echobot: stop that one, or name another directory"
            ),
            Cause::Gone => write!(
                f,
                "DATA_DIR: {path} was removed or replaced while echobot was using it"
            ),
            Cause::Damaged(what) => write!(
                f,
                "DATA_DIR: {path} is damaged ({what}); nothing was changed. Restore it, or move it away: \
                 what it owed is then lost"
            ),
            Cause::Write(what) => write!(f, "failed to write {path}: {what}; is the disk full?"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Whether another process has the file open: that may be over soon.
    pub fn is_busy(&self) -> bool {
        matches!(self.cause, Cause::Locked)
    }

    /// Whether the file is not there any more: nothing can be kept in it, now or later.
    pub fn is_gone(&self) -> bool {
        matches!(self.cause, Cause::Gone)
    }
}

impl Store {
    /// Whether there is one in this directory.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Opens the store in a directory, which is made if it is missing, and reads what is owed,
    /// in order.
    ///
    /// # Errors
    /// When the directory cannot be written, another process has the file open, or the file is
    /// damaged; the file is not changed then.
    pub fn open(directory: &Path) -> Result<(Store, Vec<StoredEcho>), StoreError> {
        let mut store = Store {
            path: directory.join(FILE),
            database: None,
            file: Default::default(),
        };
        prepare(directory).map_err(|error| store.error(Cause::Directory(error)))?;
        store.make()?;
        let database = store.open_file(&store.path)?;
        let found = keep_private(&store.path).and_then(|()| identity(&store.path));
        store.file = found.map_err(|error| store.error(Cause::Directory(error)))?;
        let pending = guarded(|| tables::read_pending(&database));
        let pending = pending.map_err(|what| store.error(Cause::Damaged(what)))?;
        store.database = Some(database);
        Ok((store, pending))
    }

    /// Writes this batch; it is on disk when this returns. Returns those of the accepted echoes, in
    /// order, whose messages are known already: they were not written.
    ///
    /// # Errors
    /// When it failed; parts of it may have been written. The same batch may be written again: the
    /// next call opens the file anew, so that it works when there is room again.
    pub fn commit(&mut self, batch: &WriteBatch) -> Result<Vec<EchoId>, StoreError> {
        if !identity(&self.path).is_ok_and(|found| found == self.file) {
            return Err(self.error(Cause::Gone));
        }
        let database = match self.database.take() {
            Some(database) => database,
            None => self.open_file(&self.path)?,
        };
        let written = guarded(|| tables::write(&database, batch));
        let known = written.map_err(|what| self.error(Cause::Write(what)))?;
        self.database = Some(database);
        Ok(known)
    }

    /// Makes the file if there is none: under another name, because one that was half made when
    /// the bot was killed would be a damaged one at the next start.
    fn make(&self) -> Result<(), StoreError> {
        let new = self.path.with_extension("new");
        let _ = fs::remove_file(&new);
        if self.path.exists() {
            return Ok(());
        }
        let made = self.open_file(&new).map(drop);
        if made.is_ok() {
            // Before it has its name: nobody else ever reads what is in it.
            let _ = make_private(&new);
            // Unlike a new name, a link never takes the place of another echobot's file. Where
            // there are no links, the file is made in its place.
            let _ = fs::hard_link(&new, &self.path);
            // The file's name must outlive a power cut as what is in it does.
            let _ = self
                .path
                .parent()
                .map(|directory| File::open(directory)?.sync_all());
        }
        let _ = fs::remove_file(&new);
        made
    }

    fn open_file(&self, path: &Path) -> Result<Database, StoreError> {
        let mut builder = Builder::new();
        // After an unclean end redb reads and checks all of it by itself. After a clean one it does not: that would take
        // minutes where many mids are remembered.
        builder.set_cache_size(CACHE);
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create(path)));
        let cause = match opened {
            Ok(Ok(database)) => return Ok(database),
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Cause::Locked,
            Ok(Err(DatabaseError::Storage(StorageError::Io(error))))
                if error.raw_os_error().is_some() =>
            {
                Cause::Directory(error)
            }
            Ok(Err(error)) => Cause::Damaged(error.to_string()),
            Err(_) => Cause::Damaged("it makes no sense".to_string()),
        };
        Err(self.error(cause))
    }

    fn error(&self, cause: Cause) -> StoreError {
        StoreError {
            path: self.path.clone(),
            cause,
        }
    }
}

/// Makes the directory, for this user alone: people's texts are in it.
fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Only this user may read the file, whatever its mode was.
fn keep_private(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode != 0o600 {
        make_private(path)?;
        let path = path.display();
        log::info!("{path} was {mode:o}, and is readable by this user alone now");
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

/// What redb says in words; it panics on some damaged files.
fn guarded<T>(task: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(task)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it makes no sense".to_string()),
    }
}
