//! Why a reconciliation fails.

use std::time::Duration;

use operator_core::problem::Problem;
use operator_core::status::Reason;

/// Why a reconciliation fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error("could not read {what}")]
    Observe {
        /// What was to be read.
        what: String,
        /// Why that failed.
        source: kube::Error,
    },
    /// Something keeps the Shop from being what its spec says.
    #[error("{}", .0.message)]
    Problem(Problem),
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[source] kube::Error),
    /// The reconciliation was cancelled, because it took too long.
    #[error("the reconciliation did not finish within {} s", .0.as_secs())]
    Timeout(Duration),
}

impl Error {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Observe { .. } => Reason::ObserveFailed,
            Self::Problem(problem) => problem.reason,
            Self::Status(_) => Reason::StatusFailed,
            Self::Timeout(_) => Reason::ReconcileTimedOut,
        }
    }

    /// Whether only a change of the Shop, or of what it refers to, can help.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.permanent,
            Self::Observe { .. } | Self::Status(_) | Self::Timeout(_) => false,
        }
    }

    /// The error as a problem of a Shop.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            _ => Problem::transient(self.reason(), telemetry::chain(self)),
        }
    }
}
