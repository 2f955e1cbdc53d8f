//! The code under `src/gen` is what the protos compile to, and `schemas/` is what the events look
//! like. `make generate` (this test with `UPDATE=1`) writes both anew.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use contracts::events;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the files of a folder with what they must be, or writes them.
fn check(folder: &Path, wanted: &BTreeMap<String, String>) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(folder).unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, text) in wanted {
            std::fs::write(folder.join(name), text).unwrap();
        }
        return;
    }
    let found: BTreeMap<String, String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(wanted), "{} is stale: run `make generate`", folder.display());
    for (name, text) in wanted {
        assert!(found[name] == *text, "{}/{name} is stale: run `make generate`", folder.display());
    }
}

#[test]
fn generated_code_matches_the_protos() {
    let proto = root().join("proto");
    let files: Vec<PathBuf> = ["user", "catalog", "inventory", "review", "order"]
        .iter()
        .map(|name| proto.join(format!("shop/{name}/v1/{name}.proto")))
        .collect();
    let descriptors = protox::compile(&files, [&proto]).expect("the protos compile");
    let out = std::env::temp_dir().join(format!("contracts-gen-{}", std::process::id()));
    std::fs::create_dir_all(&out).unwrap();
    tonic_prost_build::configure()
        .build_transport(true)
        .out_dir(&out)
        .compile_fds(descriptors)
        .expect("code is generated");
    let wanted = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    std::fs::remove_dir_all(&out).unwrap();
    check(&root().join("src/gen"), &wanted);
}

#[test]
fn schemas_match_the_events() {
    let wanted = events::schemas()
        .into_iter()
        .map(|(event_type, schema)| {
            let text = serde_json::to_string_pretty(&schema).unwrap();
            (format!("{event_type}.json"), format!("{text}\n"))
        })
        .collect();
    check(&root().join("schemas"), &wanted);
}
