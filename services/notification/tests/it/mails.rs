//! Mails, as a real mail server gets them.

use chrono::Utc;
use contracts::events::{
    CancelReason, EmailVerificationRequested, Event, OrderCancelled, OrderExpired, OrderPaid,
    OrderRejected, PasswordChanged, PasswordResetRequested, RegistrationAttempted, Shortage,
    UserRegistered,
};
use contracts::topics::Aggregate;
use contracts::{EmailToken, EventId, OrderId, UserId};
use kit::kafka::{Producer, Record};
use kit::testing::{Running, engine, eventually};
use serde_json::Value;

use crate::{paid, placed, registered, start, start_with, start_with_mail_server};

/// The mails that this address has got, the oldest first.
pub(crate) async fn inbox(address: &str) -> Vec<Value> {
    let url = format!("{}/email", engine("TEST_MAIL_URL"));
    let mails: Vec<Value> = reqwest::get(url).await.unwrap().json().await.unwrap();
    let to =
        |mail: &Value| mail["to"].as_array().unwrap().iter().any(|to| to["address"] == address);
    mails.into_iter().filter(to).collect()
}

/// Waits for a mail with this in its subject.
pub(crate) async fn mail(address: &str, subject: &str) -> Value {
    eventually(&format!("a mail about {subject:?} to {address}"), async || {
        let has_subject = |mail: &Value| mail["subject"].as_str().unwrap().contains(subject);
        inbox(address).await.into_iter().find(has_subject)
    })
    .await
}

