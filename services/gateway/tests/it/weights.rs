//! Requests are shared between two versions of a service, as a file says that changes while they come.

use std::path::PathBuf;

use contracts::weights::{Weight, Weights};
use kit::testing::{Running, eventually};
use uuid::Uuid;

use crate::support::{Echo, echo, gateway, listener, metric, nowhere, problem, url_of};

/// A file that the operator would write, gone with the test.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("weights-{}.json", Uuid::now_v7())))
    }

    /// Replaces the file at once, as the kubelet does.
    fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn share(&self, service: &str, percent: u8, url: &str) {
        let weight = Weight { percent, url: url.to_owned() };
        let weights = Weights::from([(service.to_owned(), weight)]);
        self.write(&serde_json::to_string(&weights).unwrap());
    }

    fn path(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How many of so many requests the new version answers.
async fn answered_by_new(gateway: &Running, path: &str, requests: usize) -> usize {
    let mut new = 0;
    for _ in 0..requests {
        let answer = gateway.request("GET", path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let echo: Echo = answer.json().await.unwrap();
        new += usize::from(echo.service == "new");
    }
    new
}

async fn takes_over(service: &str, percent: u8) {
    let name = format!("gateway_canary_weight_percent{{upstream=\"{service}\"}}");
    eventually("the gateway has read the file", async || {
        ((metric(&name) - f64::from(percent)).abs() < 0.1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn shares_are_exact_and_change_without_a_restart() {
    let (old, new, file) = (echo("old").await, echo("new").await, File::new());
    file.share("catalog", 25, &new);
    let variables = [("CATALOG_HTTP_URL", old), ("WEIGHTS_FILE", file.path())];
    let gateway = gateway(&variables).await;
    let path = "/api/v1/products";
    // From the very first request.
    assert_eq!(answered_by_new(&gateway, path, 100).await, 25);
    for percent in [1, 50, 100, 0] {
        file.share("catalog", percent, &new);
        takes_over("catalog", percent).await;
        assert_eq!(answered_by_new(&gateway, path, 100).await, usize::from(percent));
    }
    let orders = gateway.request("GET", "/api/v1/orders").send().await.unwrap();
    assert_eq!(orders.status(), 503, "no other service is touched");
}

#[tokio::test]
async fn without_a_file_that_makes_sense_the_old_version_gets_everything() {
    let (old, new, file) = (echo("old").await, echo("new").await, File::new());
    let variables = [("INVENTORY_HTTP_URL", old), ("WEIGHTS_FILE", file.path())];
    let gateway = gateway(&variables).await;
    let path = "/api/v1/stock/MUG";
    assert_eq!(answered_by_new(&gateway, path, 10).await, 0, "there is no file");
    let bad_url = r#"{"inventory": {"percent": 100, "url": "nowhere"}}"#;
    let stranger = r#"{"bakery": {"percent": 100, "url": "http://bakery:8080"}}"#;
    for bad in ["", "{", "[]", "{\"inventory\": 100}", bad_url, stranger] {
        file.share("inventory", 100, &new);
        takes_over("inventory", 100).await;
        assert_eq!(answered_by_new(&gateway, path, 10).await, 10);
        file.write(bad);
        takes_over("inventory", 0).await;
        assert_eq!(answered_by_new(&gateway, path, 10).await, 0, "{bad}");
    }
    file.share("inventory", 100, &new);
    takes_over("inventory", 100).await;
    std::fs::remove_file(&file.0).unwrap();
    takes_over("inventory", 0).await;
    assert_eq!(answered_by_new(&gateway, path, 10).await, 0, "the file is gone");
}

/// Its pods go before the gateway hears of it.
#[tokio::test]
async fn a_new_version_that_is_away_is_not_noticed() {
    let (old, file) = (echo("old").await, File::new());
    let (address, _socket) = nowhere();
    file.share("order", 100, &format!("http://{address}"));
    let gateway = gateway(&[("ORDER_HTTP_URL", old), ("WEIGHTS_FILE", file.path())]).await;
    let away = "gateway_canary_unreachable_total{upstream=\"order\"}";
    let before = metric(away);
    for method in ["GET", "POST"] {
        let request = gateway.request(method, "/api/v1/orders").body("five bytes");
        let echo: Echo = request.send().await.unwrap().json().await.unwrap();
        assert_eq!((echo.service.as_str(), echo.bytes), ("old", 10), "{method}");
    }
    assert!((metric(away) - before - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn what_the_new_version_may_have_done_is_not_done_again_by_the_old() {
    let (old, file, listener) = (echo("old").await, File::new(), listener().await);
    file.share("payment", 100, &url_of(&listener));
    // It reads what it is sent and hangs up.
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 1024]).await;
        }
    });
    let gateway = gateway(&[("PAYMENT_HTTP_URL", old), ("WEIGHTS_FILE", file.path())]).await;
    let reading = gateway.request("GET", "/api/v1/payments").send().await.unwrap();
    assert_eq!(reading.json::<Echo>().await.unwrap().service, "old");
    let paying = gateway.request("POST", "/api/v1/payments").body("{}").send().await.unwrap();
    assert_eq!(problem(paying).await, (503, "unavailable".to_owned()));
}

/// The operator reads this histogram of new versions, whatever service they are of.
#[tokio::test]
async fn what_new_versions_are_judged_by_is_what_services_measure() {
    let gateway = gateway(&[("CART_HTTP_URL", echo("old").await)]).await;
    assert_eq!(gateway.request("GET", "/api/v1/cart").send().await.unwrap().status(), 200);
    let text = kit::metrics::text();
    let (name, status) =
        (contracts::metrics::HTTP_SERVER_DURATION, contracts::metrics::HTTP_STATUS);
    for series in ["_count{", "_bucket{"] {
        let begin = format!("{name}{series}");
        let found = text.lines().filter(|line| line.starts_with(&begin));
        assert!(found.clone().any(|line| line.contains(&format!("{status}=\"200\""))), "{begin}");
        let bounds = found.filter(|line| line.contains("le=\"1\"")).count();
        assert_eq!(bounds > 0, series == "_bucket{", "a second is a bound");
    }
}
