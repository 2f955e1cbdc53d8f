//! Registrations reveal whether an address has an account: they are limited, and its owner is notified.

use contracts::UserId;
use contracts::events::RegistrationAttempted;
use kit::testing::Running;
use serde_json::json;
use user::throttle::MAX_REGISTRATIONS;

use crate::{PASSWORD, register, start};

async fn registered_from(service: &Running, address: &str, email: &str) -> reqwest::Response {
    let request = service.request("POST", "/api/v1/auth/register");
    let request = request.header("X-Forwarded-For", address);
    request.json(&json!({ "email": email, "password": PASSWORD })).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_registers_a_few_times_an_hour() {
    let service = start().await;
    register(&service, "ada@example.com").await;
    for n in 0..MAX_REGISTRATIONS {
        // Whatever comes of them.
        let (email, status) = match n {
            0 => ("ada@example.com".to_owned(), 409),
            n => (format!("user{n}@example.com"), 201),
        };
        let answer = registered_from(&service, "203.0.113.1", &email).await;
        assert_eq!(answer.status().as_u16(), status, "{n}");
    }
    for email in ["ada@example.com", "new@example.com"] {
        let refused = registered_from(&service, "203.0.113.1", email).await;
        let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(refused.status() == 429 && (1..=3600).contains(&seconds), "{refused:?}");
    }
    let elsewhere = registered_from(&service, "203.0.113.2", "new@example.com").await;
    assert_eq!(elsewhere.status(), 201);
    // Everybody may be behind a private address.
    for n in 0..=MAX_REGISTRATIONS {
        let answer = registered_from(&service, "10.0.0.1", &format!("p{n}@example.com")).await;
        assert_eq!(answer.status(), 201, "{n}");
    }
    let metrics = service.metrics().await;
    for reason in ["limited", "taken"] {
        let figure = format!("registrations_refused_total{{reason=\"{reason}\"}} ");
        assert!(metrics.contains(&figure), "{metrics}");
    }
    sqlx::query("UPDATE attempts SET first_at = first_at - interval '1 hour'")
        .execute(service.pool())
        .await
        .unwrap();
    let later = registered_from(&service, "203.0.113.1", "later@example.com").await;
    assert_eq!(later.status(), 201, "an hour later");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_an_address_is_notified_once_a_day() {
    let service = start().await;
    let account = register(&service, "ada@example.com").await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    for _ in 0..3 {
        let answer = registered_from(&service, "10.0.0.1", " ADA@example.com").await;
        assert_eq!(answer.status(), 409);
    }
    service.published::<RegistrationAttempted>(user.uuid()).await;
    let events = "SELECT count(*) FROM outbox WHERE type LIKE '%registration_attempted%'";
    let events: i64 = sqlx::query_scalar(events).fetch_one(service.pool()).await.unwrap();
    assert_eq!(events, 1);
}
