//! Means of payment that shoppers keep.

use chrono::{TimeDelta, Utc};
use contracts::UserId;
use contracts::events::{EmailVerified, PaymentCaptured, PaymentFailed};
use kit::auth::Role;
use kit::testing::{Running, eventually, refuse_large_statements};
use payment::Payment;
use serde_json::{Value, json};

use crate::world::{reserved, send, until};

const PATH: &str = "/api/v1/payment-methods";

async fn save(running: &Running, user: UserId, body: Value) -> (u16, Value) {
    send(running.request_as(user, &[Role::Customer], "POST", PATH).json(&body)).await
}

async fn all(running: &Running, user: UserId) -> Vec<Value> {
    let (status, page) = send(running.request_as(user, &[Role::Customer], "GET", PATH)).await;
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_order_is_paid_with_a_method_that_was_kept() {
    let running = Running::start::<Payment>(&[]).await;
    let mut order = reserved("", 10);
    let token = json!({ "token": "tok_visa", "label": "mine" });
    let (status, method) = save(&running, order.user_id, token).await;
    assert_eq!(status, 201, "{method}");
    assert_eq!((&method["brand"], &method["last4"]), (&json!("visa"), &json!("4242")));
    assert_eq!((&method["is_default"], &method["label"]), (&json!(true), &json!("mine")));
    order.payment_token = method["payment_token"].as_str().unwrap().to_owned();
    running.publish(&order).await;
    let _: PaymentCaptured = running.published(order.order_id.uuid()).await;
    let mut another = reserved("method_default", 20);
    another.user_id = order.user_id;
    running.publish(&another).await;
    until(running.pool(), another.order_id, "captured").await;
}

#[tokio::test]
async fn a_method_of_somebody_else_pays_nothing() {
    let running = Running::start::<Payment>(&[]).await;
    let (owner, thief) = (UserId::new(), UserId::new());
    let (_, method) = save(&running, owner, json!({ "token": "tok_visa" })).await;
    let foreign = method["payment_token"].as_str().unwrap();
    for token in [foreign, "method_default", "method_00000000-0000-7000-8000-000000000000"] {
        let mut order = reserved(token, 10);
        order.user_id = thief;
        running.publish(&order).await;
        let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
        assert_eq!(failed.reason, "unknown_payment_method", "{token}");
    }
    let path = format!("{PATH}/{}", method["id"].as_str().unwrap());
    let remove = running.request_as(thief, &[Role::Customer], "DELETE", &path);
    assert_eq!(send(remove).await.0, 404);
    assert_eq!((all(&running, owner).await.len(), all(&running, thief).await.len()), (1, 0));
    let remove = running.request_as(owner, &[Role::Customer], "DELETE", &path);
    assert_eq!(send(remove).await.0, 204);
    // What is gone pays nothing either.
    let mut order = reserved(foreign, 10);
    order.user_id = owner;
    running.publish(&order).await;
    let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
    assert_eq!(failed.reason, "unknown_payment_method");
}

#[tokio::test]
async fn of_all_methods_one_is_the_default() {
    let running = Running::start::<Payment>(&[]).await;
    let user = UserId::new();
    let default = async || {
        let methods = all(&running, user).await;
        let mut defaults = methods.iter().filter(|method| method["is_default"] == true);
        let default = defaults.next().map(|method| method["id"].clone());
        assert!(defaults.next().is_none(), "{methods:?}");
        default
    };
    let id = |(_, method): (u16, Value)| method["id"].clone();
    let first = id(save(&running, user, json!({ "token": "tok_visa" })).await);
    let second = id(save(&running, user, json!({ "token": "tok_timeout" })).await);
    assert_eq!(default().await, Some(first.clone()));
    let again = json!({ "token": "tok_timeout", "is_default": true });
    assert_eq!(id(save(&running, user, again).await), second, "the same token is the same method");
    assert_eq!(default().await, Some(second.clone()));
    let third = id(save(&running, user, json!({ "token": "tok_action" })).await);
    let path = format!("{PATH}/{}", second.as_str().unwrap());
    let remove = running.request_as(user, &[Role::Customer], "DELETE", &path);
    assert_eq!(send(remove).await.0, 204);
    assert_eq!(default().await, Some(third));
    assert_eq!(all(&running, user).await.len(), 2);
}

#[tokio::test]
async fn no_card_number_is_kept() {
    let running = Running::start::<Payment>(&[]).await;
    let user = UserId::new();
    for (body, pointer) in [
        (json!({ "token": "4111111111111111" }), "/token"),
        (json!({ "token": "tok_unheard_of" }), "/token"),
        (json!({ "token": "pm_1A" }), "/token"),
        (json!({ "token": "credit" }), "/token"),
        (json!({ "token": "method_default" }), "/token"),
        (json!({ "token": "tok_visa", "label": "4111 1111 1111 1111" }), "/label"),
        (json!({ "token": "tok_visa", "label": " " }), "/label"),
    ] {
        let (status, problem) = save(&running, user, body.clone()).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
        assert!(!problem.to_string().contains("4111"), "{problem}");
    }
    for field in ["number", "cvv", "cvc"] {
        let body = json!({ "token": "tok_visa", field: "123" });
        assert_eq!(save(&running, user, body).await.0, 422, "{field}");
    }
    assert_eq!(all(&running, user).await, Vec::<Value>::new());
    assert_eq!(send(running.request("GET", PATH)).await.0, 401);
}

#[tokio::test]
async fn twenty_are_enough() {
    let running = Running::start::<Payment>(&[]).await;
    let user = UserId::new();
    let many =
        "INSERT INTO payment_methods (id, user_id, provider, token, brand, last4, is_default)
                SELECT gen_random_uuid(), $1, 'test', 'tok_' || n, 'visa', '4242', n = 1
                FROM generate_series(1, 20) n";
    sqlx::query(many).bind(user.uuid()).execute(running.pool()).await.unwrap();
    let (status, problem) = save(&running, user, json!({ "token": "tok_visa" })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")));
    let known = json!({ "token": "tok_7", "label": "lucky", "is_default": true });
    let (status, method) = save(&running, user, known).await;
    assert_eq!((status, &method["label"]), (201, &json!("lucky")), "{method}");
}

/// The event of a verification after which every token of before has expired by then.
fn verified(user_id: UserId, owner_known: bool, minutes: i64) -> EmailVerified {
    let tokens_expire_by = Utc::now() + TimeDelta::minutes(minutes);
    EmailVerified { user_id, owner_known, tokens_expire_by }
}

/// A stranger had registered with the owner's address; their token still lives when the owner has verified it.
#[tokio::test]
async fn the_owner_of_an_address_does_not_keep_a_strangers_methods() {
    let running = Running::start::<Payment>(&[]).await;
    let (user, other) = (UserId::new(), UserId::new());
    for shopper in [user, other] {
        assert_eq!(save(&running, shopper, json!({ "token": "tok_visa" })).await.0, 201);
    }
    // Of a release that did not store when tokens expire.
    assert_eq!(save(&running, user, json!({ "token": "tok_timeout" })).await.0, 201);
    let unknown = "UPDATE payment_methods SET token_expires_at = NULL WHERE token = 'tok_timeout'";
    sqlx::query(unknown).execute(running.pool()).await.unwrap();

    running.publish(&verified(user, true, 60)).await;
    // Tokens of the tests live for some minutes: the next event concerns those that expire within an hour.
    running.publish(&verified(user, false, 60)).await;
    eventually("the stranger's methods are removed", async || {
        all(&running, user).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(all(&running, other).await.len(), 1);
    let stored = save(&running, user, json!({ "token": "tok_visa" })).await;
    assert_eq!(stored.0, 401, "the stranger's token stores nothing more: {}", stored.1);
    let mut order = reserved("method_default", 10);
    order.user_id = user;
    running.publish(&order).await;
    let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
    assert_eq!(failed.reason, "unknown_payment_method");

    // A token that lives longer was signed afterwards: it is the owner's.
    sqlx::query("UPDATE verified_accounts SET tokens_expire_by = now()")
        .execute(running.pool())
        .await
        .unwrap();
    assert_eq!(save(&running, user, json!({ "token": "tok_visa" })).await.0, 201);
}

#[tokio::test]
async fn what_the_owner_has_stored_is_kept() {
    let running = Running::start::<Payment>(&[]).await;
    let (known, late) = (UserId::new(), UserId::new());
    for user in [known, late] {
        assert_eq!(save(&running, user, json!({ "token": "tok_visa" })).await.0, 201);
    }
    running.publish(&verified(known, true, 60)).await;
    // Kafka was away meanwhile, and the owner has stored a method since.
    running.publish(&verified(late, false, -60)).await;
    eventually("both events are handled", async || {
        let handled = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM inbox");
        (handled.fetch_one(running.pool()).await.unwrap() == 2).then_some(())
    })
    .await;
    for user in [known, late] {
        assert_eq!(all(&running, user).await.len(), 1);
    }
}

/// After a day on which many addresses were verified.
#[tokio::test]
async fn verifications_that_matter_no_longer_are_removed_a_few_at_a_time() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, user) = (running.pool(), UserId::new());
    let many = "INSERT INTO verified_accounts (user_id, tokens_expire_by)
        SELECT gen_random_uuid(), now() - interval '1 day' FROM generate_series(1, 6000)";
    refuse_large_statements(pool, &["verified_accounts"]).await;
    sqlx::raw_sql(many).execute(pool).await.unwrap();
    let left = async || -> i64 {
        let rows = sqlx::query_scalar("SELECT count(*) FROM verified_accounts");
        rows.fetch_one(pool).await.unwrap()
    };
    // That of the user too is of long ago.
    for minutes in [-24 * 60, 60] {
        running.publish(&verified(user, false, minutes)).await;
    }
    eventually("both are handled", async || (left().await == 6000 + 1 - 2 * 100).then_some(()))
        .await;
}
