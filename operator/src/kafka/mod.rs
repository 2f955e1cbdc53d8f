//! Topics in Kafka: what is there, and one change at a time.

mod error;

pub use error::Error;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use operator_core::build::TopicSpec;
use operator_core::facts::{Brokers, TopicState};
use operator_core::names::OPERATOR;
use operator_core::plan::{BrokersAddress, BrokersQuestion, TopicChange, topic_config};
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

/// For each request; brokers that are slower count as unreachable.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// For the attempt to reach one broker.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval at which metadata is asked for until it has what was created.
const METADATA_POLL: Duration = Duration::from_millis(50);

/// Whether something accepts connections at `host:port`.
pub async fn connects(address: &str) -> bool {
    matches!(timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// What the brokers hold of a shop.
pub async fn inventory(question: &BrokersQuestion) -> Result<Brokers, Error> {
    // librdkafka reports a broker that refuses connections only after its whole timeout.
    if !any_connects(&question.address.bootstrap_servers).await {
        return Err(Error::Unreachable(None));
    }
    let topics = question.topics.clone();
    blocking(&question.address, move |session| session.inventory(&topics)).await
}

/// Makes one change. Returns the topics that it has created.
pub async fn execute(
    address: &BrokersAddress,
    change: &TopicChange,
) -> Result<BTreeMap<String, TopicState>, Error> {
    let change = change.clone();
    blocking(address, move |session| session.execute(&change)).await
}

async fn any_connects(servers: &[String]) -> bool {
    for server in servers {
        if connects(server).await {
            return true;
        }
    }
    false
}

/// librdkafka connects, asks for metadata and closes on the calling thread.
async fn blocking<T: Send + 'static>(
    address: &BrokersAddress,
    work: impl FnOnce(&Session) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (client, handle) = (client(address), Handle::current());
    let work = move || work(&Session::open(&client, handle)?);
    spawn_blocking(work).await.map_err(Error::Panicked)?
}

fn client(address: &BrokersAddress) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address.bootstrap_servers.join(","))
        .set("security.protocol", address.security.protocol.as_str())
        .set("client.id", OPERATOR);
    if let (Some(mechanism), Some((username, password))) =
        (address.security.mechanism, &address.login)
    {
        client
            .set("sasl.mechanism", mechanism.as_str())
            .set("sasl.username", username)
            .set("sasl.password", password);
    }
    client
}

struct Session {
    admin: AdminClient<DefaultClientContext>,
    options: AdminOptions,
    handle: Handle,
}

impl Session {
    fn open(client: &ClientConfig, handle: Handle) -> Result<Self, Error> {
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        Ok(Self { admin: client.create()?, options, handle })
    }

    fn inventory(&self, names: &BTreeSet<String>) -> Result<Brokers, Error> {
        let cluster = self.admin.inner().fetch_cluster_id(REQUEST_TIMEOUT);
        let cluster = cluster.ok_or(Error::Unreachable(None))?;
        let mut topics = self.topics(names)?;
        self.read_configs(&mut topics)?;
        Ok(Brokers { cluster, topics })
    }

    /// Those of these topics that exist, without their configuration.
    fn topics(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, TopicState>, Error> {
        let metadata = self.admin.inner().fetch_metadata(None, REQUEST_TIMEOUT)?;
        let found = metadata.topics().iter().filter(|topic| names.contains(topic.name()));
        Ok(found.map(|topic| (topic.name().to_owned(), state(topic))).collect())
    }

    /// What is set on each topic itself, and what the operator sets.
    fn read_configs(&self, topics: &mut BTreeMap<String, TopicState>) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        let ours = topic_config(&TopicSpec::default());
        let names: Vec<_> = topics.keys().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let described = self.handle.block_on(self.admin.describe_configs(&names, &self.options))?;
        drop(names);
        for ((name, state), found) in topics.iter_mut().zip(described) {
            let found = found.map_err(|code| Error::Topic { topic: name.clone(), code })?;
            let relevant = found.entries.into_iter().filter(|entry| {
                ours.contains_key(&entry.name) || entry.source == ConfigSource::DynamicTopic
            });
            state.config = relevant.filter_map(|entry| Some((entry.name, entry.value?))).collect();
        }
        Ok(())
    }

