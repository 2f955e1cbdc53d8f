//! Names hold for every Shop that the API server admits.

use operator_core::{
    build::{credentials, desired},
    components::COMPONENTS,
    crd::ServiceName,
    names,
    validate::validate,
};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{config, hashes, observed, shop};

/// The names that the rule on `metadata.name` admits.
const SHOP: &str = "[a-z]([-a-z0-9]{0,28}[a-z0-9])?";
/// DNS labels in the sense of RFC 1035, as the names of Services are.
const NAMESPACE: &str = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";

/// The images that the pattern of `services[].image` admits, with every kind of tag.
const IMAGE: &str = "[A-Za-z0-9][A-Za-z0-9._:/@-]{0,20}(:[A-Za-z0-9._:/@-]{0,70})?";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_child_has_a_valid_name_of_its_own(name in SHOP, namespace in NAMESPACE) {
        let mut shop = shop(json!({ "demoData": true }));
        shop.metadata.name = Some(name.clone());
        shop.metadata.namespace = Some(namespace.clone());
        let shop = validate(&shop, &observed(&[]), &config()).unwrap();
        let desired = desired(&shop, &hashes(&shop));
        let objects = desired.iter().map(|(_, object)| (object.kind().to_owned(), object.name().to_owned()));
        let secrets = credentials(&shop).into_iter().map(|secret| ("Secret".to_owned(), secret.name));
        let mut seen = std::collections::BTreeSet::new();
        for (kind, child) in objects.chain(secrets) {
            let prefix = format!("{name}-");
            prop_assert!(child.starts_with(&prefix));
            prop_assert!(child.len() <= 63, "{}", child);
            prop_assert!(child.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()));
            prop_assert!(seen.insert((kind, child)), "two objects of one kind and name");
        }
        for (_, object) in desired.iter() {
            prop_assert_eq!(object.namespace(), namespace.as_str());
            for value in object.body.metadata.labels.iter().flatten().map(|(_, value)| value) {
                prop_assert!(value.len() <= 63);
            }
        }
    }

    #[test]
    fn no_two_shops_share_a_database(
        one in (NAMESPACE, SHOP), other in (NAMESPACE, SHOP),
    ) {
        let all = |(namespace, shop): &(String, String)| -> Vec<String> {
            ServiceName::ALL.into_iter().map(|s| names::database(namespace, shop, s)).collect()
        };
        let (ours, theirs) = (all(&one), all(&other));
        prop_assert!(ours.iter().all(|name| name.len() <= 63));
        prop_assert!(one == other || ours.iter().all(|name| !theirs.contains(name)));
    }

    #[test]
    fn the_version_of_any_image_is_a_label(image in IMAGE) {
        if let Some(version) = names::version_label(&image) {
            prop_assert!(!version.is_empty() && is_label_value(&version), "{image}: {version}");
        }
    }

    #[test]
    fn a_tag_that_is_a_label_is_the_version(tag in "[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?") {
        let image = format!("localhost:5000/shop/order:{tag}@sha256:00");
        prop_assert_eq!(names::version_label(&image), Some(tag));
    }

    #[test]
    fn the_rule_and_the_operator_agree_on_names(name in "[a-z0-9.-]{0,33}") {
        let by_rule = regex_of_the_rule(&name) && name.len() <= names::MAX_SHOP_NAME;
        prop_assert_eq!(names::is_shop_name(&name), by_rule);
    }
}

/// `(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?`, at most 63 characters: the API server's rule.
fn is_label_value(value: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = value.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    bytes.len() <= 63
        && ends.is_none_or(|(first, last)| is_word(first) && is_word(last))
        && bytes.iter().all(|byte| is_word(byte) || b"-_.".contains(byte))
}

/// `^[a-z]([-a-z0-9]*[a-z0-9])?$`, as the CRD has it.
fn regex_of_the_rule(name: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match name.as_bytes() {
        [first] => first.is_ascii_lowercase(),
        [first, middle @ .., last] => {
            first.is_ascii_lowercase() && word(last) && middle.iter().all(|b| word(b) || *b == b'-')
        }
        [] => false,
    }
}

#[test]
fn the_database_of_a_long_name_ends_in_a_hash() {
    let name = names::database(&"n".repeat(63), "demo", ServiceName::Order);
    assert_eq!(name.len(), 63);
    assert_ne!(name, names::database(&"n".repeat(63), "demo", ServiceName::Cart));
    assert_eq!(names::database("shops", "demo", ServiceName::Order), "shops_demo_order");
}

#[test]
fn versions_are_read_from_images() {
    let cases = [
        ("localhost/shop-operator/order:1.0.0", Some("1.0.0")),
        ("localhost:5000/order", None),
        ("localhost:5000/order:a@sha256:00", Some("a")),
        ("order:edge-", Some("edge")),
        ("order:_edge._", Some("edge")),
        ("order:__", None),
        ("order:1.0:2.0", None),
        ("order@sha256:00", None),
    ];
    for (image, version) in cases {
        assert_eq!(names::version_label(image).as_deref(), version, "{image}");
    }
}

#[test]
fn the_table_has_one_row_per_service() {
    let rows: Vec<_> = COMPONENTS.iter().map(|component| component.name).collect();
    assert_eq!(rows, ServiceName::ALL);
}
