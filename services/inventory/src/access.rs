//! Who manages which stock: administrators all of it, sellers that of their own products. The one rule of every
//! endpoint that sellers may call.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use contracts::UserId;
use http::request::Parts;
use kit::auth::{Caller, Role};
use kit::problem::{FORBIDDEN, Problem, Result};

use crate::db::Stock;

/// A caller who manages stock. As an extractor it refuses everyone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    /// The account.
    pub(crate) user_id: UserId,
    is_admin: bool,
}

impl Manager {
    fn new(caller: &Caller) -> Result<Self> {
        caller.require(Role::Seller)?;
        Ok(Self { user_id: caller.user_id, is_admin: caller.has(Role::Admin) })
    }

    /// The seller whose stock alone the caller manages; none for administrators.
    pub(crate) fn seller(&self) -> Option<UserId> {
        (!self.is_admin).then_some(self.user_id)
    }

    /// Refuses stock that the caller does not manage. A SKU that is unknown, or no product's, is for
    /// administrators: it may become anybody's.
    pub(crate) fn check(&self, stock: Option<&Stock>) -> Result<()> {
        let Some(seller) = self.seller() else { return Ok(()) };
        let stock = stock.ok_or_else(|| Problem::not_found("SKU"))?;
        if stock.seller_id == Some(seller.uuid()) {
            return Ok(());
        }
        Err(Problem::new(FORBIDDEN, "the product belongs to another seller"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Self::new(&caller)
    }
}

/// For what others see less of: none for guests and for accounts that sell nothing.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>> {
        let caller =
            <Caller as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(caller.and_then(|caller| Self::new(&caller).ok()))
    }
}
