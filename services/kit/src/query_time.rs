//! Times in query strings.

use chrono::{DateTime, Utc};
use serde::de::{Deserialize, Deserializer, Error};

/// Reads a time of RFC 3339, for `serde(default, deserialize_with)` of a query's field. A `+` that was not written as
/// `%2B` arrives as a space, and is taken for what was meant.
pub fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(&plus_for_space(&text)).map_err(|_| {
        let example = "2026-01-31T12:00:00Z or 2026-01-31T13:00:00%2B01:00";
        D::Error::custom(format!("{text:?} is no time: write it like {example}"))
    })?;
    Ok(Some(time.to_utc()))
}

/// The space before an offset, which is where a time has no other, is a plus.
fn plus_for_space(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, offset)) if offset.len() == "00:00".len() && time.contains(['T', 't']) => {
            format!("{time}+{offset}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse_query;

    #[derive(Debug, serde::Deserialize)]
    struct Asked {
        #[serde(default, deserialize_with = "optional")]
        from: Option<DateTime<Utc>>,
    }

    fn asked(query: &str) -> Option<String> {
        parse_query::<Asked>(query)
            .ok()
            .map(|asked| asked.from.map(|at| at.to_rfc3339()).unwrap_or_default())
    }

    #[test]
    fn a_plus_is_a_plus_however_it_is_written() {
        let noon = Some("2026-01-31T12:00:00+00:00".to_owned());
        for query in [
            "from=2026-01-31T12:00:00Z",
            "from=2026-01-31T13:00:00%2B01:00",
            "from=2026-01-31T13:00:00+01:00",
            "from=2026-01-31T13:00:00%2001:00",
            "from=2026-01-31T11:00:00-01:00",
        ] {
            assert_eq!(asked(query), noon, "{query}");
        }
        assert_eq!(asked(""), Some(String::new()));
        for query in [
            "from=",
            "from=yesterday",
            "from=2026-01-31",
            "from=2026-01-31T12:00:00",
            "from=%2B262142-01-01T00:00:00Z",
            "from=-0001-01-01T00:00:00Z",
            "from=2026-13-31T12:00:00Z",
        ] {
            assert_eq!(asked(query), None, "{query}");
        }
    }

    #[test]
    fn the_error_shows_how_a_time_is_written_and_where() {
        let problem = parse_query::<Asked>("from=yesterday").unwrap_err().to_string();
        assert!(problem.contains("query parameter from: \"yesterday\" is no time"), "{problem}");
        assert!(problem.contains("write it like 2026-01-31T12:00:00Z"), "{problem}");
    }
}
