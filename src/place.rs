//! The place where echoes are kept until they are sent: chosen once, at the start, and used by the writer alone.

use crate::config::Config;
use crate::outbox::{StoredEcho, WriteBatch, Written};
use crate::shared::{Owner, SharedLog};
use crate::store::{Store, StoreError};

/// The place that the writer writes to.
pub(crate) enum Place {
    /// Nowhere: there is never anything to write.
    Memory,
    /// A file that only this process uses.
    Disk(Store),
    /// The log of an outbox that several processes share.
    Shared(Box<SharedLog>),
}

impl Place {
    /// Opens it, and reads what is owed.
    ///
    /// # Errors
    /// When a setting is wrong, or the data directory cannot be used. A shared outbox may be away at the start.
    pub(crate) fn open(config: &Config) -> Result<(Place, Vec<StoredEcho>), StoreError> {
        if let Some(shared) = &config.shared {
            let log = SharedLog::open(shared, config.max_pending);
            let log = log.map_err(StoreError::Unusable)?;
            return Ok((Place::Shared(Box::new(log)), Vec::new()));
        }
        let Some(directory) = &config.data_dir else {
            log::info!("DATA_DIR is not set: the outbox is in memory");
            return Ok((Place::Memory, Vec::new()));
        };
        let (store, kept) = Store::open(directory)?;
        let (directory, owed) = (directory.display(), kept.len());
        log::info!("the outbox is in {directory}: {owed} echoes are owed");
        Ok((Place::Disk(store), kept))
    }

    /// Writes a batch: it is safe when this returns.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when nothing can be written here any more; anything else when the batch can be written again
    /// later, which the log says.
    pub(crate) fn commit(
        &mut self,
        batch: &WriteBatch,
        owner: &Owner,
    ) -> Result<Written, StoreError> {
        match self {
            Place::Memory => Ok(Written::default()),
            Place::Disk(store) => store.commit(batch).inspect_err(|error| {
                if !matches!(error, StoreError::Gone(_)) {
                    log::error!("{error}; webhooks are refused until it can be written");
                }
            }),
            Place::Shared(log) => log.commit(batch, owner).map_err(StoreError::Unusable),
        }
    }
}
