//! What can go wrong while a Shop is reconciled: one variant per step, each with a reason.

use std::fmt;
use std::time::Duration;

use operator_core::status::Reason;
use operator_core::validate::{FieldError, FieldErrorReason};

use crate::{apply, credentials, databases, topics};

/// An error of one step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading what the spec refers to failed.
    #[error("could not read {what}")]
    Observe {
        /// What was to be read.
        what: &'static str,
        /// Why that failed.
        source: kube::Error,
    },
    /// The spec is wrong or refers to what is not there.
    #[error("{}", Sentences(.0))]
    Invalid(Vec<FieldError>),
    /// A Secret could not be ensured.
    #[error("could not ensure credentials")]
    Credentials(#[from] credentials::Error),
    /// An object could not be applied or pruned.
    #[error("could not apply")]
    Apply(#[from] apply::Error),
    /// The databases could not be ensured or dropped.
    #[error("could not ensure databases")]
    Databases(#[from] databases::Error),
    /// The topics could not be ensured or deleted.
    #[error("could not ensure topics")]
    Topics(#[from] topics::Error),
    /// The finalizer could not be set or removed.
    #[error("could not change the finalizer")]
    Finalizer(#[source] kube::Error),
    /// What holds the data of a deleted Shop could not be kept or deleted.
    #[error("could not keep or delete the volumes and Secrets of the deleted Shop")]
    Cleanup(#[source] kube::Error),
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[source] kube::Error),
    /// The reconciliation was cancelled, because it took too long.
    #[error("the reconciliation did not finish within {} s", .0.as_secs())]
    Timeout(Duration),
    /// An annotation that asks for something could not be taken away.
    #[error("could not take an annotation away")]
    Order(#[source] kube::Error),
}

impl Error {
    /// The word for conditions and metric labels.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Observe { .. } => Reason::ObserveFailed,
            Self::Invalid(errors) => {
                let has = |reason| errors.iter().any(|error| error.reason == reason);
                if has(FieldErrorReason::InvalidSpec) {
                    Reason::InvalidSpec
                } else if has(FieldErrorReason::SecretInvalid) {
                    Reason::SecretInvalid
                } else {
                    Reason::SecretMissing
                }
            }
            Self::Credentials(error) => error.reason(),
            Self::Apply(error) => error.reason(),
            Self::Databases(error) => error.reason(),
            Self::Topics(error) => error.reason(),
            Self::Finalizer(_) => Reason::FinalizerFailed,
            Self::Cleanup(_) => Reason::CleanupFailed,
            Self::Status(_) => Reason::StatusFailed,
            Self::Timeout(_) => Reason::ReconcileTimedOut,
            Self::Order(_) => Reason::OrderFailed,
        }
    }

    /// Whether only a change of the Shop or of what it refers to can help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::Databases(databases::Error::Taken { .. })
            | Self::Topics(topics::Error::Taken { .. }) => true,
            Self::Credentials(error) => error.is_permanent(),
            Self::Apply(error) => error.is_permanent(),
            Self::Databases(_)
            | Self::Topics(_)
            | Self::Observe { .. }
            | Self::Finalizer(_)
            | Self::Cleanup(_)
            | Self::Status(_)
            | Self::Timeout(_)
            | Self::Order(_) => false,
        }
    }

    /// What failed and why, in one line for a condition.
    pub fn message(&self) -> String {
        telemetry::chain(self)
    }
}

struct Sentences<'a>(&'a [FieldError]);

impl fmt::Display for Sentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}
