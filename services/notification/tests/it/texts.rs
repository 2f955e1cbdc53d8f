//! Short messages, handed to a provider that a test decides about.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use contracts::events::{
    CancelReason, EmailVerified, OrderCancelled, OrderExpired, OrderShipped, PaymentActionRequired,
};
use contracts::{OrderId, PaymentId, UserId, env};
use kit::testing::{Running, engine, eventually};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{paid, registered, start, start_with};

pub(crate) const PHONE: &str = "/api/v1/notifications/phone";
pub(crate) const NUMBER: &str = "+4915112345678";

/// A provider of short messages: what it was sent, and what it answers next (200 when nothing is said).
#[derive(Clone, Default)]
pub(crate) struct Provider {
    taken: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

impl Provider {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/messages", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/messages", post(take)).with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        url
    }

    fn answer_next(&self, answers: &[(u16, &'static str)]) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn texts(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|(_, message)| message["text"].as_str().unwrap().to_owned()).collect()
    }

    async fn until(&self, what: &str) -> String {
        eventually(what, async || self.texts().into_iter().find(|text| text.contains(what))).await
    }
}

async fn take(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> impl IntoResponse {
    provider.taken.lock().unwrap().push((headers, message));
    let next = provider.answers.lock().unwrap().pop_front();
    let (status, wait) = next.unwrap_or((200, "0"));
    (StatusCode::from_u16(status).unwrap(), [("retry-after", wait)])
}

pub(crate) async fn shop(provider: &Provider) -> Running {
    shop_for(provider, "").await
}

/// A shop that sends to these countries.
pub(crate) async fn shop_for(provider: &Provider, countries: &str) -> Running {
    let url = provider.serve().await;
    let further =
        [(env::SMS_URL, url.as_str()), (env::SMS_TOKEN, "secret"), (env::SMS_COUNTRIES, countries)];
    start_with(&engine("TEST_SMTP_URL"), &further).await
}

async fn ask(service: &Running, user: UserId, method: &str, path: &str, body: &Value) -> u16 {
    let request = service.request_as(user, &[], method, path).json(body);
    request.send().await.unwrap().status().as_u16()
}

/// Gives a number and shows the code that came.
async fn verified(service: &Running, provider: &Provider, user: UserId, number: &str) {
    assert_eq!(ask(service, user, "PUT", PHONE, &json!({ "number": number })).await, 202);
    let code = code(provider, number).await;
    let verify = format!("{PHONE}/verify");
    assert_eq!(ask(service, user, "POST", &verify, &json!({ "code": code })).await, 204);
}

/// The code that was sent to this number last.
async fn code(provider: &Provider, number: &str) -> String {
    let text = eventually("a code is sent", async || {
        let taken = provider.taken.lock().unwrap();
        let mine = taken.iter().rev().find(|(_, message)| message["to"] == number);
        mine.and_then(|(_, message)| message["text"].as_str().map(ToOwned::to_owned))
    })
    .await;
    text.chars().filter(char::is_ascii_digit).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_shown_a_number_is_told_there_once() {
    let provider = Provider::default();
    let service = shop(&provider).await;
    let (ada, order_id) = (registered("Ada"), OrderId::new());
    let user_id = ada.user_id;
    service.publish(&ada).await;
    verified(&service, &provider, user_id, NUMBER).await;
    let shipped = OrderShipped { order_id, user_id };
    let event = service.publish(&shipped).await;
    service.publish_as(event, &shipped).await;
    let text = provider.until("on its way").await;
    assert!(text.len() <= 160, "{text}");
    let payment_id = PaymentId::new();
    let url = "https://bank.example/step".to_owned();
    service
        .publish(&PaymentActionRequired { order_id: OrderId::new(), payment_id, user_id, url })
        .await;
    provider.until("https://bank.example/step").await;
    assert_eq!(provider.texts().iter().filter(|text| text.contains("on its way")).count(), 1);

    let taken = provider.taken.lock().unwrap().clone();
    let (headers, message) = &taken[1];
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["idempotency-key"], message["id"].as_str().unwrap());
    assert_eq!(message["to"], NUMBER);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_code_goes_to_a_number_that_nobody_has_shown() {
    let provider = Provider::default();
    let service = shop(&provider).await;
    let (ada, bob) = (registered("Ada"), registered("Bob"));
    for user in [&ada, &bob] {
        service.publish(user).await;
    }
    assert_eq!(ask(&service, ada.user_id, "PUT", PHONE, &json!({ "number": NUMBER })).await, 202);
    code(&provider, NUMBER).await;
    verified(&service, &provider, bob.user_id, "+4915100000000").await;
    let order_id = OrderId::new();
    service.publish(&OrderShipped { order_id, user_id: ada.user_id }).await;
    // Of one order, so told after it.
    service.publish(&OrderShipped { order_id, user_id: bob.user_id }).await;
    provider.until("on its way").await;
    let taken = provider.taken.lock().unwrap().clone();
    let to = |number: &str| taken.iter().filter(|(_, message)| message["to"] == number).count();
    assert_eq!((to(NUMBER), to("+4915100000000")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_guessed_at_a_few_times_only_and_nobody_is_flooded() {
    let provider = Provider::default();
    let service = shop(&provider).await;
    let (ada, verify) = (UserId::new(), format!("{PHONE}/verify"));
    for bad in ["015112345678", "+0", "+49 151", "+49151123456789012"] {
        assert_eq!(ask(&service, ada, "PUT", PHONE, &json!({ "number": bad })).await, 422, "{bad}");
    }
    assert_eq!(ask(&service, ada, "POST", &verify, &json!({ "code": "000000" })).await, 422);
    assert_eq!(ask(&service, ada, "PUT", PHONE, &json!({ "number": NUMBER })).await, 202);
    let right = code(&provider, NUMBER).await;
    let wrong = if right == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        assert_eq!(ask(&service, ada, "POST", &verify, &json!({ "code": wrong })).await, 422);
    }
    assert_eq!(
        ask(&service, ada, "POST", &verify, &json!({ "code": right })).await,
        422,
        "too late"
    );
    for wanted in [202, 202, 202, 202, 429] {
        assert_eq!(ask(&service, ada, "PUT", PHONE, &json!({ "number": NUMBER })).await, wanted);
    }
    // Nor does another account flood it.
    assert_eq!(ask(&service, UserId::new(), "PUT", PHONE, &json!({ "number": NUMBER })).await, 429);
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messages WHERE state = 'sent' AND letter ? 'token'",
    )
    .fetch_one(service.pool())
    .await
    .unwrap();
    assert_eq!(stored, 0, "what was sent is its reader's alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let provider = Provider::default();
    let service = shop(&provider).await;
    let ada = registered("Ada");
    service.publish(&ada).await;
    verified(&service, &provider, ada.user_id, NUMBER).await;
    provider.answer_next(&[(503, "0"), (429, "1"), (200, "0")]);
    let (order_id, user_id) = (OrderId::new(), ada.user_id);
    service.publish(&OrderShipped { order_id, user_id }).await;
    provider.until("on its way").await;
    let again = "UPDATE messages SET due_at = now() WHERE state = 'queued' AND channel = 'sms'";
    eventually("it is sent in the end", async || {
        sqlx::query(again).execute(service.pool()).await.unwrap();
        let sent = "SELECT attempts FROM messages WHERE state = 'sent' AND letter ->> 'kind' = 'shipped' AND channel = 'sms'";
        let attempts: Option<i32> = sqlx::query_scalar(sent).fetch_optional(service.pool()).await.unwrap();
        (attempts == Some(3)).then_some(())
    })
    .await;

    provider.answer_next(&[(400, "0")]);
    service.publish(&paid(user_id, order_id)).await;
    let reason = CancelReason::ByStaff;
    service.publish(&OrderCancelled { order_id, user_id, reason }).await;
    let given_up = eventually("it is given up", async || {
        let dead = "SELECT last_error FROM messages WHERE state = 'dead' AND channel = 'sms'";
        sqlx::query_scalar::<_, String>(dead).fetch_optional(service.pool()).await.unwrap()
    })
    .await;
    assert_eq!(given_up, "the provider answered 400 Bad Request");
    let said = service.command::<notification::Notification>("resend").await.unwrap();
    assert_eq!(said, "1 messages are tried again, 0 stay given up");
    eventually("it is sent after all", async || {
        let texts = provider.texts();
        (texts.iter().filter(|text| text.contains("is cancelled")).count() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_no_short_messages_or_takes_the_number_away_gets_none() {
    let provider = Provider::default();
    let service = shop(&provider).await;
    let users = [registered("Ada"), registered("Bob"), registered("Eve")];
    for (index, user) in users.iter().enumerate() {
        service.publish(user).await;
        verified(&service, &provider, user.user_id, &format!("+491510000000{index}")).await;
    }
    let [ada, bob, eve] = users.map(|user| user.user_id);
    let wish = json!({ "email": true, "sms": false });
    assert_eq!(ask(&service, ada, "PUT", "/api/v1/notifications/preferences", &wish).await, 200);
    assert_eq!(ask(&service, bob, "DELETE", PHONE, &json!({})).await, 204);
    let gone = service.request_as(bob, &[], "GET", PHONE).send().await.unwrap();
    assert_eq!(gone.status(), 404);
    let order_id = OrderId::new();
    for user_id in [ada, bob, eve] {
        service.publish(&OrderShipped { order_id, user_id }).await;
    }
    provider.until("on its way").await;
    service.publish(&OrderExpired { order_id: OrderId::new(), user_id: eve }).await;
    let texts = provider.texts();
    assert_eq!(texts.iter().filter(|text| text.contains("on its way")).count(), 1, "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_a_provider_takes_no_numbers() {
    let service = start().await;
    assert_eq!(ask(&service, UserId::new(), "PUT", PHONE, &json!({ "number": NUMBER })).await, 404);
}

/// A stranger had registered with the owner's address, and given a number.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_number_goes_when_the_owner_verifies_their_address() {
    let provider = Provider::default();
    let service = shop(&provider).await;
    let users = [registered("Ada"), registered("Bob")];
    for (index, user) in users.iter().enumerate() {
        service.publish(user).await;
        verified(&service, &provider, user.user_id, &format!("+491510000001{index}")).await;
    }
    for (user, owner_known) in users.iter().zip([false, true]) {
        let (user_id, tokens_expire_by) = (user.user_id, chrono::Utc::now());
        service.publish(&EmailVerified { user_id, owner_known, tokens_expire_by }).await;
    }
    let [ada, bob] = users.map(|user| user.user_id);
    eventually("the stranger's number is removed", async || {
        let shown = service.request_as(ada, &[], "GET", PHONE).send().await.unwrap();
        (shown.status() == 404).then_some(())
    })
    .await;
    eventually("both events are handled", async || {
        let handled = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM inbox");
        (handled.fetch_one(service.pool()).await.unwrap() == 4).then_some(())
    })
    .await;
    let kept = service.request_as(bob, &[], "GET", PHONE).send().await.unwrap();
    assert_eq!(kept.status(), 200, "the owner had registered it");
}
