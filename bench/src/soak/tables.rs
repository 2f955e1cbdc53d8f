//! Rows of all tables.

use std::collections::BTreeMap;

use anyhow::Result;
use e2e::invariants::Databases;

/// Counts every table of every schema exactly, with its schema's name unless that is `public`.
const COUNTS: &str = "
    SELECT CASE WHEN schemaname = 'public' THEN tablename ELSE schemaname || '.' || tablename END::text,
           (xpath('/row/c/text()', query_to_xml(
               format('SELECT count(*) AS c FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint
    FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";

/// By service and table.
pub(super) async fn rows(databases: &Databases) -> Result<BTreeMap<(String, String), i64>> {
    let mut all = BTreeMap::new();
    for service in databases.services() {
        for (table, rows) in databases.counts(service, COUNTS).await? {
            all.insert((service.to_owned(), table), rows);
        }
    }
    Ok(all)
}
