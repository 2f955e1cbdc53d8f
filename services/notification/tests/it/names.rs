//! Names in mails, which people choose when they register.

use chrono::Utc;
use contracts::events::{
    EmailVerificationRequested, EmailVerified, OrderPaid, PasswordChanged, UserRegistered,
};
use contracts::{EmailToken, OrderId, UserId};
use kit::testing::{Running, eventually};

use crate::mails::mail;
use crate::{lines, paid, registered, start};

fn verified(user_id: UserId) -> EmailVerified {
    EmailVerified { user_id, owner_known: true, tokens_expire_by: Utc::now() }
}

/// Registers a person and verifies the address, before anything that is published afterwards.
async fn register_verified(service: &Running, user: &UserRegistered) {
    service.publish(user).await;
    service.publish(&verified(user.user_id)).await;
    eventually("the address is verified", async || {
        let verified = "SELECT EXISTS (SELECT FROM contacts WHERE verified_at IS NOT NULL)";
        let verified: bool = sqlx::query_scalar(verified).fetch_one(service.pool()).await.unwrap();
        verified.then_some(())
    })
    .await;
}

/// Anybody registers with any address: the shop relays no text of theirs to its owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_to_verified_addresses_only() {
    let service = start().await;
    let user = registered("You won 1000 EUR call +44 20 7946 0000");
    let (user_id, expires_at) = (user.user_id, Utc::now());
    service.publish(&user).await;
    let token = EmailToken::new("s3cret".to_owned());
    service.publish(&EmailVerificationRequested { user_id, token, expires_at }).await;
    service.publish(&paid(user_id, OrderId::new())).await;
    for subject in ["Welcome", "Your e-mail address", "is paid"] {
        let mail = mail(&user.email, subject).await;
        assert!(!mail.to_string().contains("You won"), "{mail}");
        assert!(mail["text"].as_str().unwrap().starts_with("Hello,"), "{mail}");
    }
    // Of one topic and key: handled in this order.
    service.publish(&verified(user_id)).await;
    service.publish(&PasswordChanged { user_id }).await;
    let mail = mail(&user.email, "was changed").await;
    assert!(mail["text"].as_str().unwrap().starts_with(&format!("Hello {},", user.name)), "{mail}");
    assert_eq!(mail["to"][0]["name"], user.name.as_str());
}

/// The owner has verified the address of an account that a stranger may have registered, and named.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_stranger_chose_never_greets_the_owner() {
    let service = start().await;
    let user = registered("You won 1000 EUR call +44 20 7946 0000");
    let user_id = user.user_id;
    service.publish(&user).await;
    service.publish(&EmailVerified { owner_known: false, ..verified(user_id) }).await;
    // A known reader, later: the name is still not theirs.
    service.publish(&verified(user_id)).await;
    service.publish(&PasswordChanged { user_id }).await;
    let mail = mail(&user.email, "was changed").await;
    assert!(mail["text"].as_str().unwrap().starts_with("Hello,"), "{mail}");
    assert!(!mail.to_string().contains("You won"), "{mail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_bring_no_markup_into_mails() {
    let service = start().await;
    let user = registered("<b>Eve</b>");
    register_verified(&service, &user).await;
    let order = OrderPaid {
        lines: lines("<script>alert(1)</script>"),
        ..paid(user.user_id, OrderId::new())
    };
    let id = service.publish(&order).await;
    let mail = mail(&user.email, "is paid").await;
    let html = mail["html"].as_str().unwrap();
    assert!(html.contains("Hello &lt;b&gt;Eve&lt;/b&gt;,"), "{html}");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
    assert!(mail["text"].as_str().unwrap().contains("Hello <b>Eve</b>,"), "{mail}");
    let row: uuid::Uuid = sqlx::query_scalar("SELECT id FROM messages WHERE event_id = $1")
        .bind(id.uuid())
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(mail["headers"]["message-id"], format!("<{row}@example.com>"));
}
