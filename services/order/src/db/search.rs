//! Orders that staff look for.

use contracts::events::{OrderLine, OrderSource};
use contracts::{OrderId, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Row;
use crate::event::{Fulfilment, Payment, Reason, State};
use crate::order::Order;
use crate::search::Filter;

/// A page of the orders that fit the filter, newest first. Wants a transaction.
pub async fn search(
    connection: &mut PgConnection,
    filter: &Filter,
    window: &Window<OrderId>,
) -> Result<Vec<Order>, sqlx::Error> {
    // After some calls Postgres may settle on one plan for whatever is asked, and that can use no
    // index. To plan anew costs less than a millisecond.
    sqlx::query!("SET LOCAL plan_cache_mode = force_custom_plan").execute(&mut *connection).await?;
    let rows = select_orders!(
        "WHERE ($1::text IS NULL OR state = $1)
           AND ($2::uuid IS NULL OR user_id = $2)
           AND ($3::jsonb IS NULL OR lines @> $3)
           AND ($4::timestamptz IS NULL OR created_at >= $4)
           AND ($5::timestamptz IS NULL OR created_at < $5)
           AND ($6::bigint IS NULL OR total >= $6)
           AND ($7::bigint IS NULL OR total <= $7)
           AND ($8::uuid IS NULL OR id >= $8)
           AND ($9::uuid IS NULL OR id < $9)
         ORDER BY id DESC OFFSET $10 LIMIT $11",
        filter.state as Option<State>,
        filter.user.map(UserId::uuid),
        filter.line(),
        filter.placed_from,
        filter.placed_before,
        filter.total_min,
        filter.total_max,
        filter.ids().0,
        filter.end(window.after),
        window.offset,
        window.fetch(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Order::try_from).collect()
}
