//! What the servers of a shop answered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// The last answer of every server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Servers {
    /// Postgres.
    pub database: Option<Probe<DatabaseServer>>,
    /// Redis.
    pub cache: Option<Probe<()>>,
    /// Kafka.
    pub events: Option<Probe<Brokers>>,
    /// The object store.
    pub object_store: Option<Probe<()>>,
}

/// The answer of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe<T> {
    /// Hash of what the question depends on: another address or login is another question.
    pub subject: String,
    /// When the answer came.
    pub at: Timestamp,
    /// The answer.
    pub answer: Result<T, Trouble>,
}

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What can be done about it.
    pub kind: TroubleKind,
    /// What the client or the server says.
    pub message: String,
}

/// What can be done about a server that gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// It does not accept connections, or not yet.
    Unreachable,
    /// It refuses the login.
    LoginRefused,
    /// It refuses a request.
    RequestFailed,
}

/// What a Postgres server holds of a shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseServer {
    /// Those of the shop's roles that exist.
    pub roles: BTreeSet<String>,
    /// Those of the shop's databases that exist.
    pub databases: BTreeMap<String, DatabaseState>,
}

/// A database that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseState {
    /// Role that owns it.
    pub owner: String,
    /// Its comment.
    pub comment: Comment,
    /// Whether every role may connect to it.
    pub open_to_public: bool,
    /// Whether its role can log in with the password in the shop's Secret.
    pub login_works: bool,
    /// Whether a service has ever migrated it. Checked only where there is no comment.
    pub has_schema: bool,
}

/// The comment on a database. It names the image whose migrations were applied. It goes when the database goes, and no dump of
/// a single database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comment {
    /// Not one of the operator's.
    None,
    /// The image whose migrations were applied, if any were.
    Ours(Option<String>),
}

impl Comment {
    const PREFIX: &str = "shop-operator.io/migrated=";

    /// Parses the text of a comment.
    pub fn parse(text: Option<&str>) -> Self {
        let image = text.and_then(|text| text.strip_prefix(Self::PREFIX));
        let given = |image: &str| Some(image.to_owned()).filter(|image| !image.is_empty());
        image.map_or(Self::None, |image| Self::Ours(given(image)))
    }

    /// The text of a comment of the operator's.
    pub fn text(image: Option<&str>) -> String {
        format!("{}{}", Self::PREFIX, image.unwrap_or_default())
    }
}

/// What a Kafka cluster holds of a shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brokers {
    /// Id of the cluster.
    pub cluster: String,
    /// Those of the shop's topics that exist.
    pub topics: BTreeMap<String, TopicState>,
}

/// A topic that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// Partitions.
    pub partitions: i32,
    /// Replicas of the first partition.
    pub replicas: i32,
    /// Configuration that is set on the topic itself, and that which the operator sets.
    pub config: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_reads_as_it_was_written() {
        for image in [None, Some("registry:5000/order:1@sha256:ab")] {
            let text = Comment::text(image);
            assert_eq!(Comment::parse(Some(&text)), Comment::Ours(image.map(str::to_owned)));
        }
        assert_eq!(Comment::parse(Some("sales, do not touch")), Comment::None);
        assert_eq!(Comment::parse(None), Comment::None);
    }
}
