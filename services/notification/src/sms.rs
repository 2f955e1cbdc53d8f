//! Sending short messages: claimed in the database, handed to a provider by HTTP, settled in the database.
//!
//! Providers differ in their APIs; what most of them, and every gateway that one puts before them, can be told is
//! `POST {"to": "+49…", "text": "…", "id": "…"}` with a bearer token. The id is the message's own and the
//! `Idempotency-Key` too, so that a message whose answer was lost is not sent twice.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use http::header::RETRY_AFTER;
use kit::secret::Secret;
use kit::telemetry::chain;
use reqwest::{Client, Url};
use serde_json::json;
use sqlx::PgPool;

use crate::db::phones::{self, Due};
use crate::delivery::Outcome;
use crate::letter::{Letter, Sender};

/// Messages in one transaction, sent at the same time.
const BATCH: i64 = 8;
/// How long the provider may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The channel.
pub const SMS: &str = "sms";

/// Where short messages go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is posted to.
    pub url: Url,
    /// The bearer token.
    pub token: Secret,
}

/// Sends short messages of one shop.
#[derive(Clone)]
pub struct Texter {
    settings: Settings,
    sender: Sender,
    client: Client,
    pool: PgPool,
}

impl Texter {
    /// Writes for this shop.
    pub fn new(settings: Settings, sender: Sender, pool: PgPool) -> reqwest::Result<Self> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { settings, sender, client, pool })
    }

    /// Sends what is due and tells how much that was.
    pub async fn round(self) -> Result<usize, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let due = phones::due(&mut tx, BATCH).await?;
        let outcomes = join_all(due.iter().map(|message| self.attempt(message))).await;
        for (message, outcome) in due.iter().zip(outcomes) {
            outcome.settle(&mut tx, SMS, message.id).await?;
        }
        tx.commit().await?;
        Ok(due.len())
    }

    async fn attempt(&self, message: &Due) -> Outcome {
        let letter = serde_json::from_value::<Letter>(message.letter.clone());
        let text = letter.as_ref().map(|letter| letter.short(&self.sender));
        let Ok(Some(text)) = text else {
            return Outcome::Dead("the stored letter is no short message".to_owned());
        };
        let id = message.id.to_string();
        let request = self
            .client
            .post(self.settings.url.clone())
            .bearer_auth(self.settings.token.expose())
            .header("Idempotency-Key", &id)
            .json(&json!({ "to": message.number, "text": text, "id": id }));
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Outcome::Sent,
            Ok(answer) => {
                let wait = answer.headers().get(RETRY_AFTER);
                let wait = wait.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
                let status = answer.status();
                let error = format!("the provider answered {status}");
                Outcome::failed(message.attempts, is_refusal(status), error)
                    .no_sooner_than(Duration::from_secs(wait.unwrap_or(0)))
            }
            // Without the address, which may have a password in it.
            Err(error) => Outcome::failed(message.attempts, false, chain(&error.without_url())),
        }
    }
}

/// Whether the provider refuses this message rather than this moment.
fn is_refusal(status: StatusCode) -> bool {
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    // A refused token is no fault of the message.
    let ours = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    status.is_client_error() && !later.contains(&status) && !ours.contains(&status)
}
