//! How a product is deleted: each step changes the row, tells the others and lets go of the cached
//! product, all in the caller's transaction. The rules are in [`crate::deletion`].

use std::sync::LazyLock;

use contracts::ProductId;
use contracts::events::{ProductDeleted, ProductDeletionRequested, ProductDeletionWithdrawn};
use kit::metric;
use kit::outbox::Outbox;
use prometheus::IntCounterVec;
use sqlx::PgConnection;

use crate::cache::Cache;
use crate::db;
use crate::deletion::{Answer, Reason, Request};
use crate::product::Product;

static DELETIONS: LazyLock<IntCounterVec> = metric!(
    counter,
    "product_deletions_total",
    "Deletions of products that have ended, by outcome (deleted, in_use, no_answer).",
    &["outcome"]
);

/// What inventory says about a product that is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing of it is held, and nothing will be.
    Retired,
    /// So many units are held.
    InUse(i64),
}

/// Takes the steps.
#[derive(Clone)]
pub(crate) struct Deleting {
    outbox: Outbox,
    cache: Cache,
}

impl Deleting {
    /// Tells the others through this outbox, and this cache of what it has to forget.
    pub(crate) fn new(outbox: Outbox, cache: Cache) -> Self {
        Self { outbox, cache }
    }

    /// Asks inventory whether a product, which is locked, may be deleted; until then it is not on sale.
    /// Returns it as stored; none: inventory owes the answer to an earlier request.
    pub(crate) async fn begin(
        &self,
        tx: &mut PgConnection,
        product: Product,
    ) -> Result<Option<Product>, sqlx::Error> {
        let earlier = db::deletion_request(tx, product.id).await?;
        if earlier.as_ref().is_some_and(Request::is_unanswered) {
            return Ok(None);
        }
        db::begin_deletion(tx, product.id, product.on_sale).await?;
        let stored = self.put_on_sale(tx, product, false).await?;
        let skus = db::skus_of(tx, stored.id).await?;
        let requested = ProductDeletionRequested { product_id: stored.id, skus };
        self.outbox.append(tx, &requested).await?;
        Ok(Some(stored))
    }

    /// Does what inventory's answer asks for.
    pub(crate) async fn answered(
        &self,
        tx: &mut PgConnection,
        id: ProductId,
        verdict: Verdict,
    ) -> Result<(), sqlx::Error> {
        let product = db::lock(tx, id).await?;
        let request = db::deletion_request(tx, id).await?;
        let (Some(product), Some(request)) = (product, request) else {
            tracing::warn!(product_id = %id, ?verdict, "an answer about no product that we know");
            return Ok(());
        };
        let answer = request.answer();
        if answer == Answer::Unasked {
            tracing::warn!(product_id = %id, ?verdict, "an answer to what nobody has asked");
            return Ok(());
        }
        db::deletion_answered(tx, id).await?;
        match (answer, verdict) {
            (Answer::Awaited, Verdict::Retired) => self.delete(tx, &product).await,
            (Answer::Awaited, Verdict::InUse(reserved)) => {
                self.restore(tx, product, request, Reason::InUse, Some(reserved)).await
            }
            // What inventory has retired it has been told to put back.
            (Answer::Late | Answer::Unasked, _) => Ok(()),
        }
    }

    /// Gives up the deletion of a product: inventory has not answered in time.
    pub(crate) async fn give_up(
        &self,
        tx: &mut PgConnection,
        id: ProductId,
    ) -> Result<(), sqlx::Error> {
        let product = db::lock(tx, id).await?;
        // The answer may have come between the look at the deadline and the lock.
        let request = db::deletion_request(tx, id).await?.filter(Request::is_under_way);
        if let (Some(product), Some(request)) = (product, request) {
            self.restore(tx, product, request, Reason::NoAnswer, None).await?;
        }
        Ok(())
    }

    async fn delete(&self, tx: &mut PgConnection, product: &Product) -> Result<(), sqlx::Error> {
        let id = product.id;
        let skus = db::skus_of(tx, id).await?;
        db::delete(tx, id).await?;
        self.outbox.append(tx, &ProductDeleted { product_id: id, skus }).await?;
        self.cache.invalidate(id, product.version + 1).await;
        DELETIONS.with_label_values(&["deleted"]).inc();
        tracing::info!(product_id = %id, "a product was deleted");
        Ok(())
    }

    async fn restore(
        &self,
        tx: &mut PgConnection,
        product: Product,
        request: Request,
        reason: Reason,
        reserved: Option<i64>,
    ) -> Result<(), sqlx::Error> {
        let id = product.id;
        db::withdraw_deletion(tx, id, reason, reserved).await?;
        self.put_on_sale(tx, product, request.on_sale).await?;
        let skus = db::skus_of(tx, id).await?;
        self.outbox.append(tx, &ProductDeletionWithdrawn { product_id: id, skus }).await?;
        let outcome = if reason == Reason::InUse { "in_use" } else { "no_answer" };
        DELETIONS.with_label_values(&[outcome]).inc();
        tracing::info!(product_id = %id, outcome, "the deletion of a product was withdrawn");
        Ok(())
    }

    /// Stores whether a product is on sale, and returns it as it is then.
    async fn put_on_sale(
        &self,
        tx: &mut PgConnection,
        product: Product,
        on_sale: bool,
    ) -> Result<Product, sqlx::Error> {
        let id = product.id;
        let stored = db::update(tx, Product { on_sale, ..product }).await?;
        self.cache.invalidate(id, stored.version).await;
        db::find(tx, id).await?.ok_or(sqlx::Error::RowNotFound)
    }
}
