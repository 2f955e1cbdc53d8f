//! Backups of a shop that is busy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backup::cut::Cut;
use backup::{create, restore};
use sqlx::Executor as _;
use sqlx::postgres::PgPool;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{Shop, successor};

/// The tables of every service.
const TABLES: &str = include_str!("../../../kit/migrations/0001_outbox_inbox.up.sql");
const OUTBOX: &str = "INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload)
    VALUES ($1, 'test', $1, 'test', '{}')";
const PUBLISHED: &str = "UPDATE outbox SET published_at = now() WHERE id = $1";
const INBOX: &str = "INSERT INTO inbox (consumer, event_id) VALUES ('test', $1)";

/// Sends events from one database to the other and back until stopped; says how many.
async fn exchange(order: PgPool, user: PgPool, stopped: watch::Receiver<bool>) -> usize {
    let mut events = 0;
    while !*stopped.borrow() {
        for (from, to) in [(&order, &user), (&user, &order)] {
            let id = Uuid::now_v7();
            for (database, statement) in [(from, OUTBOX), (from, PUBLISHED), (to, INBOX)] {
                sqlx::query(statement).bind(id).execute(database).await.unwrap();
            }
            events += 1;
        }
    }
    events
}

async fn ids(pool: &PgPool, query: &'static str) -> BTreeSet<Uuid> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_load_restores_every_event_with_cause_and_effect() {
    let shop = Shop::new().await;
    shop.fill().await;
    let (order, user) = (shop.pool("order").await, shop.pool("user").await);
    for pool in [&order, &user] {
        pool.execute(TABLES).await.unwrap();
    }
    let (end, stopped) = watch::channel(false);
    let senders: Vec<_> = (0..4)
        .map(|_| tokio::spawn(exchange(order.clone(), user.clone(), stopped.clone())))
        .collect();
    let sent = "SELECT count(*) FROM outbox";
    while shop.ask("order", sent).await < 100 {
        tokio::task::yield_now().await;
    }
    let before = shop.ask("order", sent).await;
    let manifest = create::create(&shop.config(&[])).await.unwrap();
    let after = shop.ask("order", sent).await;
    end.send(true).unwrap();
    for sender in senders {
        assert!(sender.await.unwrap() > 0);
    }
    assert!(after > before, "nothing happened during the backup");

    let next = successor(&shop).await;
    let config = next.config(&[("BACKUP_NAME", &manifest.name)]);
    for _ in 0..2 {
        restore::restore(&config).await.unwrap();
    }
    let (first, second) = (next.pool("order").await, next.pool("user").await);
    for (from, to) in [(&first, &second), (&second, &first)] {
        let causes = ids(from, "SELECT id FROM outbox").await;
        let effects = ids(to, "SELECT event_id FROM inbox").await;
        let orphans = effects.difference(&causes).count();
        assert_eq!(orphans, 0, "effects of events that never happened");
        let published = ids(from, "SELECT id FROM outbox WHERE published_at IS NOT NULL").await;
        let lost = published.difference(&effects).count();
        assert_eq!(lost, 0, "events that were published and did not arrive");
        assert!(causes.len() >= 40, "only {} events", causes.len());
        let restored = "SELECT count(*) FROM restorations WHERE backup_at IS NOT NULL
             AND reconciled_at IS NULL";
        let restored: i64 = sqlx::query_scalar(restored).fetch_one(from).await.unwrap();
        assert_eq!(restored, 1, "services see that they have to compare");
    }
    for pool in [order, user, first, second] {
        pool.close().await;
    }
    next.gone().await;
    shop.gone().await;
}

/// Handles events as services do until stopped: the inbox first, the outbox last, in one transaction.
async fn handle_events(
    database: PgPool,
    handled: Arc<AtomicUsize>,
    stopped: watch::Receiver<bool>,
) {
    while !*stopped.borrow() {
        let mut tx = database.begin().await.unwrap();
        sqlx::query(INBOX).bind(Uuid::now_v7()).execute(&mut *tx).await.unwrap();
        tx.execute("SELECT pg_sleep(0.02)").await.unwrap();
        sqlx::query(OUTBOX).bind(Uuid::now_v7()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        handled.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_finds_its_moment_among_busy_event_handlers() {
    let shop = Shop::new().await;
    for service in ["order", "user"] {
        shop.run(service, TABLES).await;
    }
    let (order, user) = (shop.pool("order").await, shop.pool("user").await);
    let (end, stopped) = watch::channel(false);
    let handled = Arc::new(AtomicUsize::new(0));
    let handlers: Vec<_> = (0..16)
        .map(|index| {
            let database = if index % 2 == 0 { &order } else { &user };
            tokio::spawn(handle_events(database.clone(), Arc::clone(&handled), stopped.clone()))
        })
        .collect();
    let count = async |least: usize| {
        while handled.load(Ordering::Relaxed) < least {
            tokio::task::yield_now().await;
        }
    };
    count(32).await;
    // Far fewer attempts than a backup has: with the locks in the other order, none of them succeeds.
    let cut = timeout(Duration::from_secs(45), Cut::take(&shop.config(&[]).databases)).await;
    let cut = cut.expect("the backup is as busy as the shop").unwrap();
    // The shop goes on while the snapshots are read.
    count(handled.load(Ordering::Relaxed) + 32).await;
    cut.release().await;
    end.send(true).unwrap();
    for handler in handlers {
        handler.await.unwrap();
    }
    order.close().await;
    user.close().await;
    shop.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_waits_for_an_open_transaction_without_stopping_the_shop() {
    let shop = Shop::new().await;
    for service in ["order", "user"] {
        shop.run(service, TABLES).await;
    }
    let order = shop.pool("order").await;
    let mut open = order.begin().await.unwrap();
    sqlx::query(OUTBOX).bind(Uuid::now_v7()).execute(&mut *open).await.unwrap();
    let config = shop.config(&[]);
    let backup = tokio::spawn(async move { create::create(&config).await });
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation \
        WHERE relname = 'outbox' AND NOT granted AND mode = 'ShareLock' \
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let queued = async {
        while shop.ask("order", waiting).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), queued).await.expect("the backup waits for the transaction");
    // Others write as soon as the backup has given up its place in the queue.
    sqlx::query(OUTBOX).bind(Uuid::now_v7()).execute(&order).await.unwrap();
    assert!(!backup.is_finished());
    open.commit().await.unwrap();
    let manifest = backup.await.unwrap().unwrap();

    let next = successor(&shop).await;
    restore::restore(&next.config(&[("BACKUP_NAME", &manifest.name)])).await.unwrap();
    assert_eq!(next.ask("order", "SELECT count(*) FROM outbox").await, 2);
    order.close().await;
    next.gone().await;
    shop.gone().await;
}
