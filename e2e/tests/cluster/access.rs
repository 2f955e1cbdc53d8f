//! Who may do what: every row of the access table (`e2e/actors/`), asked of a real shop by each actor.

mod cast;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::actors::{Actor, Row, With, table};
use e2e::eventually;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use uuid::Uuid;

use self::cast::Cast;
use crate::rules;
use crate::world::World;

/// How long a service may be unavailable.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The owner of most objects comes last: some of its requests consume them.
const ORDER: [Actor; 6] = [
    Actor::Guest,
    Actor::OtherCustomer,
    Actor::Seller,
    Actor::OtherSeller,
    Actor::Admin,
    Actor::Customer,
];

/// Asks all rows; reports all mismatches at once.
pub(crate) async fn is_as_the_table_says(world: World) -> Result<()> {
    let mut cast = Cast::make(&world).await?;
    let rows = table()?;
    let mut mismatches = Vec::new();
    // First, while the token of the demoted administrator is valid: there is no other like it.
    for row in &rows {
        mismatches.extend(ask(&cast, row, Actor::DemotedAdmin).await.err());
    }
    cast.log_in().await?;
    for row in &rows {
        for actor in ORDER {
            mismatches.extend(ask(&cast, row, actor).await.err());
        }
    }
    let mismatches: Vec<String> = mismatches.iter().map(|found| format!("{found:#}")).collect();
    ensure!(mismatches.is_empty(), "{}:\n{}", mismatches.len(), mismatches.join("\n"));
    rules::all_hold(&world).await
}

async fn ask(cast: &Cast, row: &Row, actor: Actor) -> Result<()> {
    let what = || format!("{} {}, {actor}", row.method, row.path);
    let answer = eventually("an answer", TIMEOUT, async || {
        let answer = request(cast, row, actor)?.send().await?;
        ensure!(answer.status() != 503, "it is not available");
        Ok(answer)
    });
    let answer = answer.await.with_context(what)?;
    let (status, expected) = (answer.status().as_u16(), row.expected(actor));
    let text = answer.text().await.with_context(what)?;
    let shown: String = text.chars().take(300).collect();
    let wanted = &expected.statuses;
    ensure!(wanted.contains(&status), "{}: expected {wanted:?}, got {status}: {shown}", what());
    if let Some(slug) = expected.slug(status) {
        let problem: Value = serde_json::from_str(&text).with_context(what)?;
        let is_it = problem["type"] == format!("/problems/{slug}");
        ensure!(is_it, "{}: expected {slug}, got {shown}", what());
    }
    Ok(())
}

fn request(cast: &Cast, row: &Row, actor: Actor) -> Result<reqwest::RequestBuilder> {
    let mut path = row.path.clone();
    for (name, object) in &row.objects {
        path = path.replace(&format!("{{{name}}}"), cast.object(object)?);
    }
    let method: Method = row.method.parse()?;
    let mut request = cast.actor(actor).request_to(method, &path);
    for with in &row.with {
        request = match with {
            With::StaleVersion => request.header("If-Match", "\"0\""),
            With::Key => request.header("Idempotency-Key", Uuid::new_v4().to_string()),
            With::GuestCart => request.header("X-Cart-Token", &cast.guest_cart),
            With::Junk => request.header(CONTENT_TYPE, "image/png").body("no image"),
        };
    }
    if let Some(body) = &row.body {
        let mut body = body.clone();
        for (name, id) in &cast.objects {
            body = body.replace(&format!("\"@{name}\""), &format!("\"{id}\""));
        }
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    Ok(request)
}
