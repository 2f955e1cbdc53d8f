//! Events that come again, late and in no order. A service is made to forget that it has sent them, as one that
//! dies between sending and noting it does; they are sent with the ids, keys and headers of the first time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::eventually;
use crate::invariants::Databases;

/// How long a relay may take to send what it has forgotten.
const PATIENCE: Duration = Duration::from_mins(2);

const ALL: &str = "UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL";
/// One event of an aggregate at a time, or the relay would put them in order.
const SOME: &str = "UPDATE outbox SET published_at = NULL WHERE seq IN (
    SELECT seq FROM (
        SELECT DISTINCT ON (aggregate_type, aggregate_id) seq FROM outbox
        WHERE published_at IS NOT NULL ORDER BY aggregate_type, aggregate_id, random()) picked
    ORDER BY random() LIMIT 100)";
const TYPES: &str = "SELECT type, count(*) FROM outbox GROUP BY type";
const UNSENT: &str = "SELECT 'unsent', count(*) FROM outbox WHERE published_at IS NULL";

/// Every event comes again, those of an aggregate in their order. Returns how many of each type.
pub async fn all(databases: &Databases) -> Result<BTreeMap<String, i64>> {
    let mut sent = BTreeMap::new();
    for service in databases.services() {
        databases.execute(service, ALL).await?;
        sent.extend(databases.counts(service, TYPES).await?);
    }
    arrive(databases).await?;
    Ok(sent)
}

/// Up to a hundred events of each service come again, any that there are: old ones after newer ones.
pub async fn some(databases: &Databases) -> Result<()> {
    for service in databases.services() {
        databases.execute(service, SOME).await?;
    }
    arrive(databases).await
}

/// Waits until all that is to be sent is in Kafka.
async fn arrive(databases: &Databases) -> Result<()> {
    for service in databases.services() {
        eventually(&format!("{service} has sent its events"), PATIENCE, async || {
            let unsent = databases.counts(service, UNSENT).await?;
            ensure!(unsent.iter().all(|(_, count)| *count == 0), "{unsent:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
