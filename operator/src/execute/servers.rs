//! Changes Postgres and Kafka.

use std::collections::BTreeMap;

use operator_core::facts::TopicState;
use operator_core::plan::{Action, Planned, Sql, TopicChange};
use operator_core::problem::Problem;
use operator_core::status::Reason;

use super::{Done, Effect, Executor};
use crate::kafka;
use crate::postgres::{Admin, Error};

impl Executor<'_> {
    /// Makes changes one after the other, those of Postgres through one connection.
    pub(super) async fn change_servers(&self, actions: &[&Planned]) -> Vec<Done> {
        let mut admin = None;
        let mut done = Vec::new();
        for planned in actions {
            done.push(match &planned.action {
                Action::Sql(sql) => self.execute_sql(&mut admin, sql).await.map(|()| Effect::None),
                Action::Topics(change) => self.change_topics(change).await,
                other => self.action(other).await,
            });
        }
        if let Some(Ok(admin)) = admin {
            admin.close().await;
        }
        done
    }

    async fn execute_sql(
        &self,
        admin: &mut Option<Result<Admin, Problem>>,
        sql: &Sql,
    ) -> Result<(), Problem> {
        // Whatever comes of it, what was known of the server is void.
        self.context.servers.update(&self.name, |servers| servers.database = None);
        if admin.is_none() {
            *admin = Some(match &self.plan.database {
                Some(address) => Admin::connect(address).await.map_err(|error| error.problem()),
                None => Err(Problem::transient(Reason::DatabaseUnreachable, "no database server")),
            });
        }
        match admin {
            Some(Ok(admin)) => admin.execute(sql).await.map_err(|error: Error| {
                let problem = error.problem();
                Problem { message: format!("{sql:?}: {}", problem.message), ..problem }
            }),
            Some(Err(problem)) => Err(problem.clone()),
            None => Ok(()),
        }
    }

    async fn change_topics(&self, change: &TopicChange) -> Done {
        let Some(brokers) = &self.plan.brokers else {
            return Err(Problem::transient(Reason::BrokersUnreachable, "no brokers"));
        };
        let created = kafka::execute(brokers, change).await.map_err(|error| {
            self.context.servers.update(&self.name, |servers| servers.events = None);
            error.problem()
        })?;
        // Brokers answer at once and replicate metadata later: what was changed is known before they say so.
        self.context.servers.update(&self.name, |servers| {
            let answer = servers.events.as_mut().and_then(|probe| probe.answer.as_mut().ok());
            if let Some(brokers) = answer {
                amend(&mut brokers.topics, change, created);
            }
        });
        if let TopicChange::Grow(topics) = change {
            let grown: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
            let note = format!(
                "{} have more partitions now; events with the same key may be out of order once",
                grown.join(", ")
            );
            let events = &self.context.events;
            events.warn(self.shop, Reason::PartitionsGrown, "Events", &note).await;
        }
        Ok(Effect::None)
    }
}

fn amend(
    topics: &mut BTreeMap<String, TopicState>,
    change: &TopicChange,
    created: BTreeMap<String, TopicState>,
) {
    topics.extend(created);
    match change {
        TopicChange::Create(_) => {}
        TopicChange::Grow(grown) => {
            for topic in grown {
                if let Some(state) = topics.get_mut(&topic.name) {
                    state.partitions = topic.partitions;
                }
            }
        }
        TopicChange::Configure { topic, config } => {
            if let Some(state) = topics.get_mut(topic) {
                state.config.clone_from(config);
            }
        }
        TopicChange::Delete(deleted) => topics.retain(|topic, _| !deleted.contains(topic)),
    }
}
