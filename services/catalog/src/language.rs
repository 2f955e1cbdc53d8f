//! The language that products are searched in. Products that are indexed in another one, because the shop has changed its
//! language, are indexed again; until then, some words do not find them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::search::SearchLanguage;
use kit::worker::Wake;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::db;

/// How often to look for products to index. One look costs a short index scan.
const POLL: Duration = Duration::from_secs(10);
/// Products indexed in one transaction: their sellers wait for it.
const BATCH: i64 = 50;

/// Sets the language once, then indexes until stopped. Of two versions that are rolled out, the one that started last
/// has its language; any number of replicas may index at once.
pub(crate) async fn run(pool: PgPool, language: SearchLanguage, stop: CancellationToken) {
    let (wake, is_set) = (Wake::default(), AtomicBool::new(false));
    wake.wake();
    let round = || async {
        let mut connection = pool.acquire().await?;
        if !is_set.load(Ordering::Relaxed) {
            db::set_search_language(&mut connection, language.as_str()).await?;
            is_set.store(true, Ordering::Relaxed);
        }
        db::reindex(&mut connection, BATCH).await
    };
    wake.run("search language", POLL, &stop, round).await;
}
