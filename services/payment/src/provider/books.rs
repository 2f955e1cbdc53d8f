//! What a provider has in its books, whatever the shop knows of it: a shop that was restored from a backup has forgotten
//! what happened after it.

use chrono::{DateTime, Utc};
use contracts::Money;
use uuid::Uuid;

/// A page of the books.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Its entries: those with a key or reference of a shop's.
    pub items: Vec<T>,
    /// Where the next page begins; none: this is the last one.
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

/// How far a charge has come that is in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookedStatus {
    /// The money was taken.
    Captured,
    /// The money may still be taken.
    Open,
}

/// A charge in the books. Those that came to nothing are left out.
#[derive(Clone, Debug)]
pub struct BookedCharge {
    /// The payment that it was made for.
    pub key: Uuid,
    /// The order that it was made for.
    pub order: Option<Uuid>,
    /// The provider's name for it.
    pub reference: String,
    /// How far it has come.
    pub status: BookedStatus,
    /// How much.
    pub amount: Money,
    /// Minor units that went back.
    pub refunded: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A refund in the books. Those that came to nothing are left out.
#[derive(Clone, Debug)]
pub struct BookedRefund {
    /// The key that it was asked for with; none: it was made in another way.
    pub key: Option<Uuid>,
    /// The provider's name for it.
    pub reference: String,
    /// The provider's name for the charge.
    pub charge: String,
    /// How much.
    pub amount: Money,
}
