//! Turns of accounts, for what must not be done twice at once by one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use contracts::UserId;
use tokio::sync::OwnedMutexGuard;

/// Requests of one account wait here for each other, inside this process. Accounts without a request are forgotten.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<UserId, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for those of the account that came before. The turn ends when the guard is dropped.
    pub async fn take(&self, user: UserId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(&user).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(user, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }
}
