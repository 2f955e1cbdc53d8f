//! What is wrong with a Shop.

use thiserror::Error;

/// One thing that is wrong with a Shop.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct FieldError {
    /// Path of the field, e.g. `spec.services[2].autoscaling.minReplicas`.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub message: String,
    /// The kind of error, for conditions and metrics.
    pub reason: FieldErrorReason,
}

/// The kind of a [`FieldError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorReason {
    /// The field is wrong in itself; only a change of the Shop helps.
    InvalidSpec,
    /// The field names a Secret, or a key of one, that does not exist; creating it helps.
    SecretMissing,
    /// The field names a key of a Secret whose value nothing can use; another value helps.
    SecretInvalid,
}

impl FieldErrorReason {
    /// The word for conditions and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::SecretMissing => "SecretMissing",
            Self::SecretInvalid => "SecretInvalid",
        }
    }
}

/// Everything that is wrong, as it is found.
#[derive(Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    pub(super) fn invalid(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.push(path.into(), message.into(), FieldErrorReason::InvalidSpec);
    }

    pub(super) fn secret_missing(&mut self, path: String, message: String) {
        self.push(path, message, FieldErrorReason::SecretMissing);
    }

    pub(super) fn secret_invalid(&mut self, path: String, message: String) {
        self.push(path, message, FieldErrorReason::SecretInvalid);
    }

    fn push(&mut self, path: String, message: String, reason: FieldErrorReason) {
        self.0.push(FieldError { path, message, reason });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Errors> for Vec<FieldError> {
    fn from(errors: Errors) -> Self {
        errors.0
    }
}
