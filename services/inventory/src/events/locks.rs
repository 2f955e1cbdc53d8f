//! What events lock that share a transaction.

use async_trait::async_trait;
use contracts::Sku;
use kit::inbox::Lock;
use kit::subscription::{HandlerError, Taken};
use serde::Deserialize;
use sqlx::PgConnection;

use crate::db;

/// Locks the reservations and the stock of all events, in the order of [`db`].
pub(super) struct Locks;

/// Where the events of orders and of products name SKUs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    lines: Vec<Line>,
    variants: Vec<Line>,
    sku: Option<Sku>,
    skus: Vec<Sku>,
}

#[derive(Deserialize)]
struct Line {
    sku: Sku,
}

#[async_trait]
impl Lock for Locks {
    async fn lock(&self, tx: &mut PgConnection, taken: &[Taken]) -> Result<(), HandlerError> {
        // An order or a product: no id is both.
        let subjects: Vec<_> = taken.iter().map(|taken| taken.record.subject).collect();
        let mut skus = Vec::new();
        for taken in taken {
            let named: Named = serde_json::from_slice(&taken.record.payload).unwrap_or_default();
            let lines = named.lines.into_iter().chain(named.variants).map(|line| line.sku);
            skus.extend(lines.chain(named.sku).chain(named.skus).map(String::from));
        }
        db::lock_all(tx, &subjects, &skus).await?;
        Ok(())
    }
}
