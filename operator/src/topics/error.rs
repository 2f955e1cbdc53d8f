//! What can go wrong with topics.

use operator_core::status::Reason;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What can go wrong with brokers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or not yet all of them.
    #[error("the brokers do not answer")]
    Unreachable(#[source] Option<KafkaError>),
    /// The brokers refuse our credentials.
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
    /// The topics are another Shop's.
    #[error(
        "Shop {holder} has the topics {prefix}.* of this Kafka cluster: delete this Shop and create \
         it again with another topics.prefix"
    )]
    Taken {
        /// First part of the topics' names.
        prefix: String,
        /// Namespace and name of the other Shop.
        holder: String,
    },
    /// Topics of these names are there, and this Shop has not made them.
    #[error(
        "{} exist in this Kafka cluster and this Shop has not made them: set topics.adoptExisting to make \
         them its own, delete them, or create the Shop again with another topics.prefix",
        .topics.join(", ")
    )]
    Foreign {
        /// Their names.
        topics: Vec<String>,
    },
    /// The thread that talks to the brokers panicked.
    #[error("the thread that talks to the brokers panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Error {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => Reason::BrokersUnreachable,
            Self::LoginRefused(_) => Reason::BrokersLoginRefused,
            Self::Request(_) | Self::Panicked(_) => Reason::BrokersRequestFailed,
            Self::Topic { .. } => Reason::TopicFailed,
            Self::Taken { .. } | Self::Foreign { .. } => Reason::TopicTaken,
        }
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
