//! What can go wrong with an object.

use std::fmt;

use kube::core::ApiResource;
use operator_core::status::Reason;

use super::Obstacle;

/// Kind and name of an object, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(String);

impl Id {
    pub(super) fn new(resource: &ApiResource, name: &str) -> Self {
        Self(format!("{} {name}", resource.kind))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an object is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of that name exists and is not the Shop's.
    #[error("{object} exists and is not the Shop's: rename or delete it")]
    Foreign {
        /// The object.
        object: Id,
    },
    /// An object of a deleted Shop of the same name is not collected yet.
    #[error("{object} of a deleted Shop of this name is not gone yet")]
    Predecessor {
        /// The object.
        object: Id,
    },
    /// The object has a deletion timestamp.
    #[error("{object} is being deleted")]
    Terminating {
        /// The object.
        object: Id,
    },
    /// A volume cannot have the size that it should have.
    #[error("{object} stays as large as it is instead of {size}")]
    Volume {
        /// The claim.
        object: Id,
        /// Size that it should have.
        size: String,
        /// What is in the way.
        source: Obstacle,
    },
    /// The API server refused.
    #[error("{verb} {object}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// With which object.
        object: Id,
        /// The answer.
        source: kube::Error,
    },
}

impl Error {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Foreign { .. } => Reason::NameTaken,
            Self::Predecessor { .. } => Reason::PredecessorNotGone,
            Self::Terminating { .. } => Reason::ObjectTerminating,
            Self::Volume { source, .. } => source.reason(),
            Self::Api { .. } => Reason::ApplyFailed,
        }
    }

    /// Whether only a change can help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Foreign { .. } => true,
            Self::Predecessor { .. } | Self::Terminating { .. } => false,
            Self::Volume { source, .. } => source.is_permanent(),
            Self::Api { source, .. } => is_refusal(source),
        }
    }
}

/// Whether the API server understood a request and will refuse it again.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 422))
}
