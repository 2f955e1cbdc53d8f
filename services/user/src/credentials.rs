//! What ends with the credentials of an account. Every change of who can get in calls this, in its transaction: another
//! password, however it was chosen, a block, an address that was verified. The account must be locked.

use chrono::{TimeDelta, Utc};
use contracts::UserId;
use contracts::events::EmailVerified;
use kit::outbox::Outbox;
use sqlx::PgConnection;

use crate::db::{self, addresses, devices, sessions};
use crate::letters;
use crate::token::{ACCESS_LIFETIME, OpaqueToken};

/// Between the end of a session and the signature of its last token; clocks of pods differ by less.
const SIGNING: TimeDelta = TimeDelta::seconds(1);

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Ends all that the credentials until now have opened or could still open: sessions, tokens in e-mails, known devices.
pub async fn end_all(tx: &mut PgConnection, user: UserId) -> Result<()> {
    end_all_but(tx, user, None).await
}

async fn end_all_but(
    tx: &mut PgConnection,
    user: UserId,
    device: Option<&OpaqueToken>,
) -> Result<()> {
    sessions::end_all_but(tx, user, device).await?;
    devices::end_all_but(tx, user, device).await?;
    letters::end_all(tx, user).await
}

/// Who has shown that they read the mails of an account.
#[derive(Clone, Copy, Debug)]
pub enum Reader<'a> {
    /// On a device that has logged in with the account's password.
    Device(&'a OpaqueToken),
    /// With an access token of the account.
    Caller,
    /// Perhaps for the first time: the account may have been opened by another person, with this person's address.
    Unknown,
}

impl Reader<'_> {
    const fn is_unknown(self) -> bool {
        matches!(self, Reader::Unknown)
    }
}

/// The reader has followed the link that verifies the address, which belongs to them. If that is new, the account is handed over. The password
/// stays, because people register on one device and read mail on another; unless they are known it may be another person's, until they
/// choose one. The account's version, if its address was not verified.
pub async fn verify(
    tx: &mut PgConnection,
    outbox: &Outbox,
    user: UserId,
    reader: Reader<'_>,
) -> Result<Option<i64>> {
    let version = db::set_verified(tx, user, reader.is_unknown()).await?;
    if version.is_some() {
        hand_over(tx, outbox, user, reader).await?;
    }
    Ok(version)
}

/// The reader is about to choose a password. If another person may have known the one before, the account is handed over:
/// since its address was verified, that person may have logged in and stored more.
pub async fn verify_by_reset(
    tx: &mut PgConnection,
    outbox: &Outbox,
    user: UserId,
    reader: Reader<'_>,
) -> Result<()> {
    if db::set_proven(tx, user).await? {
        hand_over(tx, outbox, user, reader).await?;
    }
    Ok(())
}

/// Ends other sessions. Unless the reader is known, also removes what is stored, here and by the services that handle
/// the event.
async fn hand_over(
    tx: &mut PgConnection,
    outbox: &Outbox,
    user: UserId,
    reader: Reader<'_>,
) -> Result<()> {
    let device = if let Reader::Device(token) = reader { Some(token) } else { None };
    end_all_but(tx, user, device).await?;
    if reader.is_unknown() {
        addresses::delete_all(tx, user).await?;
    }
    // Read after the sessions have ended: no token is signed for them any more, but one may be on its way.
    let tokens_expire_by = Utc::now() + ACCESS_LIFETIME + SIGNING;
    let event =
        EmailVerified { user_id: user, owner_known: !reader.is_unknown(), tokens_expire_by };
    outbox.append(tx, &event).await?;
    Ok(())
}
