//! The CRD as the API server should see it, and the pieces of schema that derives cannot express.

use contracts::Currency;
use contracts::search::LANGUAGES;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::Shop;
use crate::installed::VERSION_ANNOTATION;
use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;

/// Syntax of a quantity, without the exponents and the precision that nobody writes by hand.
const QUANTITY: &str = r"^([0-9]{1,15}m|[0-9]{1,15}(\.[0-9]{1,3})?([kMGTPE]|[KMGTPE]i)?)$";

/// What the keys of labels and annotations must not be, in CEL.
const RESERVED: &str =
    "!key.startsWith('shop-operator.io/') && !key.startsWith('app.kubernetes.io/')";

/// The fields of [`Scheduling`](super::Scheduling).
const SCHEDULING: [&str; 5] =
    ["nodeSelector", "tolerations", "affinity", "priorityClassName", "topologySpreadConstraints"];

/// Schema of a volume's size: a string, so that CEL's `quantity()` takes it.
pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 32, "pattern": QUANTITY })
}

/// Schema of a currency: the codes that the services know, so that the API server refuses all others.
pub(super) fn currency(_: &mut SchemaGenerator) -> Schema {
    let codes: Vec<String> = Currency::all().into_iter().map(String::from).collect();
    json_schema!({ "type": "string", "minLength": 3, "maxLength": 3, "enum": codes })
}

/// Schema of the language of searches.
pub(super) fn search_language(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": LANGUAGES })
}

/// Schema of the resources of a container.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "pattern": QUANTITY,
        },
    })
}

/// Schema of labels of the operator's objects.
pub(super) fn labels(generator: &mut SchemaGenerator) -> Schema {
    let mut labels = label_values(generator).to_value();
    let of_controllers =
        "['pod-template-hash', 'controller-revision-hash', 'controller-uid', 'job-name']";
    let reserved = format!(
        "{RESERVED} && !key.startsWith('batch.kubernetes.io/') && !(key in {of_controllers})"
    );
    labels["x-kubernetes-validations"] = json!([{
        "rule": format!("self.all(key, {reserved})"),
        "message": "labels of shop-operator.io/ and app.kubernetes.io/ are the operator's, and those that tell pods of a controller apart are its own",
    }]);
    labels.try_into().expect("it is a schema")
}

/// Schema of annotations of the operator's objects.
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 16384 },
        "x-kubernetes-validations": [{
            "rule": format!("self.all(key, {RESERVED})"),
            "message": "annotations of shop-operator.io/ and app.kubernetes.io/ are the operator's",
        }],
    })
}

/// Schema of labels of other objects: their keys are judged by validation, because a schema cannot.
pub(super) fn label_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        },
    })
}

/// Schema of a type of Kubernetes: bounded, and with the first sentence of each description, because they are long and
/// the definition has many of them.
pub(super) fn kubernetes<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>().to_value();
    bound(&mut schema);
    allow(&mut schema, &["In", "NotIn", "Exists", "DoesNotExist"]);
    schema.try_into().expect("a bounded schema is a schema")
}

/// Schema of affinities, with what the API server would refuse in a pod.
pub(super) fn affinity(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = kubernetes::<Affinity>(generator).to_value();
    let nodes = &mut schema["properties"]["nodeAffinity"];
    allow(nodes, &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);
    weigh(&mut schema);
    schema.try_into().expect("it is a schema")
}

/// Bounds the weights of preferences.
fn weigh(schema: &mut Value) {
    if let Some(weight) = schema.pointer_mut("/properties/weight") {
        weight["minimum"] = json!(1);
        weight["maximum"] = json!(100);
    }
    each_below(schema, &mut |_, below| weigh(below));
}

/// Allows these operators in the requirements of selectors.
fn allow(schema: &mut Value, operators: &[&str]) {
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    if let Some(fields) = fields.filter(|fields| fields.contains_key("values")) {
        fields["operator"]["enum"] = json!(operators);
    }
    each_below(schema, &mut |_, below| allow(below, operators));
}

/// Schema of tolerations, with what the API server would refuse in a pod.
pub(super) fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    let mut item = kubernetes::<Toleration>(generator).to_value();
    item["properties"]["operator"]["enum"] = json!(["Exists", "Equal"]);
    item["properties"]["effect"]["enum"] =
        json!(["", "NoSchedule", "PreferNoSchedule", "NoExecute"]);
    item["x-kubernetes-validations"] = json!([
        {
            "rule": "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
            "message": "a toleration without key tolerates every taint: its operator must be Exists",
        },
        {
            "rule": "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "message": "a toleration with operator Exists has no value",
        },
        {
            "rule": "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "message": "tolerationSeconds needs the effect NoExecute",
        },
    ]);
    json_schema!({ "type": "array", "maxItems": 16, "items": item })
}

