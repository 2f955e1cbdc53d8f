//! What services are told by their environment.

use contracts::env;
use serde_json::{Value, json};

use crate::{
    build::{objects, templates},
    support::validated,
};

/// The value of a variable of a pod's only container.
fn value(template: &Value, name: &str) -> Option<String> {
    let variables = template.pointer("/spec/containers/0/env")?.as_array()?;
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().map(str::to_owned)
}

#[test]
fn only_the_gateway_knows_its_proxies_and_only_if_there_are_some() {
    let proxies = json!(["10.244.0.0/16", "fd00::/8"]);
    let shop = validated(json!({ "gateway": { "trustedProxies": proxies } }));
    for (owner, template) in templates(&objects(&shop)) {
        let expected = (owner == "Deployment demo-gateway").then_some("10.244.0.0/16,fd00::/8");
        assert_eq!(value(&template, env::TRUSTED_PROXIES).as_deref(), expected, "{owner}");
    }
    for (owner, template) in templates(&objects(&validated(json!({})))) {
        assert!(!template.to_string().contains(env::TRUSTED_PROXIES), "{owner}");
    }
}
