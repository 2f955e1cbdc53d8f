//! The page for people who run shops says what the code says.

use std::fmt::Write as _;
use std::{env, fs};

use operator_core::status::{CONDITIONS, Reason};

use crate::support::repository;

const HEAD: &str = "\
# Conditions of a Shop

`kubectl get shop` shows `Ready` and `UpToDate`, `kubectl describe shop` all of them. What is not asked for has no condition. Wait with
`kubectl wait --for=condition=Ready shop/<name>` until a new shop sells, and for `UpToDate` after a change.
This page is made from the code by `make generate`.

| condition | true when |
|---|---|
";
const REMEDIES: &str = "
## What to do

By the reason of a condition. Each heals by itself when its cause is gone, and the message names the object that it is about.

| reason | means | do |
|---|---|---|
";
const OTHERS: &str = "
## Reasons that ask for nothing

| reason | means |
|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, meaning) in CONDITIONS {
        writeln!(page, "| `{name}` | {meaning} |").expect("a string takes anything");
    }
    page.push_str(REMEDIES);
    for reason in Reason::ALL {
        if let Some(remedy) = reason.remedy() {
            writeln!(page, "| `{}` | {} | {remedy} |", reason.as_str(), reason.meaning())
                .expect("a string takes anything");
        }
    }
    page.push_str(OTHERS);
    for reason in Reason::ALL.iter().filter(|reason| reason.remedy().is_none()) {
        writeln!(page, "| `{}` | {} |", reason.as_str(), reason.meaning())
            .expect("a string takes anything");
    }
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`make generate` says so by a variable")]
fn the_page_says_what_the_code_says() {
    let path = repository("docs/conditions.md");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run `make generate`");
}
