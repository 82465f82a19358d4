//! The messages that were answered, to spot a redelivery.

use std::collections::{HashSet, VecDeque};

use ring::digest;

/// How many are remembered. Messenger redelivers soon: "will immediately try a few more times"
/// (Messenger Platform, "Webhooks").
const REMEMBERED: usize = 1 << 16;

/// A mid, shortened: half a SHA-256 is as good as the mid itself, and takes 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MidDigest(pub [u8; 16]);

impl MidDigest {
    /// The digest of a mid.
    pub fn of(mid: &str) -> MidDigest {
        let digest = digest::digest(&digest::SHA256, mid.as_bytes());
        let (half, _) = digest
            .as_ref()
            .split_first_chunk()
            .expect("a SHA-256 has 32 bytes");
        MidDigest(*half)
    }
}

/// The last mids that were answered.
#[derive(Default)]
pub(super) struct Seen {
    mids: HashSet<MidDigest>,
    order: VecDeque<MidDigest>,
}

impl Seen {
    pub(super) fn contains(&self, mid: &MidDigest) -> bool {
        self.mids.contains(mid)
    }

    pub(super) fn insert(&mut self, mid: MidDigest) {
        if !self.mids.insert(mid) {
            return;
        }
        self.order.push_back(mid);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.mids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MidDigest, REMEMBERED, Seen};

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut seen = Seen::default();
        let mid = |n: usize| MidDigest::of(&n.to_string());
        (0..=REMEMBERED).for_each(|n| seen.insert(mid(n)));
        assert!(!seen.contains(&mid(0)));
        assert!(seen.contains(&mid(1)));
        assert!(seen.contains(&mid(REMEMBERED)));
        assert_eq!(seen.mids.len(), REMEMBERED);
    }
}
