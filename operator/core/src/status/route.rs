//! What the Gateways make of a shop's HTTPRoute.
//!
//! Each controller writes into `status.parents` of the route what its Gateways say (Gateway API,
//! `RouteParentStatus`). One that does not know a Gateway writes nothing, so silence is all there
//! is to see of a Gateway whose name is misspelt.

use serde_json::Value;

use super::assessment::Part;
use super::reason::Reason;
use crate::child::Seen;
use crate::crd::ParentRef;

/// What stands of a Gateway in the status of a route.
enum Answer {
    Accepted,
    None,
    Refused(String),
}

/// Whether every Gateway in `parents` has taken the route of a shop in `namespace`.
pub fn route(namespace: &str, parents: &[ParentRef], route: &Seen) -> Part {
    let mut silent = Vec::new();
    for parent in parents {
        let gateway =
            format!("{}/{}", parent.namespace.as_deref().unwrap_or(namespace), parent.name);
        match answer(namespace, parent, route) {
            Answer::Accepted => {}
            Answer::None => silent.push(gateway),
            Answer::Refused(why) => {
                return Part::Failed(Reason::RouteRefused, format!("Gateway {gateway}: {why}"));
            }
        }
    }
    if silent.is_empty() {
        return Part::Ready(Reason::RouteAccepted, "every Gateway leads to the shop".to_owned());
    }
    let message = format!("no answer yet of Gateway {}", silent.join(", "));
    Part::Waiting(Reason::RouteUnanswered, message)
}

fn answer(namespace: &str, parent: &ParentRef, route: &Seen) -> Answer {
    let answers = route.status["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_parent = answers.iter().filter(|answer| names(namespace, parent, &answer["parentRef"]));
    let mut accepted = false;
    for condition in of_parent.filter_map(|answer| answer["conditions"].as_array()).flatten() {
        // What was said of the route as it was before is no answer.
        if condition["observedGeneration"].as_i64().unwrap_or(0) < route.generation {
            continue;
        }
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Accepted" | "ResolvedRefs"), Some("False")) => {
                let word = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                return Answer::Refused(format!("{}: {}", word("reason"), word("message")));
            }
            (Some("Accepted"), Some("True")) => accepted = true,
            _ => {}
        }
    }
    if accepted { Answer::Accepted } else { Answer::None }
}

/// Whether `reference`, from a route in `namespace`, names `parent`.
fn names(namespace: &str, parent: &ParentRef, reference: &Value) -> bool {
    let field = |name: &str| reference[name].as_str();
    field("name") == Some(&*parent.name)
        && field("sectionName") == parent.section_name.as_deref()
        && field("namespace").unwrap_or(namespace)
            == parent.namespace.as_deref().unwrap_or(namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parent(name: &str, namespace: Option<&str>, section: Option<&str>) -> ParentRef {
        ParentRef {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            section_name: section.map(str::to_owned),
        }
    }

    /// What is said of a second generation of a route by these answers.
    fn said(parents: &[ParentRef], answers: &Value) -> (Reason, String) {
        let status = json!({ "parents": answers });
        let part = route("shops", parents, &Seen { generation: 2, status, ..Seen::default() });
        (part.reason(), part.message().to_owned())
    }

    fn condition(type_: &str, status: &str, generation: i64) -> Value {
        json!({
            "type": type_, "status": status, "observedGeneration": generation,
            "reason": "Because", "message": "of it",
        })
    }

    #[test]
    fn every_gateway_must_accept() {
        let parents = [parent("a", None, None), parent("b", Some("edge"), Some("https"))];
        let accepted = || json!([condition("Accepted", "True", 2)]);
        let first = json!({ "parentRef": { "name": "a" }, "conditions": accepted() });
        let second = json!({
            "parentRef": { "name": "b", "namespace": "edge", "sectionName": "https" },
            "conditions": accepted(),
        });
        assert_eq!(said(&parents, &json!([first, second])).0, Reason::RouteAccepted);
        let (reason, message) = said(&parents, &json!([first]));
        assert_eq!(reason, Reason::RouteUnanswered);
        assert_eq!(message, "no answer yet of Gateway edge/b");
        assert_eq!(said(&parents, &Value::Null).1, "no answer yet of Gateway shops/a, edge/b");
    }

    #[test]
    fn a_refusal_is_passed_on_in_the_words_of_the_gateway() {
        let parents = [parent("a", None, None)];
        for refusal in ["Accepted", "ResolvedRefs"] {
            let conditions = [condition("Accepted", "True", 2), condition(refusal, "False", 2)];
            // Some controllers write out the namespace of the route.
            let reference = json!({ "name": "a", "namespace": "shops" });
            let answers = json!([{ "parentRef": reference, "conditions": conditions }]);
            let expected = (Reason::RouteRefused, "Gateway shops/a: Because: of it".to_owned());
            assert_eq!(said(&parents, &answers), expected);
        }
    }

    #[test]
    fn what_was_said_of_another_route_or_of_this_one_before_is_no_answer() {
        let parents = [parent("a", None, Some("https"))];
        let of = |reference: Value, status: &str, generation| {
            let conditions = [condition("Accepted", status, generation)];
            said(&parents, &json!([{ "parentRef": reference, "conditions": conditions }])).0
        };
        let right = json!({ "name": "a", "sectionName": "https" });
        assert_eq!(of(right.clone(), "True", 2), Reason::RouteAccepted);
        assert_eq!(of(right.clone(), "True", 1), Reason::RouteUnanswered);
        assert_eq!(of(right.clone(), "False", 1), Reason::RouteUnanswered);
        assert_eq!(of(right, "Unknown", 2), Reason::RouteUnanswered);
        assert_eq!(of(json!({ "name": "a" }), "True", 2), Reason::RouteUnanswered);
        let elsewhere = json!({ "name": "a", "namespace": "edge", "sectionName": "https" });
        assert_eq!(of(elsewhere, "True", 2), Reason::RouteUnanswered);
    }
}
