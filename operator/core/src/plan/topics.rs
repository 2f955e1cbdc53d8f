//! Topics: only those that are the Shop's, and only changes that lose nothing.
//!
//! Partitions only grow, and replication never changes: the first would lose records, the second needs a plan for moving data that
//! is the business of the brokers' operator.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, Phase, TopicChange};
use super::basis::{Basis, answer_to};
use super::draft::Draft;
use super::engines;
use crate::build::TopicSpec;
use crate::facts::{Brokers, TopicState, TroubleKind};
use crate::problem::Problem;
use crate::role::EngineKind;
use crate::status::{Part, Reason};
use crate::topics::{Record, holder, prefix};
use crate::validate::EventsEngine;

/// The state of the topics.
pub(super) struct Topics {
    /// For the condition.
    pub(super) part: Part,
    /// What went wrong.
    pub(super) problem: Option<Problem>,
    /// Id of the external Kafka cluster in which the Shop owns its topics.
    pub(super) cluster: Option<String>,
}

/// Plans what the brokers lack.
pub(super) fn plan(basis: &Basis<'_>, draft: &mut Draft<'_>) -> Topics {
    let bundled = matches!(basis.valid.events, EventsEngine::Bundled(_));
    let claimed = basis.facts.shop.status.as_ref().and_then(|s| s.kafka_cluster_id.clone());
    let waiting = |part| Topics { part, problem: None, cluster: claimed.clone() };
    if let Some(absent) = engines::absent(basis, bundled, EngineKind::Kafka) {
        return waiting(absent);
    }
    let subject = basis.subject(&basis.topics);
    let Some(probe) = answer_to(basis.facts.servers.events.as_ref(), &subject) else {
        return waiting(engines::not_asked(basis));
    };
    let brokers = match &probe.answer {
        Ok(brokers) => brokers,
        Err(trouble) if bundled && trouble.kind == TroubleKind::Unreachable => {
            return Topics { cluster: None, ..waiting(engines::starting("Kafka")) };
        }
        Err(trouble) => {
            let reason = match trouble.kind {
                TroubleKind::Unreachable => Reason::BrokersUnreachable,
                TroubleKind::LoginRefused => Reason::BrokersLoginRefused,
                TroubleKind::RequestFailed => Reason::BrokersRequestFailed,
            };
            let part = Part::Failed(reason, trouble.message.clone());
            let problem = Some(Problem::transient(reason, trouble.message.clone()));
            return Topics { problem, ..waiting(part) };
        }
    };
    if bundled {
        // Its topics are the Shop's alone.
        return Topics { part: changes(basis, brokers, draft), problem: None, cluster: None };
    }
    external(basis, brokers, claimed, draft)
}

