//! Topics in Kafka: created, grown and configured, one way, from spec to brokers.
//!
//! Partitions only grow, and replication never changes: the first would lose records, the second
//! needs a plan for moving data that is the business of whoever runs the brokers.

mod claim;
mod error;
mod record;

pub use claim::{competes, holder, prefix};
pub use error::Error;
pub use record::Record;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use operator_core::build::{TopicPlan, TopicSpec};
use operator_core::names::OPERATOR;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Bounds each request; brokers that are slower count as not there yet.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bounds the attempt to reach one broker.
const KNOCK: Duration = Duration::from_millis(500);

/// What was done, and what was not done on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Topics that did not exist.
    pub created: Vec<String>,
    /// Topics that were not there, and were when they were to be created.
    pub existed: Vec<String>,
    /// Topics with more partitions than before: the order of keys moves once.
    pub grown: Vec<String>,
    /// Sentences about what is refused.
    pub refused: Vec<String>,
}

/// Configuration of a topic, by key.
type Config = BTreeMap<String, String>;

/// A user name and a password for SASL.
pub type Login = (String, String);

/// The client for a shop's brokers.
pub fn client(plan: &TopicPlan, login: Option<&Login>) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", plan.bootstrap_servers.join(","))
        .set("security.protocol", plan.security.protocol.as_str())
        .set("client.id", OPERATOR);
    if let (Some(mechanism), Some((username, password))) = (plan.security.mechanism, login) {
        client
            .set("sasl.mechanism", mechanism.as_str())
            .set("sasl.username", username)
            .set("sasl.password", password);
    }
    client
}

/// Whether any broker accepts connections. librdkafka would only tell after its full timeout.
pub async fn answers(plan: &TopicPlan) -> bool {
    for server in &plan.bootstrap_servers {
        if knock(server).await {
            return true;
        }
    }
    false
}

