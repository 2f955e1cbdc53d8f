//! What is said against reviews, and what administrators decide.

use contracts::ReviewId;
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Row;
use crate::review::{Reason, Report, Reported, Review};

/// Stores what somebody has said against a review, which is to be locked; the review is to be decided
/// upon once more. Returns the report as stored.
pub async fn insert_report(
    connection: &mut PgConnection,
    report: Report,
) -> Result<Report, sqlx::Error> {
    let created_at = sqlx::query_scalar!(
        "INSERT INTO reports (id, review_id, user_id, reason, text) VALUES ($1, $2, $3, $4, $5)
         RETURNING created_at",
        report.id,
        report.review_id.uuid(),
        report.user_id.uuid(),
        report.reason as Reason,
        report.text,
    )
    .fetch_one(&mut *connection)
    .await?;
    // Clocks of replicas differ; the list goes by the greatest id.
    sqlx::query!(
        "UPDATE reviews SET latest_report = greatest(latest_report, $2), decided = false
         WHERE id = $1",
        report.review_id.uuid(),
        report.id,
    )
    .execute(connection)
    .await?;
    Ok(Report { created_at, ..report })
}

/// What an administrator decides about a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Only its author and administrators are to see it.
    Hide,
    /// Everybody is to see it.
    Show,
}

/// Stores whether a review is hidden, and that somebody has decided so. Only another state than
/// before makes another version. Returns the review as stored.
pub async fn set_hidden(
    connection: &mut PgConnection,
    id: ReviewId,
    decided: Decided,
) -> Result<Review, sqlx::Error> {
    let stored = rows!(
        "UPDATE reviews
         SET hidden_at = CASE WHEN $2 THEN coalesce(hidden_at, now()) END, decided = true,
             version = version + CASE WHEN (hidden_at IS NOT NULL) = $2 THEN 0 ELSE 1 END
         WHERE id = $1
         RETURNING",
        "",
        id.uuid(),
        decided == Decided::Hide,
    );
    Ok(stored.fetch_one(connection).await?.into())
}

/// A page of the reviews that were reported, the latest report first: those that an administrator has
/// decided upon since, or those that wait for one.
pub async fn reported(
    connection: &mut PgConnection,
    decided: bool,
    window: &Window<Uuid>,
) -> Result<Vec<Reported>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, product_id, user_id, rating, title, text, answer, answered_by, answered_at,
               answer_updated_at, hidden_at IS NOT NULL AS "hidden!", version, created_at,
               updated_at, latest_report AS "latest_report!", told.reports AS "reports!",
               told.reasons AS "reasons!: Vec<Reason>"
           FROM reviews, LATERAL (
               SELECT count(*) AS reports, array_agg(DISTINCT reason) AS reasons
               FROM reports WHERE review_id = reviews.id
           ) AS told
           WHERE latest_report IS NOT NULL AND decided = $1
             AND ($2::uuid IS NULL OR latest_report < $2)
           ORDER BY latest_report DESC LIMIT $3 OFFSET $4"#,
        decided,
        window.after,
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
    .await?;
    let reported = rows.into_iter().map(|row| Reported {
        review: Review::from(Row {
            id: row.id.into(),
            product_id: row.product_id.into(),
            user_id: row.user_id.into(),
            rating: row.rating,
            title: row.title,
            text: row.text,
            answer: row.answer,
            answered_by: row.answered_by,
            answered_at: row.answered_at,
            answer_updated_at: row.answer_updated_at,
            hidden: row.hidden,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }),
        reports: row.reports,
        reasons: row.reasons,
        latest_report: row.latest_report,
    });
    Ok(reported.collect())
}

/// A page of what was said against a review, the latest first.
pub async fn reports(
    connection: &mut PgConnection,
    review: ReviewId,
    window: &Window<Uuid>,
) -> Result<Vec<Report>, sqlx::Error> {
    sqlx::query_as!(
        Report,
        r#"SELECT id, review_id, user_id, reason AS "reason: Reason", text, created_at
           FROM reports WHERE review_id = $1 AND ($2::uuid IS NULL OR id < $2)
           ORDER BY id DESC LIMIT $3 OFFSET $4"#,
        review.uuid(),
        window.after,
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
    .await
}
