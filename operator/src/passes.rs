//! Reconciliations under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When each reconciliation under way has begun.
#[derive(Debug, Default)]
pub struct Passes(Mutex<(u64, BTreeMap<u64, Instant>)>);

/// One reconciliation; it ends when dropped.
#[derive(Debug)]
pub struct Pass<'a> {
    passes: &'a Passes,
    number: u64,
}

impl Passes {
    /// Begins a reconciliation.
    pub fn begin(&self) -> Pass<'_> {
        self.with(|next, running| {
            *next += 1;
            running.insert(*next, Instant::now());
            Pass { passes: self, number: *next }
        })
    }

    /// Age of the oldest reconciliation under way.
    pub fn oldest(&self) -> Option<Duration> {
        self.with(|_, running| running.values().next().map(Instant::elapsed))
    }

    fn with<T>(&self, f: impl FnOnce(&mut u64, &mut BTreeMap<u64, Instant>) -> T) -> T {
        let mut passes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, running) = &mut *passes;
        f(next, running)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.passes.with(|_, running| running.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pass_is_the_first_that_has_not_ended() {
        let passes = Passes::default();
        assert_eq!(passes.oldest(), None);
        let first = passes.begin();
        std::thread::sleep(Duration::from_millis(20));
        let second = passes.begin();
        assert!(passes.oldest().unwrap() >= Duration::from_millis(20));
        drop(first);
        assert!(passes.oldest().unwrap() < Duration::from_millis(20));
        drop(second);
        assert_eq!(passes.oldest(), None);
    }
}
