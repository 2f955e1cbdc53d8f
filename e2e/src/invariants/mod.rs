//! What must always hold in a shop, read from its databases and not from its answers.
//!
//! 1. What a SKU's movements add up to is its stock, and nothing is negative.
//! 2. Units in paid orders are units that there were.
//! 3. A paid order was charged once and in full; of an order that has ended, nothing was kept; store credit balances.
//! 4. No order is open, or gives back, past its deadline; no reservation and no payment is without its order.
//! 5. Every event took effect at each of its consumers.
//! 6. Histories have legal transitions only.
//!
//! Nothing here shares code with the services: what they compute is what is checked. The databases are read one
//! after another while the shop sells, so a mismatch is a violation only if it stays.

mod databases;
mod events;
mod money;
mod orders;
mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use databases::Databases;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Most violations that are shown.
const SHOWN: usize = 20;

/// The rule that is broken, and by whom: an order, a SKU.
type Culprit = (u8, String);

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// SKUs, orders, payments, and events that were compared.
    pub counts: Counts,
    /// What is wrong, or is still under way.
    pub violations: BTreeMap<Culprit, String>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// SKUs with their movements.
    pub skus: usize,
    /// Orders with their histories.
    pub orders: usize,
    /// Payments with their refunds.
    pub payments: usize,
    /// Events, once for each consumer.
    pub effects: usize,
}

impl Findings {
    fn violation(&mut self, rule: u8, culprit: impl Display, text: impl Into<String>) {
        self.violations.insert((rule, culprit.to_string()), text.into());
    }
}

/// One look at everything.
pub async fn look(databases: &Databases) -> Result<Findings> {
    let mut findings = Findings::default();
    // Whatever follows from an order is read after it.
    let orders = orders::read(databases).await?;
    let (payments, ledger) = money::read(databases).await?;
    let stock = stock::read(databases).await?;
    orders::check(&orders, &mut findings);
    money::check(&orders, &payments, &mut findings);
    money::check_ledger(&ledger, &mut findings);
    stock::check(&orders, &stock, &mut findings);
    events::check(databases, &mut findings).await?;
    Ok(findings)
}

/// Looks until all rules hold at once, or the same violations have stayed for `patience`.
pub async fn hold(databases: &Databases, patience: Duration) -> Result<Counts> {
    let deadline = Instant::now() + patience;
    let mut staying: Option<BTreeSet<Culprit>> = None;
    loop {
        let Findings { counts, violations } = look(databases).await?;
        // What is wrong with them may change while they sell on.
        let mut same = violations;
        same.retain(|culprit, _| staying.as_ref().is_none_or(|before| before.contains(culprit)));
        if same.is_empty() {
            return Ok(counts);
        }
        if Instant::now() >= deadline {
            let line = |((rule, culprit), text): (&Culprit, &String)| {
                format!("rule {rule}: {culprit}: {text}")
            };
            let shown: Vec<String> = same.iter().take(SHOWN).map(line).collect();
            bail!("{} violations, as\n{}", same.len(), shown.join("\n"));
        }
        staying = Some(same.into_keys().collect());
        tokio::time::sleep(PAUSE).await;
    }
}
