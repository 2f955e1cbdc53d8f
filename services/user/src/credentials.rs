//! What ends with the credentials of an account. Every change of who can get in calls this, in its transaction: another
//! password, however it was chosen, a block, an address that was verified. The account must be locked.

use contracts::UserId;
use sqlx::PgConnection;

use crate::db::{devices, email_tokens, sessions};

/// Ends all that the credentials until now have opened or could still open: sessions, tokens in e-mails, known devices.
pub async fn end_all(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sessions::end_all(tx, user).await?;
    devices::end_all(tx, user).await?;
    email_tokens::end_all(tx, user).await
}
