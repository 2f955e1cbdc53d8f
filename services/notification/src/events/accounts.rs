//! Accounts whose address is verified.

use contracts::events::EmailVerified;
use kit::inbox::{Delivery, Handle};
use kit::subscription::HandlerError;
use sqlx::PgConnection;

use super::Teller;
use crate::db::{self, phones};

impl Handle<EmailVerified> for Teller {
    /// A number of the stranger who registered the account would receive messages about the owner's orders, and the name would
    /// greet the owner.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<EmailVerified>,
    ) -> Result<(), HandlerError> {
        let EmailVerified { user_id, owner_known, .. } = delivery.event;
        db::set_verified(tx, user_id, owner_known).await?;
        if !owner_known {
            phones::forget(tx, user_id).await?;
        }
        Ok(())
    }
}
