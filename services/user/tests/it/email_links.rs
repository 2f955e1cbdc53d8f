//! Links in e-mails: how many are sent, and that asking for more ends none.

use contracts::events::PasswordResetRequested;
use kit::auth::Role;
use kit::outbox::Outbox;
use kit::testing::eventually;
use user::letters::{self, Purpose};
use user::token::OpaqueToken;

use crate::letters::{
    ADA, OTHER, TOKENS, count, current, forget, owner, pass, reset, reset_letter,
};
use crate::{account, start};

/// A stranger asks for links as often as they can, while the owner reads the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_link_stays_valid_however_many_a_stranger_asks_for() {
    let service = start().await;
    let user = owner(&service).await;
    let mut links = vec![reset_letter(&service, user).await];
    for n in 1..4 {
        pass(&service, 60).await;
        assert_eq!(forget(&service, ADA).await.0, 202);
        eventually("another is sent", async || {
            let sent = "SELECT count(*) FROM outbox WHERE type LIKE '%password_reset%'";
            (count(&service, sent).await == n + 1).then_some(())
        })
        .await;
        let purpose = Purpose::ResetPassword;
        links.push(
            current::<PasswordResetRequested>(&service, user, purpose, |event| &event.token).await,
        );
    }
    let expire = "UPDATE earlier_email_tokens SET expires_at = now() WHERE hash = $1";
    let hash = OpaqueToken::presented(links[1].expose().to_owned()).hash();
    sqlx::query(expire).bind(hash).execute(service.pool()).await.unwrap();
    assert_eq!(reset(&service, &links[1], OTHER).await.0, 400, "it has expired");
    assert_eq!(reset(&service, &links[0], OTHER).await.0, 204, "it may be the one that is read");
    for link in &links {
        assert_eq!(reset(&service, link, "a thief's password").await.0, 400, "all have ended");
    }
    assert_eq!(count(&service, TOKENS).await, 0);
}

/// A link is requested every minute for a day.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_few_emails_with_links_and_always_a_valid_one() {
    const DAY: usize = 24 * 60;
    let service = start().await;
    for (purpose, most, longest_pause) in
        [(Purpose::ResetPassword, 55, 30), (Purpose::VerifyEmail, 13, 6 * 60)]
    {
        let user = account(&service, &[Role::Customer]).await;
        let mut sent = Vec::new();
        for minute in 0..DAY {
            let mut tx = service.pool().begin().await.unwrap();
            if letters::write(&mut tx, &Outbox::default(), user, purpose).await.unwrap().is_none() {
                sent.push(minute);
            }
            tx.commit().await.unwrap();
            pass(&service, 1).await;
        }
        assert!(sent.len() <= most, "{purpose:?}: {} e-mails", sent.len());
        let pauses = sent.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(pauses.max().unwrap() <= longest_pause, "{purpose:?}: {sent:?}");
        assert!(DAY - sent[sent.len() - 1] <= longest_pause, "{purpose:?}: {sent:?}");
    }
}
