//! How many calls there may be at the same time: a provider that is slow fills its own lane, and no other's.

use std::collections::HashMap;
use std::sync::Arc;

use kit::worker::Wake;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One lane for each provider.
#[derive(Debug)]
pub(super) struct Lanes(HashMap<&'static str, Arc<Semaphore>>);

/// A place in a lane, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    lane: Arc<Semaphore>,
    wake: Wake,
}

impl Lanes {
    /// Lanes of this width.
    pub(super) fn new(providers: impl Iterator<Item = &'static str>, width: usize) -> Self {
        Self(providers.map(|name| (name, Arc::new(Semaphore::new(width)))).collect())
    }

    /// The providers whose lanes are full.
    pub(super) fn full(&self) -> Vec<String> {
        let full = self.0.iter().filter(|(_, lane)| lane.available_permits() == 0);
        full.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Takes a place. None is needed for a provider that the shop does not have: there is no call. Leaving a full
    /// lane wakes the worker: something of this provider's may be due.
    pub(super) fn enter(&self, provider: &str, wake: &Wake) -> Option<Place> {
        let lane = Arc::clone(self.0.get(provider)?);
        let permit = Arc::clone(&lane).try_acquire_owned().ok();
        Some(Place { permit, lane, wake: wake.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let was_full = self.lane.available_permits() == 0;
        drop(self.permit.take());
        if was_full {
            self.wake.wake();
        }
    }
}
