//! The databases of a shop, as their Secrets name them.

use std::str::FromStr;

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use crate::kubectl::{Forward, Kubectl};

/// Port of the bundled Postgres.
const POSTGRES: u16 = 5432;

/// The databases that the rules are about. A forwarded port to a bundled Postgres lives as long.
#[derive(Debug)]
pub struct Databases {
    pools: Vec<(&'static str, PgPool)>,
    _forward: Option<Forward>,
}

/// Services that write or hear of events.
const SERVICES: [&str; 7] =
    ["user", "catalog", "order", "payment", "inventory", "review", "notification"];

impl Databases {
    /// Connects to the databases of this shop: to a bundled Postgres through a forwarded port, to an external one as
    /// its URL says.
    pub async fn of(kubectl: &Kubectl, shop: &str) -> Result<Self> {
        let bundled = format!("service/{shop}-postgres");
        let forward = match kubectl.get(&[&bundled]).await {
            Ok(_) => Some(kubectl.forward(&bundled, POSTGRES).await?),
            Err(_) => None,
        };
        let mut pools = Vec::new();
        for service in SERVICES {
            let Some(url) = url(kubectl, shop, service).await? else { continue };
            let mut options = PgConnectOptions::from_str(&url)?;
            if let Some(forward) = &forward {
                options = moved(options, forward)?;
            }
            let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
            pools.push((service, pool));
        }
        Ok(Self { pools, _forward: forward })
    }

    /// Services of the shop that have a database.
    pub fn services(&self) -> impl Iterator<Item = &'static str> {
        self.pools.iter().map(|(service, _)| *service)
    }

    /// Changes a service's database behind its back, to see that it is noticed; returns how many rows that were.
    pub async fn execute(&self, service: &str, statement: &'static str) -> Result<u64> {
        Ok(sqlx::query(statement).execute(self.pool(service)?).await?.rows_affected())
    }

    /// A single number from a service's database.
    pub async fn number(&self, service: &str, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.pool(service)?).await?)
    }

    /// What a service's database counts: names, and how often each is there.
    pub async fn counts(
        &self,
        service: &str,
        question: &'static str,
    ) -> Result<Vec<(String, i64)>> {
        Ok(sqlx::query_as(question).fetch_all(self.pool(service)?).await?)
    }

    fn pool(&self, service: &str) -> Result<&PgPool> {
        let found = self.pools.iter().find(|(name, _)| *name == service);
        let (_, pool) = found.with_context(|| format!("there is no database of {service}"))?;
        Ok(pool)
    }

    /// A service's database as it is at this moment, for reading.
    pub(super) async fn snapshot(&self, service: &str) -> Result<Transaction<'static, Postgres>> {
        let pool = self.pool(service)?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        pool.begin_with(begin).await.with_context(|| format!("the database of {service}"))
    }
}

/// The URL of a service's database; none if the shop runs without the service.
async fn url(kubectl: &Kubectl, shop: &str, service: &str) -> Result<Option<String>> {
    let secret = format!("{shop}-{service}-database");
    let list =
        kubectl.get(&["secrets", "--field-selector", &format!("metadata.name={secret}")]).await?;
    if list["items"].as_array().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    let template = "go-template={{index .data \"url\" | base64decode}}";
    kubectl.run(&["get", "secret", &secret, "-o", template]).await.map(Some)
}

fn moved(options: PgConnectOptions, forward: &Forward) -> Result<PgConnectOptions> {
    let address = forward.url.trim_start_matches("http://");
    let (host, port) = address.rsplit_once(':').context("a forwarded port has a number")?;
    Ok(options.host(host.trim_matches(['[', ']'])).port(port.parse()?))
}