/// Whether something accepts connections at `host:port`.
pub async fn knock(address: &str) -> bool {
    matches!(timeout(KNOCK, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// The id that the brokers' cluster has given itself, by whatever name they are reached.
pub async fn cluster_id(client: ClientConfig) -> Result<String, Error> {
    let ask = |session: Session| session.admin.inner().fetch_cluster_id(PATIENCE);
    blocking(move |handle| ask(Session::open(&client, handle)?).ok_or(Error::Unreachable(None)))
        .await
}

/// The topics of these names that exist.
pub async fn existing(
    client: ClientConfig,
    names: BTreeSet<String>,
) -> Result<BTreeSet<String>, Error> {
    let exists = move |session: Session| {
        let metadata = session.admin.inner().fetch_metadata(None, PATIENCE)?;
        let found = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(found.filter(|topic| names.contains(topic)).collect())
    };
    blocking(move |handle| exists(Session::open(&client, handle)?)).await
}

/// Makes every topic what it should be, as far as that is safe.
pub async fn ensure(client: ClientConfig, topics: Vec<TopicSpec>) -> Result<Report, Error> {
    blocking(move |handle| Session::open(&client, handle)?.ensure(&topics)).await
}

/// Deletes the topics; those that are gone already are no error.
pub async fn delete(client: ClientConfig, topics: Vec<String>) -> Result<(), Error> {
    blocking(move |handle| Session::open(&client, handle)?.delete(&topics)).await
}

/// librdkafka connects, asks for metadata and closes on the calling thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(Handle) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let handle = Handle::current();
    spawn_blocking(move || work(handle)).await.map_err(Error::Panicked)?
}

struct Session {
    admin: AdminClient<DefaultClientContext>,
    options: AdminOptions,
    handle: Handle,
}

impl Session {
    fn open(client: &ClientConfig, handle: Handle) -> Result<Self, Error> {
        let options =
            AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        Ok(Self { admin: client.create()?, options, handle })
    }

    fn ensure(&self, topics: &[TopicSpec]) -> Result<Report, Error> {
        let metadata = self.admin.inner().fetch_metadata(None, PATIENCE)?;
        let mut report = Report::default();
        let (mut missing, mut small, mut present) = (Vec::new(), Vec::new(), Vec::new());
        for topic in topics {
            match metadata.topics().iter().find(|found| found.name() == topic.name) {
                None => missing.push(topic),
                Some(found) => {
                    present.push(topic);
                    if partitions(found) < topic.partitions {
                        small.push(topic);
                    }
                    report.refused.extend(refusal(topic, found));
                }
            }
        }
        report.created = self.create(&missing)?;
        report.existed = missing.iter().map(|topic| topic.name.clone()).collect();
        report.existed.retain(|topic| !report.created.contains(topic));
        report.grown = self.grow(&small)?;
        self.configure(&present)?;
        Ok(report)
    }

    fn create(&self, topics: &[&TopicSpec]) -> Result<Vec<String>, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let configs: Vec<_> = topics.iter().map(|topic| config(topic)).collect();
        let new = topics.iter().zip(&configs).map(|(topic, config)| {
            let replication = TopicReplication::Fixed(topic.replication_factor);
            let new = NewTopic::new(&topic.name, topic.partitions, replication);
            config.iter().fold(new, |new, (key, value)| new.set(key, value))
        });
        let new: Vec<NewTopic<'_>> = new.collect();
        Self::finish(self.handle.block_on(self.admin.create_topics(&new, &self.options))?)
    }

    fn grow(&self, topics: &[&TopicSpec]) -> Result<Vec<String>, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let count = |topic: &TopicSpec| usize::try_from(topic.partitions).unwrap_or(1);
        let more: Vec<_> =
            topics.iter().map(|topic| NewPartitions::new(&topic.name, count(topic))).collect();
        Self::finish(self.handle.block_on(self.admin.create_partitions(&more, &self.options))?)
    }

    /// `AlterConfigs` replaces everything that was set on a topic, so what others set is sent along.
    fn configure(&self, topics: &[&TopicSpec]) -> Result<(), Error> {
        let changed = if topics.is_empty() { Vec::new() } else { self.changed_configs(topics)? };
        if changed.is_empty() {
            return Ok(());
        }
        let alterations: Vec<_> = changed
            .iter()
            .map(|(name, config)| {
                let alteration = AlterConfig::new(ResourceSpecifier::Topic(name));
                config.iter().fold(alteration, |alteration, (k, v)| alteration.set(k, v))
            })
            .collect();
        let altering = self.admin.alter_configs(&alterations, &self.options);
        for (result, (topic, _)) in self.handle.block_on(altering)?.into_iter().zip(changed) {
            result.map_err(|(_, code)| Error::Topic { topic, code })?;
        }
        Ok(())
    }

    /// Topics whose configuration differs, and what it should be.
    fn changed_configs(&self, topics: &[&TopicSpec]) -> Result<Vec<(String, Config)>, Error> {
        let names: Vec<_> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
        let describing = self.admin.describe_configs(&names, &self.options);
        let mut changed = Vec::new();
        for (topic, found) in topics.iter().zip(self.handle.block_on(describing)?) {
            let name = topic.name.clone();
            let found = found.map_err(|code| Error::Topic { topic: name.clone(), code })?;
            let ours = config(topic);
            let relevant = found.entries.into_iter().filter(|entry| {
                ours.contains_key(&entry.name) || entry.source == ConfigSource::DynamicTopic
            });
            let current: Config =
                relevant.filter_map(|entry| Some((entry.name, entry.value?))).collect();
            let wanted: Config = current.clone().into_iter().chain(ours).collect();
            if wanted != current {
                changed.push((name, wanted));
            }
        }
        Ok(changed)
    }

    fn delete(&self, topics: &[String]) -> Result<(), Error> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if names.is_empty() {
            return Ok(());
        }
        Self::finish(self.handle.block_on(self.admin.delete_topics(&names, &self.options))?)?;
        Ok(())
    }

    fn finish(
        results: Vec<Result<String, (String, RDKafkaErrorCode)>>,
    ) -> Result<Vec<String>, Error> {
        use RDKafkaErrorCode::{TopicAlreadyExists, UnknownTopicOrPartition};
        let mut done = Vec::new();
        for result in results {
            match result {
                Ok(topic) => done.push(topic),
                // Another process was quicker.
                Err((_, TopicAlreadyExists | UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(Error::Topic { topic, code }),
            }
        }
        Ok(done)
    }
}

/// What is set on a topic itself.
fn config(topic: &TopicSpec) -> Config {
    Config::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("retention.ms".to_owned(), topic.retention_ms.to_string()),
    ])
}

fn partitions(topic: &MetadataTopic) -> i32 {
    i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)
}

fn refusal(wanted: &TopicSpec, found: &MetadataTopic) -> Option<String> {
    let name = &wanted.name;
    let (have, want) = (partitions(found), wanted.partitions);
    if have > want {
        return Some(format!(
            "topic {name} has {have} partitions; fewer ({want}) would lose records"
        ));
    }
    let replicas = found.partitions().first().map_or(0, |partition| partition.replicas().len());
    let want = usize::try_from(wanted.replication_factor).unwrap_or(0);
    (replicas != want).then(|| {
        format!("topic {name} has {replicas} replicas; {want} needs a reassignment by the brokers' operator")
    })
}
