//! Who may do what: every operation has an answer for each actor, the answers fit the API's document, and
//! `docs/security.md` shows them. `make generate` (this test with `UPDATE=1`) writes them there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use e2e::actors::{Actor, OBJECTS, Row, table};
use serde_json::Value;

const BEGIN: &str = "<!-- generated: who may do what -->\n";
const END: &str = "<!-- end -->\n";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs")
}

/// Operations of the document.
fn operations() -> BTreeMap<(String, String), Value> {
    let text = std::fs::read(docs().join("openapi.json")).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, it)| ((method.to_uppercase(), path.clone()), it.clone()))
    });
    operations.collect()
}

fn operation(row: &Row) -> (String, String) {
    (row.method.clone(), row.path.clone())
}

#[test]
fn access_table_covers_every_operation_and_actor() {
    let (rows, operations) = (table().unwrap(), operations());
    let tried: BTreeSet<_> = rows.iter().map(operation).collect();
    assert_eq!(tried.len(), rows.len(), "an operation has two rows");
    let missing: Vec<_> = operations.keys().filter(|known| !tried.contains(*known)).collect();
    assert!(missing.is_empty(), "not in e2e/actors/: {missing:?}");
    let unknown: Vec<_> = tried.iter().filter(|row| !operations.contains_key(*row)).collect();
    assert!(unknown.is_empty(), "not in docs/openapi.json: {unknown:?}");
    for row in &rows {
        let named: BTreeSet<&str> = row.objects.keys().map(String::as_str).collect();
        let parameters: BTreeSet<&str> =
            row.path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert_eq!(named, parameters, "{} {}", row.method, row.path);
    }
}

#[test]
fn access_table_matches_the_documented_security() {
    let operations = operations();
    for row in table().unwrap() {
        // The document lists the ways to ask; one that is empty needs no token.
        let security = operations[&operation(&row)]["security"].as_array();
        let open = security.is_none_or(|ways| ways.iter().any(|way| *way == serde_json::json!({})));
        let guest = row.expected(Actor::Guest);
        assert_eq!(guest.word() != "log in", open, "{} {}", row.method, row.path);
        let others = Actor::ALL.into_iter().skip(1).map(|actor| row.expected(actor).word());
        assert!(!others.into_iter().any(|word| word == "log in"), "{} {}", row.method, row.path);
    }
}

/// Where the roles of an access token mean nothing: logging in and out, and webhooks.
const WITHOUT_ROLES: [&str; 2] = ["/api/v1/auth/", "/api/v1/webhooks/"];

#[test]
fn access_table_refuses_demoted_administrators() {
    for row in table().unwrap().iter().filter(|row| row.is_unsafe()) {
        let demoted = &row.expected(Actor::DemotedAdmin).statuses;
        if WITHOUT_ROLES.iter().any(|prefix| row.path.starts_with(prefix)) {
            let customer = &row.expected(Actor::Customer).statuses;
            assert_eq!(demoted, customer, "{} {}", row.method, row.path);
        } else {
            assert_eq!(*demoted, [403], "{} {}", row.method, row.path);
        }
    }
}

fn generated(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut service = "";
    for row in rows {
        if row.service != service {
            service = row.service;
            let heads = Actor::ALL.map(|actor| actor.to_string()).join(" | ");
            let lines = "---|".repeat(Actor::ALL.len() + 2);
            writeln!(text, "\n### {service}\n\n| operation | of | {heads} |\n|{lines}").unwrap();
        }
        let objects: Vec<&str> = row
            .objects
            .values()
            .map(|object| {
                let known = OBJECTS.iter().find(|(name, _)| name == object);
                known.map_or(object.trim_matches('\''), |(_, what)| *what)
            })
            .collect();
        let words = Actor::ALL.map(|actor| row.expected(actor).word()).join(" | ");
        let objects = objects.join(", ");
        writeln!(text, "| `{} {}` | {objects} | {words} |", row.method, row.path).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn security_page_shows_the_access_table() {
    let file = docs().join("security.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}{}{END}{after}", generated(&table().unwrap()));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/security.md is stale: run `make generate`");
    }
}
