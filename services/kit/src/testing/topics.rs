//! The topics of one test.

use std::time::Duration;

use contracts::topics::Aggregate;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::PATIENCE;
use crate::kafka::Settings;

fn names(kafka: &Settings) -> Vec<String> {
    Aggregate::ALL
        .iter()
        .flat_map(|a| [a.topic(&kafka.topic_prefix), a.dead_letter_topic(&kafka.topic_prefix)])
        .collect()
}

pub(super) async fn create(kafka: &Settings) {
    let admin: AdminClient<DefaultClientContext> =
        kafka.client().create().expect("the settings are valid");
    let names = names(kafka);
    let topics: Vec<NewTopic<'_>> =
        names.iter().map(|name| NewTopic::new(name, 2, TopicReplication::Fixed(1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for result in admin.create_topics(&topics, &options).await.expect("Kafka answers") {
        result.expect("a topic can be made");
    }
}

/// Does its best: a test that is over has nobody to tell of a failure.
pub(super) fn remove(kafka: &Settings) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let Ok(admin) = kafka.client().create::<AdminClient<DefaultClientContext>>() else { return };
    let names = names(kafka);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // For the broker to note it; the files go later.
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
    let _ = runtime.block_on(admin.delete_topics(&names, &options));
}
