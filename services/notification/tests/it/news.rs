//! Mails and live updates of orders after they were paid.

use std::time::Duration;

use contracts::events::{
    CancelReason, OrderCancelled, OrderDelivered, OrderReturned, OrderShipped,
    PaymentActionRequired, PaymentDisputed, PaymentRefunded,
};
use contracts::{Currency, EventId, Money, OrderId, PaymentId, env};
use kit::testing::{Running, engine, eventually};
use serde_json::Value;

use crate::live::Browser;
use crate::mails::{inbox, mail};
use crate::{lines, paid, placed, registered, start, start_with, start_with_mail_server};

pub(crate) fn euros(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

/// Waits until this event has taken effect.
pub(crate) async fn heard(service: &Running, event: EventId) {
    eventually("the event has taken effect", async || {
        let noted = "SELECT EXISTS (SELECT FROM inbox WHERE event_id = $1)";
        let noted = sqlx::query_scalar::<_, bool>(noted).bind(event.uuid());
        noted.fetch_one(service.pool()).await.unwrap().then_some(())
    })
    .await;
}

fn refunded(order_id: OrderId, amount: i64, total: i64) -> PaymentRefunded {
    let refunded_total = Some(euros(total));
    PaymentRefunded {
        order_id,
        payment_id: PaymentId::new(),
        amount: euros(amount),
        refunded_total,
    }
}

pub(crate) fn body(mail: &Value) -> &str {
    mail["text"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_an_order_sees_it_leave_arrive_and_come_back() {
    let service = start().await;
    let user = registered("Ada");
    let (user_id, order_id) = (user.user_id, OrderId::new());
    service.publish(&user).await;
    let mut browser = Browser::open(&service, &service.signer.token(user_id, &[]), "").await;
    service.publish(&placed(user_id, order_id)).await;
    service.publish(&paid(user_id, order_id)).await;
    let third = service.publish(&OrderShipped { order_id, user_id }).await;
    service.publish(&OrderDelivered { order_id, user_id, lines: lines("Red Mug") }).await;
    service.publish(&OrderReturned { order_id, user_id }).await;
    for status in ["pending", "paid", "shipped", "delivered", "returned"] {
        let event = browser.event().await;
        assert_eq!((event.order_id, event.status.as_str()), (order_id, status), "{event:?}");
        assert_eq!(event.url, None);
    }
    let resume = format!("?last_event_id={third}");
    let token = service.signer.token(user_id, &[]);
    let mut browser = Browser::open(&service, &token, &resume).await;
    for event_type in ["order.delivered", "order.returned"] {
        assert_eq!(browser.event().await.r#type, event_type);
    }
    mail(&user.email, &format!("order {order_id} is on its way")).await;
    let delivered = mail(&user.email, "has arrived").await;
    assert!(body(&delivered).contains("2 × Red Mug"), "{delivered}");
    let returned = mail(&user.email, "has come back to us").await;
    assert!(!body(&returned).contains("goes back"), "{returned}");
}

/// How many mails say that money goes back, once this event has taken effect.
async fn mails_about_money(service: &Running, email: &str, last: EventId) -> usize {
    heard(service, last).await;
    eventually("all mails are sent", async || {
        let queued = "SELECT count(*) FROM messages WHERE state = 'queued'";
        let queued: i64 = sqlx::query_scalar(queued).fetch_one(service.pool()).await.unwrap();
        (queued == 0).then_some(())
    })
    .await;
    inbox(email).await.iter().filter(|mail| body(mail).contains("goes back")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_after_it_was_paid_gives_one_mail_about_money() {
    let service = start().await;
    let user = registered("Ada");
    let (user_id, order_id) = (user.user_id, OrderId::new());
    service.publish(&user).await;
    service.publish(&placed(user_id, order_id)).await;
    heard(&service, service.publish(&paid(user_id, order_id)).await).await;
    service.publish(&refunded(order_id, 1980, 1980)).await;
    let reason = CancelReason::ByCustomer;
    let last = service.publish(&OrderCancelled { order_id, user_id, reason }).await;
    mail(&user.email, &format!("order {order_id} is cancelled")).await;
    let money = mail(&user.email, &format!("given back 19.80 EUR of your order {order_id}")).await;
    assert!(body(&money).contains("19.80 EUR goes back to you"), "{money}");
    assert_eq!(mails_about_money(&service, &user.email, last).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refund_that_moves_money_gives_one_mail_and_a_full_one_too() {
    let service = start().await;
    let user = registered("Ada");
    let (user_id, order_id, other) = (user.user_id, OrderId::new(), OrderId::new());
    service.publish(&user).await;
    for order in [order_id, other] {
        service.publish(&placed(user_id, order)).await;
        service.publish(&paid(user_id, order)).await;
        let delivered = OrderDelivered { order_id: order, user_id, lines: lines("Red Mug") };
        heard(&service, service.publish(&delivered).await).await;
    }
    let first = refunded(order_id, 500, 500);
    let id = service.publish(&first).await;
    service.publish_as(id, &first).await;
    service.publish(&refunded(order_id, 200, 700)).await;
    service.publish(&refunded(order_id, 1280, 1980)).await;
    // An order that asks again is answered by a refund of nothing.
    heard(&service, service.publish(&refunded(order_id, 0, 1980)).await).await;
    let last = service.publish(&refunded(other, 1980, 1980)).await;
    let first = mail(&user.email, "given back 5.00 EUR").await;
    assert!(!body(&first).contains("in all"), "{first}");
    let second = mail(&user.email, "given back 2.00 EUR").await;
    assert!(body(&second).contains("That makes 7.00 EUR of this order in all."), "{second}");
    let rest = mail(&user.email, "given back 12.80 EUR").await;
    assert!(body(&rest).contains("That makes 19.80 EUR of this order in all."), "{rest}");
    mail(&user.email, &format!("given back 19.80 EUR of your order {other}")).await;
    assert_eq!(mails_about_money(&service, &user.email, last).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_heard_of_before_its_order_waits_for_the_owner() {
    let service = start().await;
    let user = registered("Ada");
    let order = OrderId::new();
    service.publish(&user).await;
    heard(&service, service.publish(&refunded(order, 500, 500)).await).await;
    assert!(inbox(&user.email).await.iter().all(|mail| !body(mail).contains("goes back")));
    service.publish(&placed(user.user_id, order)).await;
    mail(&user.email, &format!("given back 5.00 EUR of your order {order}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_step_is_asked_for_while_the_order_waits_and_not_afterwards() {
    let service = start().await;
    let user = registered("Ada");
    let (user_id, order_id, done) = (user.user_id, OrderId::new(), OrderId::new());
    service.publish(&user).await;
    let mut browser = Browser::open(&service, &service.signer.token(user_id, &[]), "").await;
    let ask = |order_id, url: &str| PaymentActionRequired {
        order_id,
        payment_id: PaymentId::new(),
        user_id,
        url: url.to_owned(),
    };
    heard(&service, service.publish(&placed(user_id, order_id)).await).await;
    service.publish(&ask(order_id, "https://bank.example/confirm?a=1&b=2")).await;
    browser.event().await;
    let event = browser.event().await;
    assert_eq!((event.r#type.as_str(), &*event.status), ("payment.action_required", "reserved"));
    assert_eq!(event.url.as_deref(), Some("https://bank.example/confirm?a=1&b=2"));
    let letter = mail(&user.email, "Please confirm the payment").await;
    assert!(body(&letter).contains("https://bank.example/confirm?a=1&b=2"), "{letter}");
    assert!(letter["html"].as_str().unwrap().contains("confirm?a=1&amp;b=2\""), "{letter}");

    heard(&service, service.publish(&paid(user_id, done)).await).await;
    heard(&service, service.publish(&ask(done, "https://bank.example/late")).await).await;
    assert_eq!(browser.event().await.status, "paid");
    let more = tokio::time::timeout(Duration::from_millis(300), browser.event()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_sent_by_command() {
    let service = start_with_mail_server("smtp://127.0.0.1:1").await;
    service.publish(&registered("Ada")).await;
    let state = async |wanted: &str| {
        let state: Option<String> =
            sqlx::query_scalar("SELECT state FROM messages WHERE letter ->> 'kind' = 'welcome'")
                .fetch_optional(service.pool())
                .await
                .unwrap();
        state.is_some_and(|state| state == wanted).then_some(())
    };
    eventually("it is queued", async || state("queued").await).await;
    let spent = "INSERT INTO messages (id, event_id, channel, recipient, letter, state, settled_at)
                 VALUES (gen_random_uuid(), gen_random_uuid(), 'email', gen_random_uuid(),
                     '{\"kind\": \"verify_email\"}', 'dead', now())";
    sqlx::query(spent).execute(service.pool()).await.unwrap();
    let last_try = "UPDATE messages SET attempts = 11, due_at = now() WHERE state = 'queued'";
    sqlx::query(last_try).execute(service.pool()).await.unwrap();
    eventually("it is given up", async || state("dead").await).await;
    let told = service.command::<notification::Notification>("resend").await.unwrap();
    assert_eq!(told, "1 messages are tried again, 1 stay given up");
    state("queued").await.expect("it is queued again");
}

fn disputed(order_id: OrderId, status: &str) -> PaymentDisputed {
    PaymentDisputed {
        order_id,
        payment_id: PaymentId::new(),
        provider: "stripe".to_owned(),
        dispute: "dp_1".to_owned(),
        reason: "fraudulent".to_owned(),
        status: status.to_owned(),
        due_at: chrono::DateTime::from_timestamp(1_900_000_000, 0),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_get_a_mail_about_each_dispute_that_needs_them_or_is_decided() {
    let order_id = OrderId::new();
    let staff = format!("staff-{order_id}@example.com");
    let service = start_with(&engine("TEST_SMTP_URL"), &[(env::STAFF_EMAIL, &staff)]).await;
    service.publish(&disputed(order_id, "needs_response")).await;
    service.publish(&disputed(order_id, "under_review")).await;
    service.publish(&disputed(order_id, "lost")).await;
    mail(&staff, &format!("lost the dispute about order {order_id}")).await;
    let opened = mail(&staff, &format!("payment of order {order_id} is disputed")).await;
    for part in ["dp_1", "fraudulent", "2030-03-17 17:46 UTC", "dashboard of stripe"] {
        assert!(body(&opened).contains(part), "{part}: {opened}");
    }
    assert_eq!(inbox(&staff).await.len(), 2, "nothing to do while the bank decides");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_of_staff_no_dispute_is_queued() {
    let service = start().await;
    let order_id = OrderId::new();
    heard(&service, service.publish(&disputed(order_id, "needs_response")).await).await;
    let queued: i64 = sqlx::query_scalar("SELECT count(*) FROM messages")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(queued, 0);
}
