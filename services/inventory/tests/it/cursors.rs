//! Cursors and queries that were never issued: refused, and never an error of ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::UserId;
use kit::auth::Role;

use crate::http::answer;
use crate::world::{start, supply};

const ID: &str = "018f0000-0000-7000-8000-000000000000";

#[tokio::test]
async fn forged_cursors_and_queries_are_refused() {
    let running = start().await;
    supply(running.pool(), "A", 1).await;
    let day = |day: &str| format!(r#"["{day}","{ID}"]"#);
    let cursors = [
        ("/api/v1/stock", r#""\u0000""#.to_owned()),
        ("/api/v1/stock", r#""A\u0000""#.to_owned()),
        ("/api/v1/stock", r#""a""#.to_owned()),
        ("/api/v1/stock", format!("{:?}", "A".repeat(1000))),
        ("/api/v1/stock", "7".to_owned()),
        ("/api/v1/stock/announcements", day("-262143-01-01")),
        ("/api/v1/stock/announcements", day("-4713-01-01")),
        ("/api/v1/stock/announcements", day("+262142-12-31")),
        ("/api/v1/stock/announcements", day("0000-01-01")),
        ("/api/v1/stock/announcements", day("2026-01-01\\u0000")),
        ("/api/v1/stock/A/movements", "9223372036854775808".to_owned()),
        ("/api/v1/stock/A/movements", "1e400".to_owned()),
        ("/api/v1/stock/A/movements", r#""1""#.to_owned()),
    ];
    let cursors =
        cursors.iter().map(|(path, key)| format!("{path}?cursor={}", URL_SAFE_NO_PAD.encode(key)));
    let queries = [
        "/api/v1/stock?cursor=%00",
        "/api/v1/stock?low=%00",
        "/api/v1/stock?limit=99999999999999999999",
        "/api/v1/stock?page=4294967296",
        "/api/v1/stock?page=-1",
        "/api/v1/stock/announcements?sku=A%00",
        "/api/v1/stock/announcements?state=open%00",
        "/api/v1/stock/A/movements?limit=1e3",
    ];
    for path in cursors.chain(queries.map(str::to_owned)) {
        let request = running.request_as(UserId::new(), &[Role::Admin], "GET", &path);
        let (status, problem) = answer(request).await;
        assert_eq!(status, 400, "{path:.200}: {problem}");
    }
    // Beyond everything that there is, but well-formed.
    for (path, key) in [
        ("/api/v1/stock/A/movements", i64::MIN.to_string()),
        ("/api/v1/stock/announcements", day("9999-12-31")),
        ("/api/v1/stock", r#""ZZZ""#.to_owned()),
    ] {
        let path = format!("{path}?cursor={}", URL_SAFE_NO_PAD.encode(key));
        let request = running.request_as(UserId::new(), &[Role::Admin], "GET", &path);
        let (status, page) = answer(request).await;
        assert_eq!((status, &page["items"]), (200, &serde_json::json!([])), "{path}");
    }
}
