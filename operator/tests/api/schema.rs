//! Every case in `fixtures/cel`, judged by the API server.

use std::fs;
use std::path::Path;

use kube::api::{DeleteParams, PostParams, ResourceExt as _};
use operator_core::crd::Shop;
use serde::Deserialize as _;

use crate::world::World;

#[tokio::test]
async fn the_api_server_judges_every_case_as_its_header_says() {
    let world = World::new().await;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cel");
    let mut wrong = Vec::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().find_map(|line| line.strip_prefix("# expect: ")).unwrap();
        let verdict = judge(&world, &text).await;
        let right = match &verdict {
            Ok(()) => expected == "accepted",
            Err(message) => message.contains(expected),
        };
        if !right {
            wrong.push(format!("{}: expected {expected:?}, got {verdict:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Creates the first document, updates it to the second, and cleans up.
async fn judge(world: &World, text: &str) -> Result<(), String> {
    let api = kube::Api::<kube::core::DynamicObject>::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &kube::core::ApiResource::erase::<Shop>(&()),
    );
    let documents: Vec<serde_json::Value> = serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| serde_json::Value::deserialize(document).unwrap())
        .collect();
    let mut last: Option<kube::core::DynamicObject> = None;
    let mut verdict = Ok(());
    for document in documents {
        let mut object: kube::core::DynamicObject = serde_json::from_value(document).unwrap();
        let answer = match &last {
            None => api.create(&PostParams::default(), &object).await,
            Some(old) => {
                object.metadata.resource_version = old.resource_version();
                api.replace(&old.name_any(), &PostParams::default(), &object).await
            }
        };
        match answer {
            Ok(stored) => last = Some(stored),
            Err(kube::Error::Api(status)) => verdict = Err(status.message),
            Err(error) => verdict = Err(error.to_string()),
        }
    }
    if let Some(stored) = last {
        api.delete(&stored.name_any(), &DeleteParams::default()).await.unwrap();
    }
    verdict
}
