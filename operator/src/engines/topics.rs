//! The step that makes topics, and only those that are the Shop's.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use operator_core::build::TopicPlan;
use operator_core::crd::Shop;
use operator_core::role::EngineKind;
use operator_core::status::{Part, Reason};
use operator_core::validate::EventsEngine;
use rdkafka::ClientConfig;

use super::{Engines, Step, failed, starting};
use crate::context::{Context, Engine};
use crate::error::Error;
use crate::topics;

impl Engines<'_> {
    /// Makes the topics, as far as that is safe. Says too in whose Kafka cluster the Shop has them, if
    /// that is not its own.
    pub async fn topics(&self, plan: &TopicPlan) -> (Step, Option<String>) {
        let bundled = matches!(self.valid.events, EventsEngine::Bundled(_));
        let before = self.shop.status.as_ref().and_then(|status| status.kafka_cluster_id.clone());
        let wish = self.wish(plan);
        // Without its cluster in the status a claim does not stand: writing it may have met a conflict.
        let stands = bundled || before.is_some() || self.applier.paused;
        if stands
            && let Some(known) =
                self.known(Engine::Events, bundled.then_some(EngineKind::Kafka), &wish)
        {
            return ((known, None), before);
        }
        match self.ensure_topics(plan).await {
            Ok((report, cluster)) => {
                self.warn_of_growth(&report).await;
                let part = if report.refused.is_empty() {
                    Part::Ready(
                        Reason::TopicsReady,
                        format!("{} topics are there", plan.topics.len()),
                    )
                } else {
                    Part::Failed(Reason::TopicChangeRefused, report.refused.join("; "))
                };
                (self.remember(Engine::Events, wish, part), cluster)
            }
            Err(Error::Topics(topics::Error::Unreachable(_))) if bundled => {
                (starting("Kafka"), None)
            }
            Err(error @ Error::Topics(topics::Error::Taken { .. })) => (failed(error), None),
            Err(error) => (failed(error), before),
        }
    }

    async fn ensure_topics(
        &self,
        plan: &TopicPlan,
    ) -> Result<(topics::Report, Option<String>), Error> {
        if !topics::answers(plan).await {
            return Err(topics::Error::Unreachable(None).into());
        }
        let brokers = self.brokers(plan);
        if let EventsEngine::Bundled(_) = self.valid.events {
            // Its topics are the Shop's alone.
            return Ok((topics::ensure(brokers, plan.topics.clone()).await?, None));
        }
        let cluster = claim_topics(self.shop, self.context, &brokers).await?;
        let report = self.ensure_own_topics(plan, &brokers, &cluster).await?;
        Ok((report, Some(cluster)))
    }

    /// Makes the topics in external brokers, unless one exists that is not the Shop's.
    async fn ensure_own_topics(
        &self,
        plan: &TopicPlan,
        brokers: &ClientConfig,
        cluster: &str,
    ) -> Result<topics::Report, Error> {
        let adopts = self.shop.spec.topics.adopt_existing;
        let refuse = |foreign: BTreeSet<String>| {
            if foreign.is_empty() || adopts {
                return Ok(());
            }
            Err(topics::Error::Foreign { topics: foreign.into_iter().collect() })
        };
        let mut record = topics::Record::read(self.applier, self.shop).await?;
        let own = record.topics(cluster);
        let wanted: BTreeSet<_> = plan.topics.iter().map(|topic| topic.name.clone()).collect();
        let present = topics::existing(brokers.clone(), wanted.clone()).await?;
        refuse(&present - &own)?;
        // Before they are created: a crash must leave no topic without an owner.
        record.add(cluster, &wanted);
        record.write(self.applier).await?;
        let report = topics::ensure(brokers.clone(), plan.topics.clone()).await?;
        let quicker: BTreeSet<_> = report.existed.iter().cloned().collect();
        let foreign = &quicker - &own;
        if !adopts && !foreign.is_empty() {
            record.remove(cluster, &foreign);
            record.write(self.applier).await?;
        }
        refuse(foreign)?;
        Ok(report)
    }

    async fn warn_of_growth(&self, report: &topics::Report) {
        if report.grown.is_empty() {
            return;
        }
        let grown = report.grown.join(", ");
        let note = format!(
            "{grown} have more partitions now; events with the same key may be out of order once"
        );
        self.context.events.warn(self.shop, Reason::PartitionsGrown, "Events", &note).await;
    }
}

/// Makes sure that the topics in external brokers are no other Shop's; returns the id of the brokers' cluster.
pub async fn claim_topics(
    shop: &Shop,
    context: &Context,
    brokers: &ClientConfig,
) -> Result<String, topics::Error> {
    let cluster = topics::cluster_id(brokers.clone()).await?;
    match topics::holder(shop, &cluster, &context.shops.all().await) {
        None => Ok(cluster),
        Some(other) => Err(topics::Error::Taken {
            prefix: topics::prefix(shop),
            holder: format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()),
        }),
    }
}
