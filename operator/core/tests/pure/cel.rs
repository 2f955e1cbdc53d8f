//! The CEL rules, judged without a cluster. The same files are put to a real API server elsewhere.

use kube::core::cel::{Validator, compile_schema};

use crate::support::{documents, schema, yaml_files};

#[test]
fn the_rules_compile() {
    let compiled = compile_schema(&schema());
    assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
}

#[test]
fn every_case_is_judged_as_its_header_says() {
    let schema = schema();
    let validator = Validator::new();
    let cases = yaml_files("operator/tests/fixtures/cel");
    let mut wrong = Vec::new();
    for (name, yaml) in cases {
        let header = |key: &str| {
            let value = yaml.lines().find_map(|line| line.strip_prefix(&format!("# {key}: ")));
            value.unwrap_or_else(|| panic!("{name} says nothing of `{key}`")).to_owned()
        };
        let expected = header("expect");
        let steps = documents(&yaml);
        let (last, earlier) = steps.split_last().expect("a case has a Shop");
        for shop in earlier {
            if let Err(errors) = validator.validate(&schema, shop, None) {
                wrong.push(format!("{name}: its first Shop is refused: {errors:?}"));
            }
        }
        if header("judge") != "cel" {
            continue;
        }
        let verdict = validator.validate(&schema, last, earlier.last());
        let as_expected = match &verdict {
            Ok(()) => expected == "accepted",
            Err(errors) => errors.as_slice().iter().any(|e| e.message.contains(&expected)),
        };
        if !as_expected {
            wrong.push(format!("{name}: expected {expected:?}, got {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_has_a_case_that_it_refuses() {
    let cases = yaml_files("operator/tests/fixtures/cel");
    let mut untested = Vec::new();
    crate::crd::visit("", &schema(), &mut |path, field| {
        for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().expect("every rule has a message");
            let refuses = |yaml: &String| {
                let expected = yaml.lines().find_map(|line| line.strip_prefix("# expect: "));
                expected.is_some_and(|expected| message.contains(expected))
            };
            if !cases.values().any(refuses) {
                untested.push(format!("{path}: {message}"));
            }
        }
    });
    assert!(untested.is_empty(), "{untested:#?}");
}
