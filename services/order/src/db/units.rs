//! How many units orders want.

use uuid::Uuid;

/// An order and its units.
pub(super) struct Units {
    pub(super) id: Uuid,
    pub(super) units: i64,
}

/// `SELECT` of orders `o` with their units; what follows is the rest of the statement and its arguments.
macro_rules! select_units {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            super::units::Units,
            r#"SELECT o.id, (SELECT coalesce(sum((line ->> 'quantity')::bigint), 0)::bigint
                             FROM jsonb_array_elements(o.lines) line) AS "units!"
               FROM orders o "# + $rest,
            $($argument),+
        )
    };
}