/// State, attempts and last error of the only message.
async fn message(service: &Running) -> Option<(String, i32, Option<String>)> {
    sqlx::query_as("SELECT state, attempts, last_error FROM messages")
        .fetch_optional(service.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_once_however_often_its_event_does() {
    let service = start().await;
    let user = registered("Ada");
    let (welcome, order) = (service.publish(&user).await, OrderId::new());
    service.publish_as(welcome, &user).await;
    let placed = placed(user.user_id, order);
    let placed_id = service.publish(&placed).await;
    service.publish_as(placed_id, &placed).await;
    let paid = paid(user.user_id, order);
    let paid_id = service.publish(&paid).await;
    service.publish_as(paid_id, &paid).await;
    // The last of its partition: when these have arrived, all of the above has taken effect.
    service.publish(&OrderExpired { order_id: order, user_id: user.user_id }).await;
    let moved = UserRegistered { name: "Ada L.".to_owned(), ..user.clone() };
    let last = service.publish(&moved).await;
    mail(&user.email, "has expired").await;
    eventually("the last registration has taken effect", async || {
        let noted: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM inbox WHERE event_id = $1)")
                .bind(last.uuid())
                .fetch_one(service.pool())
                .await
                .unwrap();
        noted.then_some(())
    })
    .await;
    eventually("nothing is left to send", async || {
        let queued: i64 =
            sqlx::query_scalar("SELECT count(*) FROM messages WHERE state = 'queued'")
                .fetch_one(service.pool())
                .await
                .unwrap();
        (queued == 0).then_some(())
    })
    .await;

    let mails = inbox(&user.email).await;
    let count = |what: &str| {
        mails.iter().filter(|mail| mail["subject"].as_str().unwrap().contains(what)).count()
    };
    assert_eq!(count("Welcome to test"), 2, "one for each of two registrations");
    assert_eq!(count(&format!("We have your order {order}")), 1);
    assert_eq!(count(&format!("order {order} is paid")), 1);
    assert_eq!(count("has expired"), 1);
    assert_eq!(mails.len(), 5);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains(r#"messages_sent_total{channel="email",outcome="sent"}"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_in_quotes_has_the_name_that_it_says() {
    let from = r#""Müller, Söhne & Co. (Shop)" <shop@example.com>"#;
    let service = start_with(&engine("TEST_SMTP_URL"), &[("MAIL_FROM", from)]).await;
    let user = registered("Ada");
    service.publish(&user).await;
    let from = &mail(&user.email, "Welcome").await["from"][0];
    assert_eq!(from["name"], "Müller, Söhne & Co. (Shop)");
    assert_eq!(from["address"], "shop@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_brings_its_token_along_and_leaves_none_behind() {
    let service = start().await;
    let user = registered("Ada");
    let (user_id, expires_at) = (user.user_id, Utc::now());
    service.publish(&user).await;
    let token = |text: &str| EmailToken::new(text.to_owned());
    let verify = EmailVerificationRequested { user_id, token: token("s3cret"), expires_at };
    service.publish(&verify).await;
    let reset = PasswordResetRequested { user_id, token: token("s3same"), expires_at };
    service.publish(&reset).await;
    service.publish(&PasswordChanged { user_id }).await;
    for (subject, link) in [
        ("Your e-mail address", "https://shop.example/verify-email#s3cret"),
        ("Another password", "https://shop.example/reset-password#s3same"),
    ] {
        let mail = mail(&user.email, subject).await;
        for body in [&mail["text"], &mail["html"]] {
            assert!(body.as_str().unwrap().contains(link), "{link} is not in {body}");
        }
    }
    mail(&user.email, "was changed").await;
    eventually("no token is left", async || {
        let left =
            "SELECT count(*) FROM messages WHERE state = 'queued' OR letter::text LIKE '%s3%'";
        let left: i64 = sqlx::query_scalar(left).fetch_one(service.pool()).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_notified_of_registrations_with_their_address() {
    let service = start().await;
    let user = registered("Ada");
    service.publish(&user).await;
    service.publish(&RegistrationAttempted { user_id: user.user_id }).await;
    let mail = mail(&user.email, "You already have an account at test").await;
    for body in [&mail["text"], &mail["html"]] {
        assert!(body.as_str().unwrap().contains("your account has not changed"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_an_order_is_told() {
    let service = start().await;
    let user = registered("Ada");
    let (user_id, order_id) = (user.user_id, OrderId::new());
    service.publish(&user).await;
    let shortage = Shortage { sku: "MUG-01-C".parse().unwrap(), requested: 3, available: 1 };
    service.publish(&OrderRejected { order_id, user_id, shortages: vec![shortage] }).await;
    let reason = CancelReason::PaymentDeclined;
    service.publish(&OrderCancelled { order_id, user_id, reason }).await;
    let rejected = mail(&user.email, "We cannot deliver").await;
    assert!(rejected["text"].as_str().unwrap().contains("MUG-01-C: 3 ordered, few left"));
    let cancelled = mail(&user.email, "is cancelled").await;
    assert!(cancelled["text"].as_str().unwrap().contains("Your payment was declined"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_the_registration_of_its_recipient() {
    let service = start().await;
    let (user, other) = (registered("Ada"), registered("Bob"));
    service.publish(&paid(user.user_id, OrderId::new())).await;
    eventually("the mail is queued", async || message(&service).await).await;
    // Events of others are not held up, and wake the sender.
    service.publish(&other).await;
    mail(&other.email, "Welcome").await;
    assert!(inbox(&user.email).await.is_empty());
    service.publish(&user).await;
    mail(&user.email, "is paid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_away_is_tried_again_but_not_forever() {
    let service = start_with_mail_server("smtp://127.0.0.1:1").await;
    service.publish(&registered("Ada")).await;
    let attempted = async || message(&service).await.filter(|(_, attempts, _)| *attempts == 1);
    let (state, _, error) = eventually("one attempt", attempted).await;
    assert_eq!(state, "queued");
    assert!(error.unwrap().starts_with("the mail server did not take the mail"));
    sqlx::query("UPDATE messages SET attempts = 11, due_at = now()")
        .execute(service.pool())
        .await
        .unwrap();
    let given_up = async || message(&service).await.filter(|(state, _, _)| state == "dead");
    assert_eq!(eventually("it is given up", given_up).await.1, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_a_day_holds_up_no_mail() {
    let service = start().await;
    let (ada, bob) = (registered("Ada"), registered("Bob"));
    service.publish(&paid(ada.user_id, OrderId::new())).await;
    eventually("the mail is queued", async || message(&service).await).await;
    let later = "UPDATE messages SET due_at = due_at + interval '1 day'";
    sqlx::query(later).execute(service.pool()).await.unwrap();
    for user in [&ada, &bob] {
        service.publish(user).await;
    }
    mail(&ada.email, "is paid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_dead_letter_and_blocks_nobody() {
    let service = start().await;
    let (user, order) = (registered("Ada"), OrderId::new());
    let producer = Producer::new(&service.kafka, "test").unwrap();
    let id = EventId::new();
    let malformed = Record {
        id,
        r#type: OrderPaid::TYPE.to_owned(),
        subject: order.uuid(),
        time: Utc::now(),
        traceparent: None,
        payload: br#"{"order_id": 7}"#.to_vec(),
    };
    producer.send(Aggregate::Order, &malformed).await.unwrap();
    // The same key, hence the same partition: it comes after the malformed one.
    service.publish(&OrderExpired { order_id: order, user_id: user.user_id }).await;
    service.publish(&user).await;
    let reason = service.buried(Aggregate::Order, id).await;
    assert!(!reason.is_empty());
    mail(&user.email, "has expired").await;
    let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox WHERE event_id = $1")
        .bind(id.uuid())
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(noted, 0, "a replay must take effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_registers_is_given_up_and_old_rows_go() {
    let service = start().await;
    let user = UserId::new();
    service.publish(&paid(user, OrderId::new())).await;
    eventually("the mail is queued", async || message(&service).await).await;
    notification::db::purge::run(service.pool()).await.unwrap();
    assert_eq!(message(&service).await.unwrap().0, "queued", "not yet");
    sqlx::query("UPDATE messages SET created_at = now() - interval '8 days'")
        .execute(service.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE live_events SET time = now() - interval '31 days'")
        .execute(service.pool())
        .await
        .unwrap();
    notification::db::purge::run(service.pool()).await.unwrap();
    let (state, _, error) = message(&service).await.unwrap();
    assert_eq!((state.as_str(), error.as_deref()), ("dead", Some("no contact")));
    let live: i64 = sqlx::query_scalar("SELECT count(*) FROM live_events")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(live, 0);
}
