//! What becomes of an attempt to send a message, whichever way it goes.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::IntCounterVec;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db;

/// How often a message is tried before it is given up: for about four hours.
const TRIES: u32 = 12;
/// Pause before the first retry; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

static SENT: LazyLock<IntCounterVec> = kit::metric!(
    counter,
    "messages_sent_total",
    "Attempts to send a message, by channel and outcome (sent, retried, dead).",
    &["channel", "outcome"]
);

/// What has become of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sent,
    Retry(Duration, String),
    Dead(String),
}

impl Outcome {
    /// What comes after an attempt that has failed, when as many had failed before.
    pub(crate) fn failed(before: i32, permanent: bool, error: String) -> Self {
        let failures = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        if permanent || failures >= TRIES {
            return Self::Dead(error);
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        Self::Retry(pause.min(LONGEST_PAUSE), error)
    }

    /// The same, but not before the other side wants to be asked again.
    pub(crate) fn no_sooner_than(self, pause: Duration) -> Self {
        match self {
            Self::Retry(own, error) => Self::Retry(own.max(pause.min(LONGEST_PAUSE)), error),
            settled => settled,
        }
    }

    /// Writes it down.
    pub(crate) async fn settle(
        self,
        tx: &mut PgConnection,
        channel: &str,
        id: Uuid,
    ) -> Result<(), sqlx::Error> {
        let label = match self {
            Self::Sent => {
                db::sent(tx, id).await?;
                "sent"
            }
            Self::Retry(pause, error) => {
                tracing::warn!(message = %id, channel, error, "a message is tried again later");
                db::postpone(tx, id, pause, &error).await?;
                "retried"
            }
            Self::Dead(error) => {
                tracing::error!(message = %id, channel, error, "a message was given up");
                db::bury(tx, id, &error).await?;
                "dead"
            }
        };
        SENT.with_label_values(&[channel, label]).inc();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_retried_ever_more_slowly_and_not_forever() {
        let after = |before, permanent| Outcome::failed(before, permanent, String::new());
        let last = i32::try_from(TRIES).unwrap() - 2;
        assert_eq!(after(0, false), Outcome::Retry(Duration::from_secs(5), String::new()));
        assert_eq!(after(1, false), Outcome::Retry(Duration::from_secs(10), String::new()));
        assert_eq!(after(last, false), Outcome::Retry(LONGEST_PAUSE, String::new()));
        assert_eq!(after(last + 1, false), Outcome::Dead(String::new()));
        assert_eq!(after(i32::MAX, false), Outcome::Dead(String::new()));
        assert_eq!(after(0, true), Outcome::Dead(String::new()));
    }

    #[test]
    fn whoever_wants_to_be_asked_later_is_asked_later() {
        let after = |secs| {
            Outcome::failed(0, false, String::new()).no_sooner_than(Duration::from_secs(secs))
        };
        assert_eq!(after(1), Outcome::Retry(FIRST_PAUSE, String::new()));
        assert_eq!(after(60), Outcome::Retry(Duration::from_mins(1), String::new()));
        assert_eq!(after(1_000_000), Outcome::Retry(LONGEST_PAUSE, String::new()));
        assert_eq!(Outcome::Sent.no_sooner_than(LONGEST_PAUSE), Outcome::Sent);
    }
}
