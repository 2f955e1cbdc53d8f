//! Keyset pages: a cursor names the last thing that was seen, so that a page costs the same
//! however deep it is, and nothing is shown twice when something is inserted meanwhile.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::{MALFORMED, Problem, Result};

/// Most things on one page.
pub const MAX_LIMIT: u32 = 100;
/// Things on one page unless asked otherwise.
pub const DEFAULT_LIMIT: u32 = 20;

/// Years that a time in a cursor may be in: those of RFC 3339, all of which Postgres knows.
const YEARS: RangeInclusive<i32> = 0..=9999;

/// The part of a list's query that says which page. Flatten the fields into the list's own query
/// type rather than this struct (`serde(flatten)` cannot parse numbers from a query string).
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    pub limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    pub page: Option<u32>,
}

/// Which things to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window<K> {
    /// Key of the last thing on the page before.
    pub after: Option<K>,
    /// Things to skip, when a page was asked for by number.
    pub offset: i64,
    /// Things on this page.
    pub limit: i64,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// Pass as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// Checks the query; `K` is what the list is sorted by, unique per thing.
    pub fn window<K: DeserializeOwned>(&self) -> Result<Window<K>> {
        let malformed = |what: &str| Problem::new(MALFORMED, what);
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(malformed("limit must be from 1 to 100"));
        }
        let after = match &self.cursor {
            None => None,
            Some(_) if self.page.is_some() => {
                return Err(malformed("cursor and page exclude each other"));
            }
            Some(cursor) => {
                Some(key(cursor).ok_or_else(|| malformed("the cursor is not one of ours"))?)
            }
        };
        let page = self.page.unwrap_or(1);
        // Skipping is linear; whoever goes deeper has the cursor.
        if !(1..=1000).contains(&page) {
            return Err(malformed("page must be from 1 to 1000; use cursor to go deeper"));
        }
        let offset = i64::from(page - 1) * i64::from(limit);
        Ok(Window { after, offset, limit: i64::from(limit) })
    }
}

/// Reads a cursor. Clients can write one themselves, so what Postgres would refuse is refused here.
fn key<K: DeserializeOwned>(cursor: &str) -> Option<K> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    if is_storable(&value) { serde_json::from_value(value).ok() } else { None }
}

/// Whether Postgres takes every text and every time in it.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let time = text.parse::<DateTime<Utc>>();
            !text.contains('\0') && time.map_or(true, |time| YEARS.contains(&time.year()))
        }
        Value::Array(items) => items.iter().all(is_storable),
        Value::Object(fields) => fields.values().all(is_storable),
        _ => true,
    }
}

impl<K> Window<K> {
    /// How many rows to fetch: one more than shown tells whether there is a next page.
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Cuts fetched rows to the page.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Page<T>
    where
        K: Serialize,
    {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| {
            let json = serde_json::to_vec(&key(last)).expect("keys are plain values");
            URL_SAFE_NO_PAD.encode(json)
        });
        Page { items: rows, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_leads_to_the_next_page() {
        let window = PageQuery { limit: Some(2), ..PageQuery::default() }.window::<u32>().unwrap();
        let page = window.page(vec![5, 6, 7], |n| *n);
        assert_eq!(page.items, [5, 6]);
        let query = PageQuery { cursor: page.next_cursor, ..PageQuery::default() };
        assert_eq!(query.window::<u32>().unwrap().after, Some(6));
        assert_eq!(window.page(vec![7], |n| *n).next_cursor, None);
    }

    #[test]
    fn cursors_that_postgres_would_refuse_are_refused() {
        type Key = (DateTime<Utc>, String);
        let window = |key: &str| {
            let cursor = Some(URL_SAFE_NO_PAD.encode(key));
            PageQuery { cursor, ..PageQuery::default() }.window::<Key>()
        };
        for forged in [
            r#"["2026-01-01T00:00:00Z", "a\u0000b"]"#,
            r#"["-262143-01-01T00:00:00Z", "a"]"#,
            r#"["+262142-01-01T00:00:00Z", "a"]"#,
            r#"["-4800-01-01T00:00:00+00:00", "a"]"#,
        ] {
            assert_eq!(window(forged).unwrap_err().kind(), MALFORMED, "{forged}");
        }
        let ours = r#"["2026-01-01T00:00:00.000001Z", "a"]"#;
        assert_eq!(window(ours).unwrap().after.unwrap().1, "a");
    }

    #[test]
    fn bad_queries_are_refused() {
        let query = |cursor: Option<&str>, limit, page| {
            PageQuery { cursor: cursor.map(str::to_owned), limit, page }.window::<u32>()
        };
        for bad in [
            query(Some("%%%"), None, None),
            query(Some("e30"), None, None),
            query(Some("NQ"), None, Some(1)),
            query(None, Some(0), None),
            query(None, Some(1_000_000_000), None),
            query(None, None, Some(0)),
        ] {
            assert_eq!(bad.unwrap_err().kind(), MALFORMED);
        }
        assert_eq!(query(None, None, Some(3)).unwrap().offset, 40);
    }
}
