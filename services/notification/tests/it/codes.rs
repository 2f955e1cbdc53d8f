//! Limits to the codes that go to telephone numbers.

use contracts::UserId;
use kit::testing::Running;
use serde_json::{Value, json};

use crate::texts::{NUMBER, PHONE, Provider, shop, shop_for};

#[tokio::test(flavor = "multi_thread")]
async fn codes_go_to_the_countries_of_the_shop_and_to_others_within_limits() {
    let provider = Provider::default();
    let at_home = shop_for(&provider, "+49,+43").await;
    let everywhere = shop(&provider).await;
    let put = async |service: &Running, user: UserId, from: &str, number: &str| {
        let request = service.request_as(user, &[], "PUT", PHONE).header("x-forwarded-for", from);
        let answer = request.json(&json!({ "number": number })).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let ask = async |service: &Running, from: &str, number: &str| {
        put(service, UserId::new(), from, number).await
    };
    let jamaica = "+1 876 555 0123";
    let (status, problem) = ask(&at_home, "203.0.113.1", jamaica).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/number")), "{problem}");
    let (status, phone) = ask(&at_home, "203.0.113.1", "+49 151 1234-5678").await;
    assert_eq!((status, &phone["number"]), (202, &json!(NUMBER)), "{phone}");
    let (status, problem) = ask(&at_home, "203.0.113.1", "+49 30 123456 ext. 7").await;
    assert!(status == 422 && problem.to_string().contains("extension"), "{problem}");

    // Many accounts of one network, and many numbers of one country.
    let many = async |service: &Running, count: i32| {
        let sql = "INSERT INTO phone_codes (user_id, number, country)
                   SELECT gen_random_uuid(), '+1876555' || 1000 + n, '+1876' FROM generate_series(1, $1) n";
        sqlx::query(sql).bind(count).execute(service.pool()).await.unwrap();
    };
    for (number, wanted) in (0..51).map(|n| (n, if n < 50 { 202 } else { 429 })) {
        let number = format!("+49151123456{number:02}");
        assert_eq!(ask(&everywhere, "203.0.113.7", &number).await.0, wanted, "{number}");
    }
    assert_eq!(ask(&everywhere, "203.0.113.8", "+4915112345699").await.0, 202);
    many(&everywhere, 299).await;
    assert_eq!(ask(&everywhere, "203.0.113.9", "+18765550123").await.0, 202);
    assert_eq!(ask(&everywhere, "203.0.113.9", "+18765550124").await.0, 429);
    assert_eq!(ask(&everywhere, "203.0.113.9", "+4915112345698").await.0, 202, "another country");

    // One account, hour by hour.
    let ada = UserId::new();
    let age = "UPDATE phone_codes SET sent_at = sent_at - interval '61 minutes' WHERE user_id = $1";
    for (n, wanted) in (0..11).map(|n| (n, if n < 10 { 202 } else { 429 })) {
        let number = format!("+49160123456{n:02}");
        assert_eq!(put(&everywhere, ada, "203.0.113.10", &number).await.0, wanted, "{number}");
        sqlx::query(age).bind(ada.uuid()).execute(everywhere.pool()).await.unwrap();
    }
}

/// The networks of one rented server.
#[tokio::test(flavor = "multi_thread")]
async fn a_48_is_sent_so_many_codes_a_day() {
    let service = shop_for(&Provider::default(), "+49").await;
    let ask = async |from: &str, number: &str| {
        let request = service.request_as(UserId::new(), &[], "PUT", PHONE);
        let request = request.header("x-forwarded-for", from).json(&json!({ "number": number }));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("2001:db8:1:1::1", "+4915112345600").await, 202);
    let more = "INSERT INTO phone_codes (user_id, number, country, network, site)
                SELECT gen_random_uuid(), '+4916' || 1000000 + n, '+49', 'another', site
                FROM phone_codes, generate_series(1, 498) n";
    sqlx::query(more).execute(service.pool()).await.unwrap();
    assert_eq!(ask("2001:db8:1:2::1", "+4915112345601").await, 202);
    assert_eq!(ask("2001:db8:1:3::1", "+4915112345602").await, 429);
    assert_eq!(ask("2001:db8:2:3::1", "+4915112345602").await, 202);
}

/// Few codes to each of many countries are many.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_named_countries_sends_so_many_codes_a_day() {
    let provider = Provider::default();
    let (everywhere, at_home) = (shop(&provider).await, shop_for(&provider, "+49").await);
    let sent = "INSERT INTO phone_codes (user_id, number, country, sent_at)
                SELECT gen_random_uuid(), '+' || 200 + n % 200 || 1000000 + n, '+' || 200 + n % 200, now() - $2
                FROM generate_series(1, $1) n";
    let add = async |service: &Running, count: i32, hours: i64| {
        let age = std::time::Duration::from_secs(hours.unsigned_abs() * 3600);
        let query = sqlx::query(sent).bind(count).bind(age);
        query.execute(service.pool()).await.unwrap();
    };
    let ask = async |service: &Running, number: &str| {
        let request = service.request_as(UserId::new(), &[], "PUT", PHONE);
        let answer = request.json(&json!({ "number": number })).send().await.unwrap();
        answer.status().as_u16()
    };
    for service in [&everywhere, &at_home] {
        add(service, 500, 25).await;
        add(service, 999, 23).await;
        assert_eq!(ask(service, NUMBER).await, 202);
    }
    assert_eq!(ask(&everywhere, "+4915112345679").await, 429);
    assert_eq!(ask(&at_home, "+4915112345679").await, 202, "its operator has named where to");
    let metrics = everywhere.metrics().await;
    assert!(metrics.contains(r#"phone_codes_refused_total{limit="shop"}"#), "{metrics}");
}
