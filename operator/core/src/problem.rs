//! What keeps a Shop from being what its spec says.

use crate::status::Reason;

/// A problem in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The word for conditions and metric labels.
    pub reason: Reason,
    /// What is wrong, with which object, and what to do.
    pub message: String,
    /// Whether only a change of the Shop, or of what it refers to, can help.
    pub permanent: bool,
}

impl Problem {
    /// One that another attempt may solve.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), permanent: false }
    }

    /// One that no attempt solves before something changes.
    pub fn permanent(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), permanent: true }
    }
}
