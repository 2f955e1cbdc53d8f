//! What shoppers want to be told.

use contracts::events::{OrderExpired, PasswordChanged};
use contracts::{OrderId, UserId};
use kit::testing::Running;
use serde_json::{Value, json};

use crate::mails::{inbox, mail};
use crate::{paid, registered, start};

const PATH: &str = "/api/v1/notifications/preferences";

async fn wanted(service: &Running, user: UserId) -> Value {
    let answer = service.request_as(user, &[], "GET", PATH).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn want(service: &Running, user: UserId, body: &Value) -> u16 {
    let request = service.request_as(user, &[], "PUT", PATH).json(body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_no_mails_gets_those_about_the_account_alone() {
    let service = start().await;
    let (ada, bob) = (registered("Ada"), registered("Bob"));
    service.publish(&ada).await;
    service.publish(&bob).await;
    mail(&ada.email, "Welcome").await;
    assert_eq!(wanted(&service, ada.user_id).await, json!({ "email": true, "sms": true }));
    assert_eq!(want(&service, ada.user_id, &json!({ "email": false })).await, 200);
    assert_eq!(wanted(&service, ada.user_id).await, json!({ "email": false, "sms": true }));
    assert_eq!(wanted(&service, bob.user_id).await, json!({ "email": true, "sms": true }), "hers");

    let (first, second) = (OrderId::new(), OrderId::new());
    service.publish(&paid(ada.user_id, first)).await;
    // Of one order, so told after it.
    service.publish(&paid(bob.user_id, first)).await;
    service.publish(&PasswordChanged { user_id: ada.user_id }).await;
    mail(&bob.email, "is paid").await;
    mail(&ada.email, "was changed").await;
    assert_eq!(want(&service, ada.user_id, &json!({ "email": true })).await, 200);
    service.publish(&OrderExpired { order_id: second, user_id: ada.user_id }).await;
    mail(&ada.email, "has expired").await;
    let told = inbox(&ada.email).await;
    assert!(told.iter().all(|mail| !mail.to_string().contains(&first.to_string())), "{told:?}");

    for bad in [json!({}), json!({ "email": "no" }), json!({ "email": true, "pigeon": true })] {
        assert_eq!(want(&service, ada.user_id, &bad).await, 422, "{bad}");
    }
    let stranger = service.request("GET", PATH).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
}
