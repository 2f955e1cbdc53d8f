//! What letters say, and that they can be stored.

use contracts::Currency;

use super::*;

fn demo() -> Sender {
    Sender { shop: "demo".to_owned(), url: "https://demo.example".to_owned() }
}

fn paid(product: &str) -> Letter {
    let line = OrderLine {
        product_id: ProductId::new(),
        sku: "MUG-01-C".parse().unwrap(),
        name: product.to_owned(),
        quantity: 2,
        unit_price: Money::new(990, Currency::EUR),
    };
    let total = Money::new(1980, Currency::EUR);
    Letter::Paid { order_id: OrderId::new(), lines: vec![line], total }
}

#[test]
fn both_bodies_say_the_same() {
    let mail = paid("Red Mug").render(&demo(), "Ada");
    for body in [&mail.text, &mail.html] {
        for part in ["Hello Ada,", "2 × Red Mug", "9.90 EUR each", "19.80 EUR"] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }
}

#[test]
fn links_are_to_pages_of_the_shop_and_can_be_followed_in_both_bodies() {
    let token = EmailToken::new("s3cret".to_owned());
    let expires_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let mail = Letter::ResetPassword { token, expires_at }.render(&demo(), "Ada");
    let url = "https://demo.example/reset-password#s3cret";
    assert!(mail.text.contains(&format!("\n{url}\n")), "{}", mail.text);
    assert!(mail.html.contains(&format!("<a href=\"{url}\">{url}</a>")), "{}", mail.html);
    assert!(mail.text.contains("until 2027-01-15 08:00 UTC"), "{}", mail.text);
}

#[test]
fn who_did_not_register_reads_what_to_do() {
    let token = EmailToken::new("s3cret".to_owned());
    let mail = Letter::VerifyEmail { token, expires_at: Utc::now() }.render(&demo(), "");
    let url = "https://demo.example/forgot-password";
    assert!(mail.text.contains(&format!("choose your own password:\n\n{url}\n")), "{}", mail.text);
    assert!(mail.html.contains(&format!("<a href=\"{url}\">")), "{}", mail.html);
}

#[test]
fn nobody_brings_markup() {
    let mail = paid("<img src=x onerror=\"alert('1')\">").render(&demo(), "<b>Eve</b> & co");
    assert!(mail.html.contains("Hello &lt;b&gt;Eve&lt;/b&gt; &amp; co,"), "{}", mail.html);
    assert!(mail.html.contains("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;"));
    assert!(!mail.html.contains("<img") && !mail.html.contains("<b>"));
    assert!(mail.text.contains("<b>Eve</b> & co"), "plain text is as it is");
}

#[test]
fn nobody_brings_a_message_or_a_link_of_their_own() {
    let name = "You won 500 EUR: http://evil.example or evil.example/claim";
    let product = "Mug \u{202e}http://evil.example\r\nBcc: eve@evil.example";
    for mail in [paid(product).render(&demo(), name), Letter::Welcome.render(&demo(), name)] {
        for body in [&mail.subject, &mail.text, &mail.html] {
            assert!(!body.contains("evil.example"), "{body}");
            assert!(!body.contains(['\u{202e}', '\r']), "{body:?}");
        }
    }
    let product_id = ProductId::new();
    let letter = Letter::FavouriteAvailable { product_id, name: Some(product.to_owned()) };
    assert_eq!(letter.render(&demo(), "").subject, "Mug Bcc: eve@evil. example is there again");
    assert!(letter.render(&demo(), "\u{200b}").text.starts_with("Hello,\n"));
}

#[test]
fn every_letter_survives_being_stored() {
    let (order_id, expires_at) = (OrderId::new(), Utc::now());
    let token = EmailToken::new("s3cret".to_owned());
    let sku: Sku = "MUG-01-C".parse().unwrap();
    let (other, euros) = (sku.clone(), Money::new(990, Currency::EUR));
    for letter in [
        Letter::Welcome,
        Letter::VerifyEmail { token: token.clone(), expires_at },
        Letter::ResetPassword { token, expires_at },
        Letter::PasswordChanged,
        Letter::RegistrationAttempted,
        paid("Red Mug"),
        Letter::Rejected {
            order_id,
            shortages: vec![Shortage { sku, requested: 2, available: 1 }],
        },
        Letter::Cancelled { order_id, reason: CancelReason::ByCustomer, refunded: None },
        Letter::Expired { order_id },
        Letter::Shipped { order_id },
        Letter::Delivered { order_id, lines: vec![] },
        Letter::Returned { order_id, refunded: Some(euros) },
        Letter::Refunded { order_id, amount: euros, total: None },
        Letter::ActionRequired { order_id, url: "https://bank.example/2".to_owned() },
        Letter::FavouriteAvailable { product_id: ProductId::new(), name: None },
        Letter::StockLow { sku: other, name: "Mug".to_owned(), available: 1, threshold: 2 },
    ] {
        let stored = serde_json::to_value(&letter).unwrap();
        assert_eq!(serde_json::from_value::<Letter>(stored).unwrap(), letter);
    }
}

#[test]
fn letters_of_earlier_releases_can_be_read() {
    let order_id = OrderId::new();
    let stored = serde_json::json!({
        "kind": "cancelled", "order_id": order_id, "reason": "by_staff"
    });
    let letter = serde_json::from_value::<Letter>(stored).unwrap();
    let reason = CancelReason::ByStaff;
    assert_eq!(letter, Letter::Cancelled { order_id, reason, refunded: None });
}
