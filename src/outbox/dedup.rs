//! The messages that were answered, to spot a redelivery.

use std::collections::HashSet;
use std::mem;

use ring::digest;

/// So many are remembered at least, and twice as many at most. Messenger redelivers soon: "will
/// immediately try a few more times" (Messenger Platform, "Webhooks").
const REMEMBERED: usize = 40_000;

/// A mid, shortened: half a SHA-256 is as good as the mid itself, and takes 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MidDigest(pub [u8; 16]);

impl MidDigest {
    /// The digest of a mid.
    pub fn of(mid: &str) -> MidDigest {
        let digest = digest::digest(&digest::SHA256, mid.as_bytes());
        let half = digest.as_ref()[..16].try_into();
        MidDigest(half.expect("a SHA-256 has 32 bytes"))
    }

    /// Half of it again: among so few that is enough. That two of a thousand million messages are
    /// taken for one has a chance of 1 in 100,000.
    fn half(self) -> u64 {
        let (half, _) = self.0.split_first_chunk().expect("it has 16 bytes");
        u64::from_le_bytes(*half)
    }
}

/// The last mids that were answered, in two tables whose size never changes: when the newer one is
/// full the older one is emptied, and they change places.
#[derive(Default)]
pub(super) struct Dedup {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl Dedup {
    pub(super) fn contains(&self, mid: MidDigest) -> bool {
        let mid = mid.half();
        self.newer.contains(&mid) || self.older.contains(&mid)
    }

    pub(super) fn insert(&mut self, mid: MidDigest) {
        if self.newer.len() >= REMEMBERED {
            mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.reserve(REMEMBERED - self.newer.len());
        self.newer.insert(mid.half());
    }
}

#[cfg(test)]
mod tests {
    use super::{Dedup, MidDigest, REMEMBERED};

    #[test]
    fn the_oldest_are_forgotten_when_there_are_too_many() {
        let mut dedup = Dedup::default();
        let mid = |n: usize| MidDigest::of(&n.to_string());
        (0..=2 * REMEMBERED).for_each(|n| dedup.insert(mid(n)));
        assert!(!dedup.contains(mid(0)));
        assert!((REMEMBERED..=2 * REMEMBERED).all(|n| dedup.contains(mid(n))));
        assert!(dedup.newer.len() + dedup.older.len() <= 2 * REMEMBERED);
    }
}
