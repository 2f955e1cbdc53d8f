//! Accounts, and what their owners are to be told.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::email_token::EmailToken;
use crate::id::{ProductId, UserId};
use crate::sku::Sku;

/// An account was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The account.
    pub user_id: UserId,
    /// Where to write to.
    pub email: String,
    /// What the person wants to be called.
    pub name: String,
}

/// Somebody who has an account is to show that its address is theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerificationRequested {
    /// The account.
    pub user_id: UserId,
    /// What a letter to the address brings along.
    pub token: EmailToken,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// The reader of an address's e-mails owns its account: sent when the address is verified, and again when a reader who was not
/// known then chooses a password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerified {
    /// The account.
    pub user_id: UserId,
    /// Whether it was shown by a person who knows the account. If not, another person may have registered it, and what was
    /// stored in it until now is theirs.
    pub owner_known: bool,
    /// By then every access token has expired that was signed before.
    pub tokens_expire_by: DateTime<Utc>,
}

/// Somebody who may have an account wants to choose another password without knowing the old one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordResetRequested {
    /// The account.
    pub user_id: UserId,
    /// What a letter to the address brings along.
    pub token: EmailToken,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// An account has another password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// The account.
    pub user_id: UserId,
}

/// A registration was attempted with the address of this account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationAttempted {
    /// The account.
    pub user_id: UserId,
}

/// A product that somebody keeps among their favourites can be bought again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FavouriteAvailable {
    /// Whose favourite it is.
    pub user_id: UserId,
    /// The product.
    pub product_id: ProductId,
    /// What of it there is again.
    pub sku: Sku,
}
