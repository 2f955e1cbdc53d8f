//! Keys in a file that the operator changes while the service runs.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long keys are used without reading their file again: one that was removed must neither be good nor sign for as
/// long as the process lives.
pub(super) const MAX_AGE: Duration = Duration::from_mins(1);

/// Keys as they were last read. Ages are by the monotonic clock: they do not grow or shrink when the clock is set.
#[derive(Debug)]
pub struct KeyFile<T, E> {
    file: PathBuf,
    read: fn(&Path) -> Result<T, E>,
    last: Mutex<(Arc<T>, Instant)>,
}

impl<T, E: Display> KeyFile<T, E> {
    /// Reads the file.
    pub fn new(file: PathBuf, read: fn(&Path) -> Result<T, E>, now: Instant) -> Result<Self, E> {
        let keys = read(&file)?;
        Ok(Self { file, read, last: Mutex::new((Arc::new(keys), now)) })
    }

    /// The keys, read again after a minute. The old ones remain if the file cannot be read.
    pub fn get(&self, now: Instant) -> Arc<T> {
        self.get_within(now, |_| MAX_AGE)
    }

    /// Same, read again when they are as old as `max_age` says of them.
    pub(super) fn get_within(&self, now: Instant, max_age: impl FnOnce(&T) -> Duration) -> Arc<T> {
        let mut guard = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, read_at) = &mut *guard;
        if now.saturating_duration_since(*read_at) >= max_age(keys) {
            *read_at = now;
            match (self.read)(&self.file) {
                Ok(fresh) => *keys = Arc::new(fresh),
                Err(error) => {
                    let file = self.file.display();
                    tracing::warn!(%error, %file, "keeping the old keys");
                }
            }
        }
        Arc::clone(keys)
    }
}