    fn execute(&self, change: &TopicChange) -> Result<BTreeMap<String, TopicState>, Error> {
        match change {
            TopicChange::Create(topics) => self.create(topics),
            TopicChange::Grow(topics) => self.grow(topics),
            TopicChange::Configure { topic, config } => self.configure(topic, config),
            TopicChange::Delete(topics) => self.delete(topics),
        }
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<BTreeMap<String, TopicState>, Error> {
        let configs: Vec<_> = topics.iter().map(topic_config).collect();
        let new = topics.iter().zip(&configs).map(|(topic, config)| {
            let replication = TopicReplication::Fixed(topic.replication_factor);
            let new = NewTopic::new(&topic.name, topic.partitions, replication);
            config.iter().fold(new, |new, (key, value)| new.set(key, value))
        });
        let new: Vec<NewTopic<'_>> = new.collect();
        let results = self.handle.block_on(self.admin.create_topics(&new, &self.options))?;
        let mut created = BTreeMap::new();
        for (topic, result) in topics.iter().zip(results) {
            match result {
                Ok(_) => {
                    let state = TopicState {
                        partitions: topic.partitions,
                        replicas: topic.replication_factor,
                        config: topic_config(topic),
                    };
                    created.insert(topic.name.clone(), state);
                }
                // Another process was quicker.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(Error::Topic { topic, code }),
            }
        }
        self.await_metadata(topics);
        Ok(created)
    }

    /// Waits until the metadata have what was created: brokers answer at once and replicate them later.
    fn await_metadata(&self, topics: &[TopicSpec]) {
        let names: BTreeSet<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while Instant::now() < deadline
            && self.topics(&names).is_ok_and(|found| found.len() < names.len())
        {
            std::thread::sleep(METADATA_POLL);
        }
    }

    fn grow(&self, topics: &[TopicSpec]) -> Result<BTreeMap<String, TopicState>, Error> {
        let count = |topic: &TopicSpec| usize::try_from(topic.partitions).unwrap_or(1);
        let more: Vec<_> =
            topics.iter().map(|topic| NewPartitions::new(&topic.name, count(topic))).collect();
        let results = self.handle.block_on(self.admin.create_partitions(&more, &self.options))?;
        finish(results)?;
        Ok(BTreeMap::new())
    }

    /// `AlterConfigs` replaces everything that was set on a topic.
    fn configure(
        &self,
        topic: &str,
        config: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, TopicState>, Error> {
        let alteration = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let alteration = config.iter().fold(alteration, |alteration, (k, v)| alteration.set(k, v));
        let altering = self.admin.alter_configs([&alteration], &self.options);
        for result in self.handle.block_on(altering)? {
            result.map_err(|(_, code)| Error::Topic { topic: topic.to_owned(), code })?;
        }
        Ok(BTreeMap::new())
    }

    fn delete(&self, topics: &BTreeSet<String>) -> Result<BTreeMap<String, TopicState>, Error> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        finish(self.handle.block_on(self.admin.delete_topics(&names, &self.options))?)?;
        Ok(BTreeMap::new())
    }
}

fn finish(results: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<(), Error> {
    use RDKafkaErrorCode::{TopicAlreadyExists, UnknownTopicOrPartition};
    for result in results {
        match result {
            // Another process was quicker.
            Ok(_) | Err((_, TopicAlreadyExists | UnknownTopicOrPartition)) => {}
            Err((topic, code)) => return Err(Error::Topic { topic, code }),
        }
    }
    Ok(())
}

fn state(topic: &MetadataTopic) -> TopicState {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
    TopicState {
        partitions: count(topic.partitions().len()),
        replicas: count(replicas),
        config: BTreeMap::new(),
    }
}
