//! Guessing passwords is slow for strangers, and never keeps the owner out.

use std::net::IpAddr;

use contracts::UserId;
use kit::testing::Running;
use reqwest::Response;
use serde_json::{Value, json};
use user::throttle::{
    self, Attempt, FREE_ATTEMPTS, MAX_PER_ACCOUNT, MAX_PER_NETWORK, MAX_REGISTRATIONS,
};

use crate::{PASSWORD, answer, register, start};

const ADA: &str = "ada@example.com";
const WRONG: &str = "wrong password";
const OTHER: &str = "another long password";
/// Where the owner is.
const HOME: &str = "198.51.100.1";

/// Tries a password from an address, as the gateway would pass it on, perhaps with a cookie.
async fn attempt(
    service: &Running,
    address: &str,
    (email, password): (&str, &str),
    cookie: Option<&str>,
) -> Response {
    let mut request =
        service.request("POST", "/api/v1/auth/login").header("X-Forwarded-For", address);
    if let Some(cookie) = cookie {
        request = request.header("Cookie", format!("theme=dark; {cookie}; x=y"));
    }
    request.json(&json!({ "email": email, "password": password })).send().await.unwrap()
}

async fn status(service: &Running, address: &str, email: &str, password: &str) -> u16 {
    attempt(service, address, (email, password), None).await.status().as_u16()
}

