//! Telephone numbers, and messages that go to them.

use std::time::Duration;

use contracts::{EventId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::letter::Letter;
use crate::phone::destination::Destination;
use crate::sms::SMS;

/// A number as its owner has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// E.164.
    pub number: String,
    /// Whether they have shown that it is theirs.
    pub verified: bool,
}

/// What somebody has to show.
pub struct Asked {
    /// SHA-256 of the code.
    pub code_hash: Vec<u8>,
    /// Whether it is still good.
    pub good: bool,
    /// How often something else was shown.
    pub tries: i32,
}

/// The number of this person.
pub async fn get(tx: &mut PgConnection, user: UserId) -> Result<Option<Phone>> {
    sqlx::query_as!(
        Phone,
        r#"SELECT number, verified_at IS NOT NULL AS "verified!" FROM phones WHERE user_id = $1"#,
        user.uuid(),
    )
    .fetch_optional(tx)
    .await
}

/// A request for a code.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Who.
    pub user: UserId,
    /// Where it is to go.
    pub to: &'a Destination,
    /// The client's network, if it is known.
    pub network: Option<&'a str>,
    /// The IPv6 /48 around it.
    pub site: Option<&'a str>,
    /// Whether the shop has named no countries.
    pub anywhere: bool,
}

/// How many codes were sent within a day.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// To this person in the last hour.
    pub user_in_hour: i64,
    /// To this person.
    pub user: i64,
    /// To this number, by any user.
    pub number: i64,
    /// To numbers of this country; not counted (0) where the shop has named countries.
    pub country: i64,
    /// To any number; not counted (0) where the shop has named countries.
    pub shop: i64,
    /// Asked for from this network.
    pub network: i64,
    /// Asked for from the /48 around it.
    pub site: i64,
}

/// How many codes were sent lately. Others who ask for the same person or number wait until the transaction ends.
pub async fn lately(tx: &mut PgConnection, asking: Asking<'_>) -> Result<Counts> {
    let Asking { user, to, network, site, anywhere } = asking;
    for key in [user.to_string(), to.number.clone()] {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", key)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query_as!(
        Counts,
        r#"SELECT
               (SELECT count(*) FROM phone_codes
                WHERE user_id = $1 AND sent_at > now() - interval '1 hour') AS "user_in_hour!",
               (SELECT count(*) FROM phone_codes
                WHERE user_id = $1 AND sent_at > now() - interval '1 day') AS "user!",
               (SELECT count(*) FROM phone_codes
                WHERE number = $2 AND sent_at > now() - interval '1 day') AS "number!",
               (SELECT count(*) FROM phone_codes
                WHERE $5 AND country = $3 AND sent_at > now() - interval '1 day') AS "country!",
               (SELECT count(*) FROM phone_codes
                WHERE $5 AND sent_at > now() - interval '1 day') AS "shop!",
               (SELECT count(*) FROM phone_codes
                WHERE network = $4 AND sent_at > now() - interval '1 day') AS "network!",
               (SELECT count(*) FROM phone_codes
                WHERE site = $6 AND sent_at > now() - interval '1 day') AS "site!""#,
        user.uuid(),
        to.number,
        to.country,
        network,
        anywhere,
        site,
    )
    .fetch_one(tx)
    .await
}

/// Notes a number that is still to be verified, and the code that is sent to it. What was to be sent to
/// another one is not sent any more.
pub async fn ask(
    tx: &mut PgConnection,
    Asking { user, to, network, site, .. }: Asking<'_>,
    (code, code_hash, lifetime): (&Letter, &[u8], Duration),
) -> Result<()> {
    sqlx::query!(
        "UPDATE messages SET state = 'dead', settled_at = now(), last_error = 'another number'
         WHERE recipient = $1 AND channel = $2 AND state = 'queued'",
        user.uuid(),
        SMS,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO phones (user_id, number, code_hash, code_expires_at)
         VALUES ($1, $2, $3, now() + make_interval(secs => $4))
         ON CONFLICT (user_id) DO UPDATE SET number = $2, verified_at = NULL, code_hash = $3,
             code_expires_at = excluded.code_expires_at, tries = 0, updated_at = now()",
        user.uuid(),
        to.number,
        code_hash,
        lifetime.as_secs_f64(),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO phone_codes (user_id, number, country, network, site)
         VALUES ($1, $2, $3, $4, $5)",
        user.uuid(),
        to.number,
        to.country,
        network,
        site,
    )
    .execute(&mut *tx)
    .await?;
    super::enqueue(tx, SMS, (EventId::new(), user), code).await
}

/// What this person has to show, locked.
pub async fn asked(tx: &mut PgConnection, user: UserId) -> Result<Option<Asked>> {
    sqlx::query_as!(
        Asked,
        r#"SELECT code_hash AS "code_hash!", code_expires_at > now() AS "good!", tries
           FROM phones WHERE user_id = $1 AND code_hash IS NOT NULL FOR UPDATE"#,
        user.uuid(),
    )
    .fetch_optional(tx)
    .await
}

/// Something else was shown.
pub async fn missed(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("UPDATE phones SET tries = tries + 1 WHERE user_id = $1", user.uuid())
        .execute(tx)
        .await?;
    Ok(())
}

/// The number is theirs.
pub async fn verify(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "UPDATE phones SET verified_at = now(), code_hash = NULL, code_expires_at = NULL, tries = 0,
             updated_at = now()
         WHERE user_id = $1",
        user.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets the number, and what was to be sent to it.
pub async fn forget(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("DELETE FROM phones WHERE user_id = $1", user.uuid()).execute(&mut *tx).await?;
    sqlx::query!(
        "DELETE FROM messages WHERE recipient = $1 AND channel = $2 AND state = 'queued'",
        user.uuid(),
        SMS,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues a message to whoever has shown a number, unless they do not want any; once for each event.
pub async fn enqueue(
    tx: &mut PgConnection,
    event: EventId,
    recipient: UserId,
    letter: &Letter,
) -> Result<()> {
    let reachable = get(tx, recipient).await?.is_some_and(|phone| phone.verified);
    if reachable { super::enqueue(tx, SMS, (event, recipient), letter).await } else { Ok(()) }
}

/// A message that is to be sent now.
#[derive(Debug)]
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// How often it was tried.
    pub attempts: i32,
    /// What it says, as it was stored.
    pub letter: serde_json::Value,
    /// Where to.
    pub number: String,
}

/// Messages that are to be sent now, locked for this transaction. To a number that is not verified goes
/// nothing but its code.
pub async fn due(tx: &mut PgConnection, limit: i64) -> Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        "SELECT m.id, m.attempts, m.letter, p.number
         FROM messages m JOIN phones p ON p.user_id = m.recipient
         WHERE m.state = 'queued' AND m.channel = $1
           AND (m.due_at <= now() OR m.due_at > now() + interval '6 hours')
           AND (p.verified_at IS NOT NULL OR m.letter ->> 'kind' = 'phone_code')
         ORDER BY m.due_at LIMIT $2 FOR UPDATE OF m SKIP LOCKED",
        SMS,
        limit,
    )
    .fetch_all(tx)
    .await
}
