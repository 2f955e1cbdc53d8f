//! Letters that bring a token along: whoever gives it back reads the mails of the account's address.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use contracts::events::{EmailVerificationRequested, PasswordResetRequested};
use contracts::{EmailToken, UserId};
use kit::StartError;
use kit::outbox::Outbox;
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::db::attempts::{self, Pace};
use crate::db::{self, email_tokens};
use crate::throttle;
use crate::token::OpaqueToken;

/// Pause after the first e-mail of a purpose to an account; it doubles with each, so that no mailbox is flooded.
const INITIAL_PAUSE: Duration = Duration::from_mins(1);
/// How often requests are looked for that nobody has told of.
const POLL: Duration = Duration::from_secs(5);

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Showing that the address is the account owner's.
    VerifyEmail,
    /// Choosing a password without the old one.
    ResetPassword,
}

impl Purpose {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
        }
    }

    /// For how long a token is good: as long as it may take to read a mail, and for a password, which opens
    /// everything, no longer than needed (OWASP Forgot Password Cheat Sheet).
    const fn lifetime(self) -> TimeDelta {
        match self {
            Self::VerifyEmail => TimeDelta::days(3),
            Self::ResetPassword => TimeDelta::hours(1),
        }
    }

    /// Longest pause between two e-mails: half a lifetime at most. Whatever strangers ask for, there is always one in the mailbox
    /// whose link is valid for as long again, and a day has some fifty at most for a password, and some twelve for an address.
    const fn max_pause(self) -> Duration {
        match self {
            Self::VerifyEmail => Duration::from_hours(6),
            Self::ResetPassword => Duration::from_mins(30),
        }
    }

    fn counted_by(self, user: UserId) -> throttle::Subject {
        throttle::subject(self.as_str(), &user.to_string())
    }
}

/// Counts an e-mail to an account, unless it comes too early: then the seconds until the next may.
async fn pace(
    tx: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
) -> Result<Option<f64>, sqlx::Error> {
    let pace = Pace {
        free: 1,
        delay_seconds: INITIAL_PAUSE.as_secs_f64(),
        max_delay_seconds: purpose.max_pause().as_secs_f64(),
        memory_seconds: throttle::RETENTION.as_secs_f64(),
    };
    attempts::pace(tx, (&purpose.counted_by(user), None), &pace).await
}

/// Ends all links in e-mails to an account. If its address is verified, the pause until the next link for a password ends
/// too: the owner, who has none now, must not wait for one. Another address may be anybody's.
pub async fn end_all(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    email_tokens::end_all(tx, user).await?;
    if db::is_verified(tx, user).await? {
        attempts::forget(tx, &Purpose::ResetPassword.counted_by(user)).await?;
    }
    Ok(())
}

/// Sends an e-mail to an account, which is locked. If too many were sent recently, the seconds until the next may be.
pub async fn write(
    tx: &mut PgConnection,
    outbox: &Outbox,
    user_id: UserId,
    purpose: Purpose,
) -> Result<Option<f64>, sqlx::Error> {
    if let Some(seconds) = pace(tx, user_id, purpose).await? {
        return Ok(Some(seconds));
    }
    let (secret, expires_at) = (OpaqueToken::generate(), Utc::now() + purpose.lifetime());
    email_tokens::issue(tx, user_id, purpose, &secret, expires_at).await?;
    let token = EmailToken::new(secret.expose().to_owned());
    match purpose {
        Purpose::VerifyEmail => {
            let event = EmailVerificationRequested { user_id, token, expires_at };
            outbox.append(tx, &event).await
        }
        Purpose::ResetPassword => {
            let event = PasswordResetRequested { user_id, token, expires_at };
            outbox.append(tx, &event).await
        }
    }?;
    Ok(None)
}

/// Answers requests for another password until told to stop. Apart from the requests themselves, which take as
/// long for an address without an account.
pub async fn answer_resets(
    pool: PgPool,
    outbox: Outbox,
    resets: Wake,
    stop: CancellationToken,
) -> Result<(), StartError> {
    resets.run("resets", POLL, &stop, || answer_reset(&pool, &outbox)).await;
    Ok(())
}

async fn answer_reset(pool: &PgPool, outbox: &Outbox) -> Result<usize, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some(taken) = email_tokens::take_reset_request(&mut tx).await? else { return Ok(0) };
    if let Some(user) = taken {
        // A change of the password at the same time ends this token, or comes before it.
        db::lock(&mut tx, user).await?;
        write(&mut tx, outbox, user, Purpose::ResetPassword).await?;
    }
    tx.commit().await?;
    Ok(1)
}
