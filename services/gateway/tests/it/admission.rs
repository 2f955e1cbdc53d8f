//! Who is let in: tokens, limits, origins.

use std::collections::BTreeMap;

use contracts::UserId;
use futures_util::future::join_all;
use kit::auth::Role;
use kit::testing::{PartOfRedis, Running, Signer};
use reqwest::RequestBuilder;

use crate::support::{Echo, echo, gateway, problem};

#[tokio::test]
async fn a_bad_token_is_refused_before_any_service_sees_it() {
    // Services are nowhere: whatever reached one would be 503.
    let gateway = gateway(&[("USER_HTTP_URL", echo("user").await)]).await;
    let mut claims = Signer::claims(UserId::new(), &[Role::Customer]);
    claims.exp -= 3600;
    let expired = gateway.signer.sign(&claims);
    let foreign = Signer::new().token(UserId::new(), &[Role::Admin]);
    for token in ["nonsense", "eyJhbGciOiJub25lIn0.e30.", &expired, &foreign] {
        let answer = gateway.request("GET", "/api/v1/orders").bearer_auth(token);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
        assert_eq!(problem(answer).await, (401, "unauthenticated".to_owned()), "{token}");
    }
    let good = gateway.request_as(UserId::new(), &[Role::Customer], "GET", "/api/v1/orders");
    assert_eq!(good.send().await.unwrap().status(), 503);
    // A browser that renews its token sends the old one along.
    let renewal = gateway.request("POST", "/api/v1/auth/refresh").bearer_auth(&expired);
    let echo: Echo = renewal.send().await.unwrap().json().await.unwrap();
    assert_eq!(echo.header("authorization"), Some(format!("Bearer {expired}")));
}

/// A gateway behind a proxy that it trusts.
async fn limited(per_minute: &str, further: &[(&str, &str)]) -> Running {
    let url = echo("any").await;
    let mut variables = vec![
        ("CART_HTTP_URL", &*url),
        ("USER_HTTP_URL", &url),
        ("RATE_LIMIT_PER_MINUTE", per_minute),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    variables.extend(further);
    gateway(&variables).await
}

/// A request of one client, as the proxy says who has got it.
fn of_client(gateway: &Running, method: &str, path: &str) -> RequestBuilder {
    gateway.request(method, path).header("X-Forwarded-For", "203.0.113.7")
}

/// How often each status was the answer.
async fn tally(requests: impl Iterator<Item = RequestBuilder>) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    for answer in join_all(requests.map(RequestBuilder::send)).await {
        *tally.entry(answer.unwrap().status().as_u16()).or_default() += 1;
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_provider_is_not_starved_by_what_shoppers_may_send() {
    let payment = echo("payment").await;
    let gateway = limited("5", &[("PAYMENT_HTTP_URL", &payment)]).await;
    let guest = |_| of_client(&gateway, "GET", "/api/v1/cart");
    assert_eq!(tally((0..10).map(guest)).await[&429], 5);
    let webhook = |_| of_client(&gateway, "POST", "/api/v1/webhooks/payments/stripe").body("{}");
    // Twenty times as many, counted apart.
    assert_eq!(tally((0..100).map(webhook)).await, BTreeMap::from([(200, 100)]));
    let answer = webhook(0).send().await.unwrap();
    assert_eq!(answer.headers()["ratelimit-policy"], "\"webhooks\";q=100;w=60");
}

// With threads of its own Redis' answers are read while signatures are checked: who is busy for too
// long lets everybody in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_so_many_are_let_in_at_once() {
    // One token comes back after twelve seconds: none does while the test runs.
    let gateway = limited("5", &[]).await;
    let guest = |n: usize| {
        let request = gateway.request("GET", "/api/v1/cart");
        // What the client wrote itself stands first.
        request.header("X-Forwarded-For", format!("198.51.100.{n}, 203.0.113.7"))
    };
    assert_eq!(tally((0..40).map(guest)).await, BTreeMap::from([(200, 5), (429, 35)]));
    let refused = guest(99).send().await.unwrap();
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"client\";q=5;w=60");
    assert_eq!(refused.headers()["ratelimit"], format!("\"client\";r=0;t={wait}"));
    assert_eq!(problem(refused).await, (429, "rate-limited".to_owned()));

    // Accounts are counted each by itself, wherever they come from.
    for user in [UserId::new(), UserId::new()] {
        let token = gateway.signer.token(user, &[Role::Customer]);
        let mut statuses = Vec::new();
        for n in 0..7 {
            let answer = guest(n).bearer_auth(&token).send().await.unwrap();
            statuses.push(answer.status().as_u16());
        }
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    }
    // Who comes with a bad token is counted like a guest.
    assert_eq!(guest(1).bearer_auth("nonsense").send().await.unwrap().status(), 429);
    assert_eq!(gateway.request("GET", "/health").send().await.unwrap().status(), 200);
}

/// Redis refuses either of them whatever does not begin with its own prefix.
#[tokio::test]
async fn two_shops_of_one_name_in_one_redis_count_apart() {
    for _ in 0..2 {
        let part = PartOfRedis::new().await;
        let [url, prefix] = part.variables();
        let gateway = limited("2", &[url, prefix, ("SHOP_NAME", "demo")]).await;
        let answer = of_client(&gateway, "GET", "/api/v1/cart").send().await.unwrap();
        assert_eq!(answer.headers()["ratelimit"], "\"client\";r=1;t=30");
    }
}