/// Schema of what pods may connect to, with what the API server would refuse in a policy.
pub(super) fn egress(generator: &mut SchemaGenerator) -> Schema {
    let mut item = kubernetes::<NetworkPolicyEgressRule>(generator).to_value();
    let port = &mut item["properties"]["ports"]["items"]["properties"];
    port["protocol"]["enum"] = json!(["TCP", "UDP", "SCTP"]);
    port["endPort"]["maximum"] = json!(65535);
    json_schema!({ "type": "array", "maxItems": 32, "items": item })
}

/// Schema of topology spread constraints, with what the API server would refuse in a pod.
pub(super) fn topology_spread_constraints(generator: &mut SchemaGenerator) -> Schema {
    let mut item = kubernetes::<TopologySpreadConstraint>(generator).to_value();
    let fields = &mut item["properties"];
    fields["maxSkew"]["minimum"] = json!(1);
    fields["minDomains"]["minimum"] = json!(1);
    fields["topologyKey"]["minLength"] = json!(1);
    fields["whenUnsatisfiable"]["enum"] = json!(["DoNotSchedule", "ScheduleAnyway"]);
    for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        fields[policy]["enum"] = json!(["Honor", "Ignore"]);
    }
    json_schema!({ "type": "array", "maxItems": 8, "items": item })
}

/// Bounds what Kubernetes leaves open, and shortens descriptions.
fn bound(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(description) = fields.get("description").and_then(Value::as_str) {
        let sentence = description.split_once(". ").map_or(description, |(first, _)| first);
        let sentence = format!("{}.", sentence.trim_end_matches('.'));
        fields.insert("description".into(), json!(sentence));
    }
    let bounds: &[(&str, i64)] = match fields.get("type").and_then(Value::as_str) {
        Some("string") => &[("maxLength", 253)],
        Some("array") => &[("maxItems", 32)],
        Some("integer") => &[("minimum", 0), ("maximum", 2_147_483_647)],
        Some("object") if fields.contains_key("additionalProperties") => &[("maxProperties", 32)],
        _ => &[],
    };
    for (name, bound) in bounds {
        fields.entry(*name).or_insert_with(|| json!(bound));
    }
    each_below(schema, &mut |_, below| bound(below));
}

/// The CRD of [`Shop`].
pub fn definition() -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(Shop::crd()).expect("a CRD is JSON");
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    let spec = &mut schema["properties"]["spec"]["properties"];
    for (name, field) in spec.as_object_mut().into_iter().flatten() {
        if name != "scheduling" {
            explain_once(field);
        }
    }
    // The five-line Shop has no spec at all; the derive cannot say so.
    if let Some(root) = schema.as_object_mut() {
        root.remove("required");
    }
    schema["properties"]["spec"]["default"] = json!({});
    crd["metadata"]["annotations"] = json!({ VERSION_ANNOTATION: env!("CARGO_PKG_VERSION") });
    serde_json::from_value(crd).expect("a tidied CRD is a CRD")
}

/// The CRD of [`Shop`] as YAML.
pub fn yaml() -> String {
    serde_yaml_ng::to_string(&definition()).expect("a CRD is YAML")
}

/// Leaves the explanation of Kubernetes' own types to `spec.scheduling`, so that `kubectl apply` can store the definition
/// in an annotation.
fn explain_once(schema: &mut Value) {
    fn strip(schema: &mut Value) {
        schema.as_object_mut().into_iter().for_each(|fields| drop(fields.remove("description")));
        each_below(schema, &mut |_, below| strip(below));
    }
    each_below(schema, &mut |name, field| {
        if !SCHEDULING.contains(&name) {
            return explain_once(field);
        }
        each_below(field, &mut |_, below| strip(below));
        let text = field["description"].as_str().unwrap_or_default();
        field["description"] = json!(format!("{text} Absent: as in `spec.scheduling`."));
    });
}

/// Shows the schemas right below one, with their names.
fn each_below(schema: &mut Value, see: &mut impl FnMut(&str, &mut Value)) {
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    fields.into_iter().flatten().for_each(|(name, field)| see(name, field));
    for name in ["items", "additionalProperties"] {
        schema.get_mut(name).into_iter().for_each(|below| see(name, below));
    }
}

/// Takes out what the derives put in and the API server does not want: `nullable` (a null then
/// counts as absent, so that `has()` in a CEL rule means what it says), titles, and formats that
/// it warns about.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.remove("nullable");
            }
            if fields.get("title").is_some_and(Value::is_string) {
                fields.remove("title");
            }
            if fields.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                fields.remove("format");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