fn seconds(refused: &Response) -> i64 {
    refused.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

/// Wrong passwords from one network until it has no free attempts.
async fn exhaust(service: &Running, address: &str, email: &str) {
    for _ in 0..FREE_ATTEMPTS {
        assert_eq!(status(service, address, email, WRONG).await, 401);
    }
    assert_eq!(status(service, address, email, WRONG).await, 429);
}

async fn shift(service: &Running, statement: &'static str) {
    sqlx::query(statement).execute(service.pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_from_one_network_are_delayed_ever_longer() {
    let service = start().await;
    register(&service, ADA).await;
    for email in [ADA, "nobody@example.com"] {
        // All at once, by neighbours.
        let attempts = (0..FREE_ATTEMPTS + 10).map(|n| {
            let service = &service;
            async move { status(service, &format!("192.0.2.{n}"), email, WRONG).await }
        });
        let statuses = futures_util::future::join_all(attempts).await;
        // On a busy machine some find no connection or no time for hashing.
        assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
        let mut wrong = statuses.iter().filter(|status| **status == 401).count();
        loop {
            match status(&service, "192.0.2.1", email, WRONG).await {
                429 => break,
                answered => wrong += usize::from(answered == 401),
            }
        }
        let free = usize::try_from(FREE_ATTEMPTS).unwrap();
        assert!(wrong <= free, "{email}: {wrong} attempts, {statuses:?}");
    }
    for delay in [30, 60, 120, 240, 480, 900, 900] {
        let refused = attempt(&service, "192.0.2.1", (ADA, PASSWORD), None).await;
        assert!((1..=delay).contains(&seconds(&refused)), "{} of {delay}", seconds(&refused));
        assert!(seconds(&refused) > delay / 2 || delay == 30, "{} of {delay}", seconds(&refused));
        let (status_now, problem) = answer(refused).await;
        let kind = json!("/problems/rate-limited");
        assert_eq!((status_now, &problem["type"]), (429, &kind), "{problem}");
        let passed = format!("UPDATE attempts SET last_at = last_at - interval '{delay} s'");
        sqlx::query(sqlx::AssertSqlSafe(passed)).execute(service.pool()).await.unwrap();
        assert_eq!(status(&service, "192.0.2.1", ADA, WRONG).await, 401, "one after {delay} s");
    }
    // After an hour all is forgotten.
    shift(&service, "UPDATE attempts SET last_at = last_at - interval '1 hour'").await;
    exhaust(&service, "192.0.2.1", ADA).await;
    let metrics = service.metrics().await;
    assert!(metrics.contains("logins_total{outcome=\"limited\"} "), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_keep_the_owner_out() {
    let service = start().await;
    register(&service, ADA).await;
    exhaust(&service, "192.0.2.1", ADA).await;
    assert_eq!(status(&service, HOME, ADA, PASSWORD).await, 200);
    // What the owner has mistyped is forgotten after a login.
    for _ in 0..2 {
        for _ in 0..FREE_ATTEMPTS - 1 {
            assert_eq!(status(&service, HOME, ADA, WRONG).await, 401);
        }
        assert_eq!(status(&service, HOME, ADA, PASSWORD).await, 200);
    }
    assert_eq!(status(&service, "192.0.2.1", ADA, PASSWORD).await, 429, "not for strangers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_tried_from_everywhere_leaves_a_network_one_attempt() {
    let service = start().await;
    register(&service, ADA).await;
    let known = cookie(&attempt(&service, HOME, (ADA, PASSWORD), None).await);
    for n in 0..MAX_PER_ACCOUNT {
        let address = format!("2001:db8:{:x}::1", n / FREE_ATTEMPTS);
        assert_eq!(status(&service, &address, ADA, WRONG).await, 401, "{n}");
    }
    assert_eq!(status(&service, "203.0.113.1", ADA, WRONG).await, 401);
    let refused = attempt(&service, "203.0.113.1", (ADA, WRONG), None).await;
    assert_eq!((refused.status().as_u16(), seconds(&refused) <= 30), (429, true));
    assert_eq!(status(&service, "203.0.113.1", "bob@example.com", WRONG).await, 401, "hers only");
    // The right password gets in at once, from everywhere; a known device may mistype it, too.
    assert_eq!(status(&service, "203.0.114.1", ADA, PASSWORD).await, 200);
    for _ in 0..FREE_ATTEMPTS - 1 {
        let wrong = attempt(&service, "203.0.113.1", (ADA, WRONG), Some(&known)).await;
        assert_eq!(wrong.status(), 401);
    }
    let right = attempt(&service, "203.0.113.1", (ADA, PASSWORD), Some(&known)).await;
    assert_eq!(right.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_device_has_attempts_of_its_own() {
    let service = start().await;
    for email in [ADA, "bob@example.com"] {
        register(&service, email).await;
    }
    let first = attempt(&service, HOME, (ADA, PASSWORD), None).await;
    let set = first.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/api/v1", "; Max-Age=15552000"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure"), "there is no TLS: {set}");
    let known = cookie(&first);
    let bobs = cookie(&attempt(&service, HOME, ("bob@example.com", PASSWORD), None).await);

    // A stranger in the same network.
    exhaust(&service, HOME, ADA).await;
    for (cookie, expected) in [
        (None, 429),
        (Some(bobs.as_str()), 429),
        (Some("shop_device=*"), 429),
        (Some("shop_device="), 429),
        (Some(known.as_str()), 200),
    ] {
        let answer = attempt(&service, HOME, (ADA, PASSWORD), cookie).await;
        assert_eq!(answer.status().as_u16(), expected, "{cookie:?}");
    }
    // It is no way around the limit.
    for _ in 0..FREE_ATTEMPTS {
        let wrong = attempt(&service, "203.0.113.7", (ADA, WRONG), Some(&known)).await;
        assert_eq!(wrong.status(), 401);
    }
    let refused = attempt(&service, "203.0.113.9", (ADA, PASSWORD), Some(&known)).await;
    assert_eq!(refused.status(), 429);
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM known_devices")
        .fetch_all(service.pool())
        .await
        .unwrap();
    assert_eq!(stored.len(), 2, "a device that is known is not added again");
}

/// Most devices of an account are 20.
#[tokio::test(flavor = "multi_thread")]
async fn the_device_unused_for_longest_is_forgotten_first() {
    let service = start().await;
    register(&service, ADA).await;
    let mut devices = Vec::new();
    for _ in 0..20 {
        devices.push(cookie(&attempt(&service, HOME, (ADA, PASSWORD), None).await));
    }
    let used = attempt(&service, HOME, (ADA, PASSWORD), Some(&devices[0])).await;
    assert_eq!(cookie(&used), devices[0], "it is known");
    attempt(&service, HOME, (ADA, PASSWORD), None).await;
    for (device, is_known) in [(&devices[0], true), (&devices[2], true), (&devices[1], false)] {
        let answer = attempt(&service, HOME, (ADA, PASSWORD), Some(device)).await;
        assert_eq!(cookie(&answer) == *device, is_known);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_makes_devices_strangers_and_this_one_known() {
    let service = start().await;
    let account = register(&service, ADA).await;
    let user: UserId = account["id"].as_str().unwrap().parse().unwrap();
    let thief = cookie(&attempt(&service, "203.0.113.7", (ADA, PASSWORD), None).await);
    let request = service.request_as(user, &[], "PUT", "/api/v1/me/password");
    let request = request.header("X-Forwarded-Proto", "https");
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER });
    let changed = request.json(&body).send().await.unwrap();
    assert_eq!(changed.status(), 204);
    assert!(changed.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    let known = cookie(&changed);
    exhaust(&service, HOME, ADA).await;
    for (cookie, expected) in [(&thief, 429), (&known, 200)] {
        let answer = attempt(&service, HOME, (ADA, OTHER), Some(cookie)).await;
        assert_eq!(answer.status().as_u16(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_a_limit_over_all_accounts() {
    let service = start().await;
    register(&service, "bob@example.com").await;
    // All the addresses of one household.
    let address = |n: i32| format!("2001:db8:1:2::{n:x}");
    for n in 0..MAX_PER_NETWORK {
        let email = format!("user{}@example.com", n / FREE_ATTEMPTS);
        assert_eq!(status(&service, &address(n), &email, WRONG).await, 401, "{n}");
    }
    let bob = ("bob@example.com", PASSWORD);
    let refused = attempt(&service, &address(999), bob, None).await;
    assert!(refused.status() == 429 && (1..=900).contains(&seconds(&refused)), "{refused:?}");
    let elsewhere = attempt(&service, "2001:db8:1:3::1", bob, None).await;
    assert_eq!(elsewhere.status(), 200);
    let known = attempt(&service, &address(999), bob, Some(&cookie(&elsewhere))).await;
    assert_eq!(known.status(), 200, "a known device is not its neighbours");
}

/// A rented server has a /48, which is 65,536 networks; a home often 256 of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_48_has_a_limit_over_all_its_networks() {
    let service = start().await;
    let pool = service.pool();
    let network = |site: u8, n: i32| {
        let network: IpAddr = format!("2001:db8:{site}:{n:x}::").parse().unwrap();
        Some(network)
    };
    for n in 0..10 {
        for _ in 0..MAX_REGISTRATIONS {
            throttle::count_registration(pool, network(1, n)).await.unwrap();
        }
    }
    assert!(throttle::count_registration(pool, network(1, 10)).await.is_err());
    throttle::count_registration(pool, network(2, 10)).await.unwrap();

    // Before any password is looked at; each for another account.
    let count = async |site: u8, n: i32| {
        let email = format!("{}@example.com", UserId::new()).parse().unwrap();
        Attempt::new(pool, &email, network(site, n), None).await.unwrap().count(pool).await
    };
    for n in 0..10 {
        for _ in 0..MAX_PER_NETWORK {
            count(3, n).await.unwrap();
        }
        // What one network is refused is not counted for the others.
        assert!(count(3, n).await.is_err());
    }
    assert!(count(3, 10).await.is_err());
    count(4, 10).await.unwrap();
}

/// A clock that was put back must not keep anybody out until it gets there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_back_delays_nobody() {
    let service = start().await;
    register(&service, ADA).await;
    exhaust(&service, HOME, ADA).await;
    let jump = "UPDATE attempts SET first_at = first_at + interval '1 day',
                                    last_at = last_at + interval '1 day'";
    shift(&service, jump).await;
    let (status, tokens) = answer(attempt(&service, HOME, (ADA, PASSWORD), None).await).await;
    assert_eq!(status, 200, "{tokens}");
    assert_ne!(tokens["access_token"], Value::Null);
}