#[tokio::test]
async fn what_is_left_is_told() {
    let gateway = limited("600", &[]).await;
    let answer = of_client(&gateway, "GET", "/api/v1/cart").send().await.unwrap();
    assert_eq!(answer.headers()["ratelimit-policy"], "\"client\";q=600;w=60");
    assert_eq!(answer.headers()["ratelimit"], "\"client\";r=599;t=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guessing_passwords_is_limited_more() {
    let gateway = limited("30", &[]).await;
    let token = gateway.signer.token(UserId::new(), &[Role::Customer]);
    let login = |_| of_client(&gateway, "POST", "/api/v1/auth/login").bearer_auth(&token);
    assert_eq!(tally((0..10).map(login)).await, BTreeMap::from([(200, 3), (429, 7)]));
    let register = of_client(&gateway, "POST", "/api/v1/auth/register").send().await.unwrap();
    assert_eq!(register.status(), 429);
    let refresh = of_client(&gateway, "POST", "/api/v1/auth/refresh").send().await.unwrap();
    assert_eq!(refresh.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behind_a_trusted_proxy_each_client_counts_by_itself() {
    let gateway = limited("2", &[("TRUSTED_PROXIES", "10.0.0.0/8,127.0.0.1")]).await;
    let from = |forwarded: &'static str| {
        let request = gateway.request("GET", "/api/v1/cart");
        (0..5).map(move |n| {
            let request = request.try_clone().unwrap();
            // What the client wrote itself stands first.
            request.header("X-Forwarded-For", format!("192.0.2.{n}, {forwarded}"))
        })
    };
    let two_of_five = BTreeMap::from([(200, 2), (429, 3)]);
    assert_eq!(tally(from("198.51.100.1")).await, two_of_five);
    assert_eq!(tally(from("198.51.100.2, 10.0.0.9")).await, two_of_five);
    assert_eq!(tally(from("2001:db8::1")).await, two_of_five);
    assert_eq!(tally(from("2001:db8::2")).await, BTreeMap::from([(429, 5)]));
}

/// Guests, whose addresses this gateway sees, are counted as one, and as twenty.
async fn share_a_wide_limit(gateway: &Running, forwarded: impl Fn(u8) -> String) {
    let request = |method: &'static str, path: &'static str| {
        let (request, forwarded) = (gateway.request(method, path), &forwarded);
        move |n: u8| request.try_clone().unwrap().header("X-Forwarded-For", forwarded(n))
    };
    let guests = tally((0..100).map(request("GET", "/api/v1/cart"))).await;
    assert!(guests[&200] >= 40, "a single client may send 2: {guests:?}");
    assert!(guests[&429] > 0, "there is still a limit: {guests:?}");
    let logins = tally((0..60).map(request("POST", "/api/v1/auth/login"))).await;
    assert!(logins[&200] >= 20, "a single client may send 1: {logins:?}");
    assert!(logins[&429] > 0, "there is still a limit: {logins:?}");
    // A caller with a token is counted alone.
    let user = UserId::new();
    let own = |_| gateway.request_as(user, &[Role::Customer], "GET", "/api/v1/cart");
    assert_eq!(tally((0..5).map(own)).await, BTreeMap::from([(200, 2), (429, 3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guests_behind_a_proxy_that_is_not_trusted_share_a_wide_limit() {
    // However public the addresses of the proxy are.
    let gateway = limited("2", &[("SHARED_ADDRESSES", "true")]).await;
    share_a_wide_limit(&gateway, |n| format!("198.51.100.{n}, 203.0.113.7")).await;
}

/// The peer is a node that hides addresses, or a proxy that is not in the list.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guests_with_a_private_address_share_a_wide_limit() {
    let gateway = limited("2", &[("TRUSTED_PROXIES", "192.0.2.1")]).await;
    // What anybody can write is not believed.
    share_a_wide_limit(&gateway, |n| format!("198.51.100.{n}")).await;
}

#[tokio::test]
async fn only_allowed_origins_may_call() {
    let cart = echo("cart").await;
    let origins = ("CORS_ALLOWED_ORIGINS", "https://a.example, https://b.example");
    let gateway = gateway(&[("CART_HTTP_URL", cart.as_str()), origins]).await;
    let preflight = async |origin: &str| {
        gateway
            .request("OPTIONS", "/api/v1/cart")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "PUT")
            .header("Access-Control-Request-Headers", "authorization,if-match")
            .send()
            .await
            .unwrap()
    };
    let allowed = preflight("https://b.example").await;
    assert_eq!(allowed.status(), 200);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://b.example");
    assert_eq!(allowed.headers()["access-control-allow-methods"], "PUT");
    assert_eq!(allowed.headers()["access-control-allow-headers"], "authorization,if-match");
    assert!(allowed.text().await.unwrap().is_empty(), "the service was not asked");
    let stranger = preflight("https://c.example").await;
    assert!(!stranger.headers().contains_key("access-control-allow-origin"));

    // Pages must be able to read refusals too.
    let refused = gateway.request("GET", "/api/v1/cart").header("Origin", "https://a.example");
    let refused = refused.bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["access-control-allow-origin"], "https://a.example");
    let shown = refused.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(shown.contains("retry-after") && shown.contains("etag"), "{shown}");
}

#[tokio::test]
async fn without_a_setting_no_other_origin_may_call_and_with_a_star_all_may() {
    let closed = gateway::<&str>(&[]).await;
    let open = gateway(&[("CORS_ALLOWED_ORIGINS", "*")]).await;
    let allowed = async |gateway: &Running| {
        let request = gateway.request("GET", "/health").header("Origin", "https://a.example");
        let answer = request.send().await.unwrap();
        answer.headers().get("access-control-allow-origin").cloned()
    };
    assert_eq!(allowed(&closed).await, None);
    assert_eq!(allowed(&open).await.unwrap(), "*");
}
