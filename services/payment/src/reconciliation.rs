//! Compares the shop's payments with what providers know and what orders have to know. A shop that was restored from a
//! backup knows nothing of what happened after it. What can be repaired is; the rest is for people.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::Money;
use contracts::events::{PaymentCaptured, PaymentFailed, PaymentRefunded};
use kit::outbox::{Letter, Outbox};
use kit::restorations;
use sqlx::PgPool;

use crate::db::reconciliation::{self as db, Charged, Refunded};
use crate::provider::{BookedCharge, BookedStatus, PaymentProvider, Providers, Unknown};
use crate::worker::measured;

/// What a provider's clock may be behind the database's.
const SLACK: TimeDelta = TimeDelta::hours(1);
/// How far behind orders may have been at the time of the backup.
const PUBLISHED_AGAIN: TimeDelta = TimeDelta::days(1);
/// What a database is compared from that was not restored, or by hand.
const WITHOUT_BACKUP: TimeDelta = TimeDelta::days(7);
/// Payments in one transaction.
const BATCH: i64 = 500;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Charges in the books of providers.
    pub charges: usize,
    /// Those that payments were captured by, and now are.
    pub captured: usize,
    /// Refunds that were taken over from the books.
    pub refunds: usize,
    /// Refunds of these orders cannot be taken over yet: others are under way.
    pub busy: Vec<String>,
    /// Payments whose outcome was published again.
    pub published: usize,
    /// What people have to look at, a line each.
    pub findings: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { charges, captured, refunds, published, busy, findings } = self;
        writeln!(f, "{charges} charges of providers were compared")?;
        writeln!(f, "{captured} captures that were not known are known now")?;
        writeln!(f, "{refunds} refunds that were not known are known now")?;
        for order in busy {
            writeln!(f, "order {order}: a refund is under way; run this again when it has ended")?;
        }
        writeln!(f, "the outcome of {published} payments was published again")?;
        write!(f, "{} charges are for people to look at", findings.len())?;
        findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Compares everything. Any number of times, and beside a shop that sells.
#[derive(Clone, Copy, Debug)]
pub struct Reconciliation<'a> {
    /// Where payments are.
    pub pool: &'a PgPool,
    /// Where events of payments go.
    pub outbox: &'a Outbox,
    /// Who has other books.
    pub providers: &'a Providers,
}

impl Reconciliation<'_> {
    /// Compares what has happened since the backup that the shop was restored from.
    pub async fn since_backup(&self) -> Result<Report, Unknown> {
        let backup = restorations::last(&mut *self.pool.acquire().await?).await?;
        self.since(backup.unwrap_or_else(|| Utc::now() - WITHOUT_BACKUP)).await
    }

    /// Compares what has happened since then.
    pub async fn since(&self, backup: DateTime<Utc>) -> Result<Report, Unknown> {
        let mut report = Report::default();
        for name in self.providers.names() {
            let provider = self.providers.get(name)?;
            self.charges(provider, backup - SLACK, &mut report).await?;
            self.refunds(provider, backup - SLACK, &mut report).await?;
        }
        if report.busy.is_empty() {
            report.published = self.publish_outcomes(backup - PUBLISHED_AGAIN).await?;
        }
        Ok(report)
    }

    async fn charges(
        &self,
        provider: &dyn PaymentProvider,
        since: DateTime<Utc>,
        report: &mut Report,
    ) -> Result<(), Unknown> {
        let mut after: Option<String> = None;
        loop {
            let page = provider.charges_since(since, after.as_deref());
            let page = measured(provider, "list_charges", page).await?;
            for booked in &page.items {
                report.charges += 1;
                match booked.status {
                    BookedStatus::Captured => self.captured(provider, booked, report).await?,
                    BookedStatus::Open => self.open(provider, booked, report).await?,
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn captured(
        &self,
        provider: &dyn PaymentProvider,
        booked: &BookedCharge,
        report: &mut Report,
    ) -> Result<(), Unknown> {
        let mut tx = self.pool.begin().await?;
        match db::charge(&mut tx, provider.name(), booked).await? {
            Charged::Captured { order: order_id, amount } => {
                let event = PaymentCaptured { order_id, payment_id: booked.key.into(), amount };
                self.outbox.append(&mut tx, &event).await?;
                tx.commit().await?;
                report.captured += 1;
            }
            Charged::Known => {}
            Charged::Second | Charged::Unknown if booked.refunded >= booked.amount.amount => {}
            Charged::Second => {
                let why = "its order is paid by another charge, or has another total";
                report.findings.push(finding(provider, booked, why));
            }
            Charged::Unknown => {
                report.findings.push(finding(provider, booked, "the shop does not know its order"));
            }
        }
        Ok(())
    }

    /// What the shop knows it asks about itself.
    async fn open(
        &self,
        provider: &dyn PaymentProvider,
        booked: &BookedCharge,
        report: &mut Report,
    ) -> Result<(), Unknown> {
        if !db::is_known(&mut *self.pool.acquire().await?, booked.key).await? {
            let why = "the shop does not know its order, and it may still be captured";
            report.findings.push(finding(provider, booked, why));
        }
        Ok(())
    }

    async fn refunds(
        &self,
        provider: &dyn PaymentProvider,
        since: DateTime<Utc>,
        report: &mut Report,
    ) -> Result<(), Unknown> {
        let mut after: Option<String> = None;
        loop {
            let page = provider.refunds_since(since, after.as_deref());
            let page = measured(provider, "list_refunds", page).await?;
            for booked in &page.items {
                let mut tx = self.pool.begin().await?;
                match db::refund(&mut tx, provider.name(), booked).await? {
                    Refunded::Known => {}
                    Refunded::Busy { order } => report.busy.push(order.to_string()),
                    Refunded::Recorded { order: order_id, payment: payment_id, total } => {
                        let (amount, refunded_total) = (booked.amount, Some(total));
                        let event =
                            PaymentRefunded { order_id, payment_id, amount, refunded_total };
                        self.outbox.append(&mut tx, &event).await?;
                        tx.commit().await?;
                        report.refunds += 1;
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Orders that know an outcome ignore it. Those that have ended without it give the money back.
    async fn publish_outcomes(&self, since: DateTime<Utc>) -> Result<usize, sqlx::Error> {
        let (mut after, mut published) = (db::first_id(since), 0);
        loop {
            let mut tx = self.pool.begin().await?;
            let outcomes = db::outcomes(&mut tx, after, BATCH).await?;
            let Some(last) = outcomes.last() else { return Ok(published) };
            after = last.payment.uuid();
            published += outcomes.len();
            let events = outcomes.into_iter().map(|outcome| {
                let (order_id, payment_id) = (outcome.order, outcome.payment);
                if let Some(amount) = outcome.captured {
                    return Letter::new(&PaymentCaptured { order_id, payment_id, amount });
                }
                let reason = outcome.failure_reason.unwrap_or_default();
                Letter::new(&PaymentFailed { order_id, payment_id, reason })
            });
            self.outbox.append_all(&mut tx, events.collect::<Result<_, _>>()?).await?;
            tx.commit().await?;
        }
    }
}

fn finding(provider: &dyn PaymentProvider, booked: &BookedCharge, why: &str) -> String {
    let BookedCharge { reference, amount, created_at, .. } = booked;
    let order = booked.order.map_or_else(|| "unknown".to_owned(), |order| order.to_string());
    let at = created_at.format("%Y-%m-%d %H:%M UTC");
    let refunded = Money::new(booked.refunded, amount.currency);
    let name = provider.name();
    format!("{name} {reference}: {amount} for order {order} at {at}, {refunded} refunded: {why}")
}
