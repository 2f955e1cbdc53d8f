//! Reconciliations under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::Instant;

/// When each reconciliation under way has begun.
#[derive(Debug)]
pub struct Passes {
    /// The last number, and the beginnings by number.
    running: Mutex<(u64, BTreeMap<u64, Instant>)>,
    /// How many there are.
    gauge: IntGauge,
}

/// One reconciliation; it ends when dropped.
#[derive(Debug)]
pub struct Pass<'a> {
    passes: &'a Passes,
    number: u64,
}

impl Passes {
    /// No reconciliation is under way yet.
    pub fn new(gauge: IntGauge) -> Self {
        Self { running: Mutex::default(), gauge }
    }

    /// Begins a reconciliation.
    pub fn begin(&self) -> Pass<'_> {
        self.gauge.inc();
        self.with(|last, running| {
            *last += 1;
            running.insert(*last, Instant::now());
            Pass { passes: self, number: *last }
        })
    }

    /// Age of the oldest reconciliation under way.
    pub fn oldest(&self) -> Option<Duration> {
        self.with(|_, running| running.values().next().map(Instant::elapsed))
    }

    fn with<T>(&self, f: impl FnOnce(&mut u64, &mut BTreeMap<u64, Instant>) -> T) -> T {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, running) = &mut *running;
        f(last, running)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.passes.with(|_, running| running.remove(&self.number));
        self.passes.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pass_is_the_first_that_has_not_ended() {
        let gauge = IntGauge::new("passes", "Passes.").unwrap();
        let passes = Passes::new(gauge.clone());
        assert_eq!(passes.oldest(), None);
        let first = passes.begin();
        std::thread::sleep(Duration::from_millis(20));
        let second = passes.begin();
        assert_eq!(gauge.get(), 2);
        assert!(passes.oldest().unwrap() >= Duration::from_millis(20));
        drop(first);
        assert!(passes.oldest().unwrap() < Duration::from_millis(20));
        drop(second);
        assert_eq!((passes.oldest(), gauge.get()), (None, 0));
    }
}
