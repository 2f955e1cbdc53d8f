//! Supplies that are announced before they come. Rules only: no I/O, no await.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// How far a supply has come that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = AnnouncementState)]
pub enum State {
    /// There is more to come.
    Open,
    /// All has come.
    Received,
    /// What has not come will not.
    Cancelled,
}

/// Units that somebody has promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Announcement {
    /// The announcement.
    pub id: Uuid,
    /// What is to come.
    pub sku: String,
    /// How many units were announced.
    pub quantity: i64,
    /// How many have come so far; more than announced only where staff said that they may.
    pub received: i64,
    /// The day on which they are expected.
    pub expected_on: NaiveDate,
    /// What the supplier calls it.
    pub reference: Option<String>,
    /// How far it has come.
    pub state: State,
    /// Who announced it.
    pub user_id: UserId,
    /// Grows by one with every change; send it as `If-Match`.
    pub version: i64,
    /// When it was announced.
    pub created_at: DateTime<Utc>,
    /// When something last came, or the rest was cancelled.
    pub updated_at: DateTime<Utc>,
}

/// Why units cannot be received under an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is expected any more.
    #[error("the announcement is closed: take the units in as a supply of their own")]
    Closed,
    /// More than was announced.
    #[error("only {0} units are still to come: say \"more\" if there are really more")]
    TooMany(i64),
}

impl Announcement {
    /// How far it is when so many units have come; `more` allows more than were announced.
    pub fn receive(&self, units: i64, more: bool) -> Result<(i64, State), Refusal> {
        if self.state != State::Open {
            return Err(Refusal::Closed);
        }
        let expected = self.quantity.saturating_sub(self.received);
        if units > expected && !more {
            return Err(Refusal::TooMany(expected));
        }
        let state = if units < expected { State::Open } else { State::Received };
        Ok((self.received.saturating_add(units), state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_announced_comes_only_when_somebody_says_so() {
        let announced = |received, state| Announcement {
            id: Uuid::now_v7(),
            sku: "A".to_owned(),
            quantity: 10,
            received,
            expected_on: NaiveDate::default(),
            reference: None,
            state,
            user_id: UserId::new(),
            version: 1,
            created_at: Utc::now(),
            updated_at: Utc::now(),
        };
        let open = announced(4, State::Open);
        assert_eq!(open.receive(5, false), Ok((9, State::Open)));
        assert_eq!(open.receive(6, false), Ok((10, State::Received)));
        assert_eq!(open.receive(7, false), Err(Refusal::TooMany(6)));
        assert_eq!(open.receive(7, true), Ok((11, State::Received)));
        for closed in [announced(4, State::Cancelled), announced(10, State::Received)] {
            assert_eq!(closed.receive(1, true), Err(Refusal::Closed));
        }
    }
}
