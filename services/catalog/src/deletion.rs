//! The deletion of a product, which inventory may forbid: what is held for an order is not deleted.
//!
//! `deleting` until inventory answers or the deadline has passed; then the product is gone, or the
//! deletion is withdrawn and the product is what it was before. Inventory answers every request once
//! and in their order, so a product has one request at a time that is not answered: an answer that
//! comes late can be taken for no other's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the deletion of a product stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deletion {
    /// Whether it is under way.
    pub state: State,
    /// Why it came to nothing.
    pub reason: Option<Reason>,
    /// Units that were held for orders, where that was the reason.
    pub reserved: Option<i64>,
}

/// Whether a deletion is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = DeletionState)]
pub enum State {
    /// The product is not on sale, and gone as soon as inventory agrees.
    Deleting,
    /// The product is what it was before.
    Withdrawn,
}

/// Why a deletion came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = DeletionReason)]
pub enum Reason {
    /// Some of it is held for orders.
    InUse,
    /// Inventory has not answered in time.
    NoAnswer,
}

/// What only the catalog knows of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether it is under way.
    pub state: State,
    /// Whether the product was on sale before.
    pub on_sale: bool,
    /// Whether inventory has answered.
    pub answered: bool,
}

/// What a shop does about an answer of inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was waited for.
    Awaited,
    /// It has come too late: another request may be made now, and that is all.
    Late,
    /// Nobody has asked.
    Unasked,
}

impl Request {
    /// Whether inventory owes an answer, so that another request would be mistaken for this one.
    pub fn is_unanswered(&self) -> bool {
        !self.answered
    }

    /// Whether the product is neither gone nor what it was before.
    pub fn is_under_way(&self) -> bool {
        self.state == State::Deleting
    }

    /// What an answer means to the request.
    pub fn answer(&self) -> Answer {
        match (self.state, self.answered) {
            (State::Deleting, false) => Answer::Awaited,
            (State::Withdrawn, false) => Answer::Late,
            (State::Deleting | State::Withdrawn, true) => Answer::Unasked,
        }
    }
}
