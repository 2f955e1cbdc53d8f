//! Asks the catalog who sells the products whose seller no event has named: those from before sellers were kept here,
//! and those that an older version of this service has heard of meanwhile.

use std::error::Error;
use std::time::Duration;

use contracts::proto::catalog::GetProductsRequest;
use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::{ProductId, UserId};
use kit::grpc::Client;
use kit::worker::Wake;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often to look for such products.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Most products in one question; the catalog answers up to 500.
const BATCH_SIZE: i64 = 200;

/// Runs until shutdown.
pub(crate) async fn run(pool: PgPool, catalog: CatalogClient<Client>, stop: CancellationToken) {
    let wake = Wake::default();
    wake.wake();
    wake.run("sellers", POLL_INTERVAL, &stop, || round(pool.clone(), catalog.clone())).await;
}

/// Walks through all of them once: one that the catalog does not know stays without a seller and blocks nothing.
async fn round(
    pool: PgPool,
    mut catalog: CatalogClient<Client>,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let (mut after, mut learned): (Option<Uuid>, usize) = (None, 0);
    loop {
        let mut connection = pool.acquire().await?;
        let ids = crate::db::products_without_seller(&mut connection, after, BATCH_SIZE).await?;
        drop(connection);
        let Some(last) = ids.last() else { return Ok(learned) };
        after = Some(*last);
        let request = GetProductsRequest { ids: ids.iter().map(Uuid::to_string).collect() };
        let products = catalog.get_products(request).await?.into_inner().products;
        let mut sellers = Vec::with_capacity(products.len());
        for product in &products {
            sellers.push((product.id.parse::<ProductId>()?, product.seller_id.parse::<UserId>()?));
        }
        crate::db::set_sellers(&mut *pool.acquire().await?, &sellers).await?;
        learned += sellers.len();
    }
}
