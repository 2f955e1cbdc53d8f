//! What can go wrong with brokers.

use operator_core::facts::{Trouble, TroubleKind};
use operator_core::problem::Problem;
use operator_core::status::Reason;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use telemetry::chain;

/// What can go wrong with brokers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The brokers do not answer, or not yet all of them.
    #[error("the brokers do not answer")]
    Unreachable(#[source] Option<KafkaError>),
    /// The brokers refuse the credentials.
    #[error("the brokers refuse the login")]
    LoginRefused(#[source] KafkaError),
    /// A request failed.
    #[error("a request to the brokers failed")]
    Request(#[source] KafkaError),
    /// A topic could not be created or changed.
    #[error("topic {topic}: {code}")]
    Topic {
        /// Its name.
        topic: String,
        /// What the brokers say.
        code: RDKafkaErrorCode,
    },
    /// The thread that talks to the brokers panicked.
    #[error("the thread that talks to the brokers panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Error {
    /// The error as a fact.
    pub fn trouble(&self) -> Trouble {
        let kind = match self {
            Self::Unreachable(_) => TroubleKind::Unreachable,
            Self::LoginRefused(_) => TroubleKind::LoginRefused,
            Self::Request(_) | Self::Topic { .. } | Self::Panicked(_) => TroubleKind::RequestFailed,
        };
        Trouble { kind, message: chain(self) }
    }

    /// The error of one change, as a problem of a Shop.
    pub fn problem(&self) -> Problem {
        let reason = match self {
            Self::Unreachable(_) => Reason::BrokersUnreachable,
            Self::LoginRefused(_) => Reason::BrokersLoginRefused,
            Self::Request(_) | Self::Panicked(_) => Reason::BrokersRequestFailed,
            Self::Topic { .. } => Reason::TopicFailed,
        };
        Problem::transient(reason, chain(self))
    }
}

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(
                Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::Resolve
                | Code::NotController
                | Code::NotCoordinator,
            ) => Self::Unreachable(Some(error)),
            Some(
                Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TopicAuthorizationFailed,
            ) => Self::LoginRefused(error),
            _ => Self::Request(error),
        }
    }
}