/// Topics in brokers that others use too.
fn external(
    basis: &Basis<'_>,
    brokers: &Brokers,
    claimed: Option<String>,
    draft: &mut Draft<'_>,
) -> Topics {
    let refused = |problem: Problem, cluster| Topics {
        part: Part::Failed(problem.reason, problem.message.clone()),
        problem: Some(problem),
        cluster,
    };
    let (shop, cluster) = (&basis.facts.shop, brokers.cluster.clone());
    if let Some(other) = holder(shop, &cluster, &basis.facts.rivals) {
        let message = format!(
            "Shop {}/{} has the topics {}.* of this Kafka cluster: delete this Shop and create it again with another \
             topics.prefix",
            other.namespace,
            other.name,
            prefix(shop)
        );
        return refused(Problem::permanent(Reason::TopicTaken, message), None);
    }
    let mut record = Record::read(shop, basis.facts.topic_record.as_ref());
    let before = record.clone();
    let adopts = shop.spec.topics.adopt_existing;
    let wanted: BTreeSet<String> =
        basis.topics.topics.iter().map(|topic| topic.name.clone()).collect();
    let present: BTreeSet<String> = brokers.topics.keys().cloned().collect();
    let foreign = &(&present & &wanted) - &record.topics(&cluster);
    // A claim is recorded before it is in the status: without a record a status means all topics.
    let store = |record: &Record, draft: &mut Draft<'_>| {
        if *record != before || basis.facts.topic_record.is_none() {
            draft.apply(Phase::TopicRecord, [&record.object(shop)]);
            return true;
        }
        false
    };
    if !foreign.is_empty() && !adopts {
        return refused(foreign_topics(&foreign), claimed);
    }
    if claimed.as_ref() != Some(&cluster) {
        record.add(&cluster, &BTreeSet::new());
        let stored = store(&record, draft);
        let part = Part::Waiting(Reason::Starting, "the topics are being claimed".to_owned());
        let cluster = if stored && !draft.is_paused() { claimed } else { Some(cluster) };
        return Topics { part, problem: None, cluster };
    }
    // Before they are created: a crash must leave no topic without an owner.
    record.add(&cluster, &wanted);
    let part = if store(&record, draft) {
        Part::Waiting(Reason::Starting, "the topics are being claimed".to_owned())
    } else {
        changes(basis, brokers, draft)
    };
    Topics { part, problem: None, cluster: Some(cluster) }
}

fn foreign_topics(topics: &BTreeSet<String>) -> Problem {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let message = format!(
        "{} exist in this Kafka cluster and this Shop has not made them: set topics.adoptExisting to make them its own, delete \
         them, or create the Shop again with another topics.prefix",
        names.join(", ")
    );
    Problem::permanent(Reason::TopicTaken, message)
}

/// Makes every topic what it should be, as far as that is safe.
fn changes(basis: &Basis<'_>, brokers: &Brokers, draft: &mut Draft<'_>) -> Part {
    let (mut missing, mut small, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut configured = Vec::new();
    for topic in &basis.topics.topics {
        let Some(found) = brokers.topics.get(&topic.name) else {
            missing.push(topic.clone());
            continue;
        };
        if found.partitions < topic.partitions {
            small.push(topic.clone());
        }
        refused.extend(refusal(topic, found));
        let config: BTreeMap<String, String> =
            found.config.clone().into_iter().chain(config(topic)).collect();
        if config != found.config {
            configured.push(TopicChange::Configure { topic: topic.name.clone(), config });
        }
    }
    let create = (!missing.is_empty()).then_some(TopicChange::Create(missing));
    let grow = (!small.is_empty()).then_some(TopicChange::Grow(small));
    let changes: Vec<_> = create.into_iter().chain(grow).chain(configured).collect();
    let is_complete = changes.is_empty();
    for change in changes {
        draft.act(Phase::Topics, Action::Topics(change));
    }
    if let Some(problem) = draft.failure(Phase::Topics) {
        return Part::Failed(problem.reason, problem.message.clone());
    }
    if !refused.is_empty() {
        return Part::Failed(Reason::TopicChangeRefused, refused.join("; "));
    }
    if is_complete {
        let text = format!("{} topics are there", basis.topics.topics.len());
        return Part::Ready(Reason::TopicsReady, text);
    }
    Part::Waiting(Reason::Starting, "topics are being created or changed".to_owned())
}

/// What the operator sets on a topic.
pub fn config(topic: &TopicSpec) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("retention.ms".to_owned(), topic.retention_ms.to_string()),
    ])
}

fn refusal(topic: &TopicSpec, found: &TopicState) -> Option<String> {
    let TopicSpec { name, partitions, replication_factor, .. } = topic;
    if found.partitions > *partitions {
        return Some(format!(
            "topic {name} has {} partitions; fewer ({partitions}) would lose records",
            found.partitions
        ));
    }
    (found.replicas != *replication_factor).then(|| {
        format!(
            "topic {name} has {} replicas; {replication_factor} needs a reassignment by the brokers' operator",
            found.replicas
        )
    })
}
