//! Rotation of the key that access tokens are signed with.

use contracts::UserId;
use kit::auth::Role;
use kit::testing::{Signer, eventually};

use crate::support::{echo, gateway, problem};

/// A safe request reads no account; the token alone decides.
#[tokio::test]
async fn tokens_of_both_keys_pass_during_a_rotation() {
    let user = echo("user").await;
    let gateways =
        [gateway(&[("USER_HTTP_URL", &user)]).await, gateway(&[("USER_HTTP_URL", &user)]).await];
    let (account, next) = (UserId::new(), Signer::new());
    for gateway in &gateways {
        let get = async |token: &str| {
            let request = gateway.request("GET", "/api/v1/me").bearer_auth(token);
            request.send().await.unwrap()
        };
        let (old, new) = (&gateway.signer, next.token(account, &[Role::Customer]));
        let before = old.token(account, &[Role::Customer]);
        assert_eq!(get(&before).await.status(), 200);
        let refused = problem(get(&new).await).await;
        assert_eq!(refused, (401, "unauthenticated".to_owned()), "before it is published");
        old.publish(&[&next, old]);
        eventually("the new key is known", async || {
            (get(&new).await.status() == 200).then_some(())
        })
        .await;
        assert_eq!(get(&before).await.status(), 200, "signed before the rotation");
    }
}
