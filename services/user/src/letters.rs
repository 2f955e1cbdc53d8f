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

use crate::db::{self, email_tokens};
use crate::token::OpaqueToken;

/// Pause between two letters of one kind to one account: nobody's mailbox is flooded.
pub const PAUSE: Duration = Duration::from_mins(1);
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
}

/// Has a letter written to an account; false if it got one of this kind just now.
pub async fn write(
    tx: &mut PgConnection,
    outbox: &Outbox,
    user_id: UserId,
    purpose: Purpose,
) -> Result<bool, sqlx::Error> {
    let (secret, expires_at) = (OpaqueToken::generate(), Utc::now() + purpose.lifetime());
    let pause = PAUSE.as_secs_f64();
    if !email_tokens::issue(tx, user_id, purpose, &secret, expires_at, pause).await? {
        return Ok(false);
    }
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
    Ok(true)
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
