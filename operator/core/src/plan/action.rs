//! What a plan asks for, one write each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::core::ApiResource;

use crate::build::TopicSpec;
use crate::child::{ChildKey, resource_name};
use crate::object::{Object, Stage};

/// The order of actions. Those of one phase are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The finalizer comes before everything that it protects.
    Finalizer,
    /// Secrets come before the pods and databases that have their content.
    Secrets,
    /// The record of topics comes before the topics.
    TopicRecord,
    /// Objects, in the order of their stages.
    Objects(Stage),
    /// Jobs that ran for a database that is gone.
    StaleJobs,
    /// Roles, databases and their comments.
    Databases,
    /// Topics.
    Topics,
    /// Objects that the Shop does not want any more.
    Prune,
    /// Annotations that were followed.
    Annotations,
    /// Workloads of a Shop that is deleted.
    StopWorkloads,
    /// Databases and topics of a Shop that is deleted.
    DropExternal,
    /// Volumes, Secrets and records of a Shop that is deleted.
    DeleteData,
    /// The finalizer goes last.
    Release,
}

impl Phase {
    /// Whether the phases after it build on it: if one of its actions fails, they wait.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Finalizer | Self::Secrets)
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Apply an object, if what is there differs and is the Shop's to change.
    Apply(Object),
    /// Find out whether an object is as it should be, and write nothing.
    Confirm(Object),
    /// Delete an object, if it is still the one that was seen.
    Delete(Deletion),
    /// Remove the owner references to the Shop from an object.
    Disown {
        /// Where the API server keeps it.
        resource: ApiResource,
        /// Its name.
        name: String,
    },
    /// Add or remove the finalizer.
    Finalizer(bool),
    /// Remove these annotations of the Shop, unless their values have changed.
    RemoveAnnotations(BTreeMap<String, String>),
    /// Change the Postgres server.
    Sql(Sql),
    /// Change the topics.
    Topics(TopicChange),
}

/// The deletion of an object that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// Where the API server keeps it.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
    /// Its UID: another object of that name stays.
    pub uid: String,
    /// Its version, if one that has changed is to stay.
    pub version: Option<String>,
}

/// A statement on a Postgres server. Executed as the administrator of the shop's server.
#[derive(Clone, PartialEq, Eq)]
pub enum Sql {
    /// Create a login role.
    CreateRole {
        /// Name of the role.
        role: String,
        /// Its password.
        password: String,
    },
    /// Change the password of a role.
    SetPassword {
        /// Name of the role.
        role: String,
        /// Its password.
        password: String,
    },
    /// Create a database.
    CreateDatabase {
        /// Name of the database.
        database: String,
        /// Role that owns it.
        role: String,
    },
    /// Take the right to connect from every other role.
    CloseToPublic {
        /// Name of the database.
        database: String,
    },
    /// Write the first comment on a database.
    Comment {
        /// Name of the database.
        database: String,
        /// Image whose migrations it has, if it has any.
        image: Option<String>,
    },
    /// Record that the migrations of an image were applied. Nothing if the database has no comment of the operator's any more:
    /// it was created again meanwhile.
    RecordMigration {
        /// Name of the database.
        database: String,
        /// The image.
        image: String,
    },
    /// Drop a database that a role owns; open connections are cut.
    DropDatabase {
        /// Name of the database.
        database: String,
        /// Role that owns it.
        role: String,
    },
    /// Drop a role.
    DropRole {
        /// Name of the role.
        role: String,
    },
}

/// A change of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// Create topics; those that exist are left as they are.
    Create(Vec<TopicSpec>),
    /// Add partitions: the order of keys moves once.
    Grow(Vec<TopicSpec>),
    /// Set the whole configuration of a topic.
    Configure {
        /// Name of the topic.
        topic: String,
        /// What is set on it.
        config: BTreeMap<String, String>,
    },
    /// Delete topics.
    Delete(BTreeSet<String>),
}

impl Action {
    /// What the action is, the same for each attempt. It has no secrets in it.
    pub fn id(&self) -> String {
        let of = |verb: &str, resource: &ApiResource, name: &str| {
            format!("{verb} {}/{name}", resource_name(resource).trim_end_matches('.'))
        };
        match self {
            Self::Apply(object) => of("apply", &object.resource, object.name()),
            Self::Confirm(object) => of("confirm", &object.resource, object.name()),
            Self::Delete(deletion) => of("delete", &deletion.resource, &deletion.name),
            Self::Disown { resource, name } => of("disown", resource, name),
            Self::Finalizer(true) => "add the finalizer".to_owned(),
            Self::Finalizer(false) => "remove the finalizer".to_owned(),
            Self::RemoveAnnotations(_) => "remove annotations".to_owned(),
            Self::Sql(sql) => format!("{sql:?}"),
            Self::Topics(change) => change.to_string(),
        }
    }

    /// The object that is applied.
    pub fn applied(&self) -> Option<ChildKey> {
        match self {
            Self::Apply(object) | Self::Confirm(object) => Some(ChildKey::of(object)),
            _ => None,
        }
    }
}

/// Without passwords.
impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateRole { role, .. } => write!(f, "create role {role}"),
            Self::SetPassword { role, .. } => write!(f, "set the password of role {role}"),
            Self::CreateDatabase { database, .. } => write!(f, "create database {database}"),
            Self::CloseToPublic { database } => {
                write!(f, "close database {database} to the public")
            }
            Self::Comment { database, .. } => write!(f, "comment on database {database}"),
            Self::RecordMigration { database, image } => {
                write!(f, "record that {image} has migrated database {database}")
            }
            Self::DropDatabase { database, .. } => write!(f, "drop database {database}"),
            Self::DropRole { role } => write!(f, "drop role {role}"),
        }
    }
}

impl fmt::Display for TopicChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |specs: &[TopicSpec]| {
            specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Create(specs) => write!(f, "create topics {}", names(specs)),
            Self::Grow(specs) => write!(f, "add partitions to topics {}", names(specs)),
            Self::Configure { topic, .. } => write!(f, "configure topic {topic}"),
            Self::Delete(topics) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                write!(f, "delete topics {}", topics.join(", "))
            }
        }
    }
}
