//! Which threads have nothing to do, and which of them is to be woken up.

use std::time::Instant;

/// A thread of the pool, by its number from 0.
pub(super) type Seat = usize;

/// The threads that wait. One of them watches the time, for what is to be done later.
#[derive(Default)]
pub(super) struct Idle {
    /// Those that sleep until they are called. Who came last is called first: what it needs is
    /// still in the processor's caches.
    asleep: Vec<Seat>,
    /// The one that watches the time, and until when it sleeps. It is called last.
    watcher: Option<Seat>,
    watched_until: Option<Instant>,
    /// Those that were called and have not come yet. While there is one, nobody else is called: it
    /// calls the next one itself when there is more to do.
    on_the_way: usize,
}

impl Idle {
    /// Whom to wake up, so that somebody comes and looks. Nobody, when all are busy: they look when
    /// they are done.
    pub(super) fn call(&mut self) -> Option<Seat> {
        if self.on_the_way > 0 {
            return None;
        }
        let called = self.asleep.pop().or_else(|| self.watcher.take())?;
        self.on_the_way += 1;
        Some(called)
    }

    /// Calls all. Each seat is to be woken up.
    pub(super) fn call_all(&mut self) {
        self.on_the_way += self.asleep.len() + usize::from(self.watcher.is_some());
        self.asleep.clear();
        self.watcher = None;
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    /// The one that watches the time, if it would sleep for longer than until then: it is to be
    /// woken up, and looks again.
    pub(super) fn hurry(&mut self, time: Instant) -> Option<Seat> {
        if self.watched_until.is_some_and(|until| until <= time) {
            return None;
        }
        self.watched_until = Some(time);
        self.watcher
    }

    /// This one sleeps from now on.
    pub(super) fn sleep(&mut self, seat: Seat) {
        self.asleep.push(seat);
    }

    pub(super) fn is_asleep(&self, seat: Seat) -> bool {
        self.asleep.contains(&seat)
    }

    /// This one watches the time from now on, and sleeps until then.
    pub(super) fn watch(&mut self, seat: Seat, until: Option<Instant>) {
        self.watcher = Some(seat);
        self.watched_until = until;
    }

    /// This one is up again: it was called, or has watched until it was time.
    pub(super) fn get_up(&mut self, seat: Seat) {
        if self.watcher == Some(seat) {
            self.watcher = None;
        } else {
            self.on_the_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_came_last_is_called_first_and_the_watcher_last() {
        let mut idle = Idle::default();
        assert_eq!(idle.call(), None);
        idle.watch(0, None);
        idle.sleep(1);
        idle.sleep(2);
        for seat in [2, 1, 0] {
            assert_eq!(idle.call(), Some(seat));
            assert!(!idle.is_asleep(seat));
            idle.get_up(seat);
        }
        assert_eq!(idle.call(), None);
        assert!(!idle.is_watched());
    }

    #[test]
    fn while_one_is_on_the_way_nobody_else_is_called() {
        let mut idle = Idle::default();
        idle.sleep(1);
        idle.sleep(2);
        assert_eq!(idle.call(), Some(2));
        assert_eq!(idle.call(), None);
        idle.get_up(2);
        assert_eq!(idle.call(), Some(1));
    }

    #[test]
    fn the_watcher_is_hurried_only_when_it_would_sleep_for_too_long() {
        let mut idle = Idle::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        idle.watch(0, Some(now + second));
        assert_eq!(idle.hurry(now + 2 * second), None);
        assert_eq!(idle.hurry(now), Some(0));
        assert_eq!(idle.hurry(now), None);
        idle.get_up(0);
        idle.watch(0, None);
        assert_eq!(idle.hurry(now + 2 * second), Some(0));
    }
}
