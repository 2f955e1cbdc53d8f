//! Postgres and Kafka, as far as a shop has anything in them.

use std::collections::{BTreeMap, BTreeSet};

use operator_core::facts::{
    Brokers, Comment, DatabaseServer, DatabaseState, TopicState, Trouble, TroubleKind,
};
use operator_core::plan::{DatabaseQuestion, Sql, TopicChange, topic_config};

/// A Postgres server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Postgres {
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) databases: BTreeMap<String, Database>,
}

/// A database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Database {
    pub(crate) owner: String,
    pub(crate) comment: Comment,
    pub(crate) public: bool,
    /// Image whose migrations were applied last.
    pub(crate) schema: Option<String>,
    /// Images whose migrations it has: migrations only add.
    pub(crate) migrated: BTreeSet<String>,
    /// What must not be lost.
    pub(crate) orders: u64,
}

impl Postgres {
    pub(crate) fn inventory(&self, question: &DatabaseQuestion) -> DatabaseServer {
        let mut server = DatabaseServer::default();
        for wanted in &question.databases {
            if self.roles.contains_key(&wanted.role) {
                server.roles.insert(wanted.role.clone());
            }
            let Some(found) = self.databases.get(&wanted.database) else { continue };
            let login_works = wanted.password.is_none()
                || self.roles.get(&wanted.role) == wanted.password.as_ref();
            let state = DatabaseState {
                owner: found.owner.clone(),
                comment: found.comment.clone(),
                open_to_public: found.public,
                login_works,
                has_schema: login_works && found.schema.is_some(),
            };
            server.databases.insert(wanted.database.clone(), state);
        }
        server
    }

    pub(crate) fn execute(&mut self, sql: &Sql) -> Result<(), String> {
        match sql {
            Sql::CreateRole { role, password } => {
                if self.roles.contains_key(role) {
                    return Err(format!("role {role} exists"));
                }
                self.roles.insert(role.clone(), password.clone());
            }
            Sql::SetPassword { role, password } => {
                self.roles.insert(role.clone(), password.clone());
            }
            Sql::CreateDatabase { database, role } => {
                if self.databases.contains_key(database) {
                    return Err(format!("database {database} exists"));
                }
                let new = Database {
                    owner: role.clone(),
                    comment: Comment::None,
                    public: true,
                    schema: None,
                    migrated: BTreeSet::new(),
                    orders: 0,
                };
                self.databases.insert(database.clone(), new);
            }
            Sql::CloseToPublic { database } => self.get(database)?.public = false,
            Sql::Comment { database, image } => {
                self.get(database)?.comment = Comment::Ours(image.clone());
            }
            Sql::RecordMigration { database, image } => {
                let found = self.get(database)?;
                if found.comment == Comment::None {
                    return Err(format!("database {database} has changed"));
                }
                found.comment = Comment::Ours(Some(image.clone()));
            }
            Sql::DropDatabase { database, role } => {
                if self.databases.get(database).is_some_and(|found| found.owner == *role) {
                    self.databases.remove(database);
                }
            }
            Sql::DropRole { role } => drop(self.roles.remove(role)),
        }
        Ok(())
    }

    fn get(&mut self, database: &str) -> Result<&mut Database, String> {
        self.databases.get_mut(database).ok_or_else(|| format!("there is no database {database}"))
    }
}

/// A Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kafka {
    pub(crate) cluster: String,
    pub(crate) topics: BTreeMap<String, TopicState>,
}

impl Kafka {
    pub(crate) fn inventory(&self, names: &BTreeSet<String>) -> Brokers {
        let topics = self.topics.iter().filter(|(name, _)| names.contains(*name));
        let topics = topics.map(|(name, state)| (name.clone(), state.clone())).collect();
        Brokers { cluster: self.cluster.clone(), topics }
    }

    pub(crate) fn execute(&mut self, change: &TopicChange) {
        match change {
            TopicChange::Create(topics) => {
                for topic in topics {
                    let state = TopicState {
                        partitions: topic.partitions,
                        replicas: topic.replication_factor,
                        config: topic_config(topic),
                    };
                    self.topics.entry(topic.name.clone()).or_insert(state);
                }
            }
            TopicChange::Grow(topics) => {
                for topic in topics {
                    if let Some(state) = self.topics.get_mut(&topic.name) {
                        state.partitions = topic.partitions;
                    }
                }
            }
            TopicChange::Configure { topic, config } => {
                if let Some(state) = self.topics.get_mut(topic) {
                    state.config.clone_from(config);
                }
            }
            TopicChange::Delete(topics) => self.topics.retain(|name, _| !topics.contains(name)),
        }
    }
}

pub(crate) fn unreachable() -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, message: "the server does not answer".to_owned() }
}
