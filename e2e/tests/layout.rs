//! Who may know whom (`docs/architecture.md`), and that a service has the rooms it should have.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

const SERVICES: [&str; 9] = [
    "gateway",
    "user",
    "catalog",
    "cart",
    "order",
    "payment",
    "inventory",
    "review",
    "notification",
];

/// Members of the workspace, and which other members each imports outside its tests.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let members: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let imported = package
                .dependencies
                .iter()
                .filter(|d| d.kind == DependencyKind::Normal && members.contains(&d.name))
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), imported)
        })
        .collect()
}

#[test]
fn crates_know_only_whom_they_may_know() {
    let imports = imports();
    let allowed = |member: &str| -> BTreeSet<String> {
        let names: &[&str] = match member {
            "contracts" | "telemetry" | "e2e" => &[],
            "bench" => &["e2e"],
            "listener" | "operator-core" => &["contracts"],
            "kit" => &["contracts", "listener", "telemetry"],
            "operator" => &["contracts", "listener", "operator-core", "telemetry"],
            "backup" => &["contracts", "kit"],
            service if SERVICES.contains(&service) => &["contracts", "kit"],
            other => panic!("{other} has no place in docs/architecture.md"),
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    for (member, imported) in &imports {
        let allowed = allowed(member);
        let forbidden: Vec<_> = imported.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{member} must not import {forbidden:?}");
    }
    for service in SERVICES {
        assert!(imports.contains_key(service), "there is no service {service}");
    }
}

/// `operator-core` does no I/O; `operator/core/clippy.toml` disallows clocks and the environment.
#[test]
fn operator_core_depends_on_nothing_with_io() {
    let tree = |package: &str| {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--package",
                package,
            ])
            // The features of this crate alone, whatever its neighbours turn on.
            .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
    };
    // Crates that open sockets, or wait.
    let reaches = ["kube-client", "kube-runtime", "mio", "rdkafka", "socket2", "sqlx", "tokio"];
    let reaches = reaches.map(str::to_owned).into();
    let (core, operator): (BTreeSet<String>, BTreeSet<String>) =
        (tree("operator-core"), tree("operator"));
    assert_eq!(operator.intersection(&reaches).count(), reaches.len(), "of {reaches:?}");
    let found: Vec<_> = core.intersection(&reaches).collect();
    assert!(found.is_empty(), "operator-core depends on {found:?}");
}

#[test]
fn third_party_versions_stand_once() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for package in metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let sections = manifest.split("dependencies]").skip(1);
        for line in sections.flat_map(|part| part.split("\n[").next().unwrap_or_default().lines()) {
            let pinned = line.contains("version = ") || line.contains("= \"");
            assert!(!pinned, "{}: {line}: name the version in the root", package.manifest_path);
        }
    }
}

#[test]
fn services_have_the_same_rooms() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("services");
    for service in SERVICES {
        for file in ["src/main.rs", "src/lib.rs", "src/http.rs", "openapi.json", "tests/it/main.rs"]
        {
            assert!(root.join(service).join(file).exists(), "services/{service}/{file} is missing");
        }
        let main = std::fs::read_to_string(root.join(service).join("src/main.rs")).unwrap();
        assert!(main.lines().count() < 40, "services/{service}/src/main.rs is more than a main");
    }
}

/// Lists outside Rust that a tenth service has to be added to.
#[test]
fn scripts_and_tilt_know_every_service() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (file, begin, end) in
        [("Tiltfile", "\nSERVICES = [", ']'), ("scripts/common.sh", "\nSERVICES=(", ')')]
    {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let list = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).unwrap().0;
        let named: Vec<&str> =
            list.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
        assert_eq!(named, SERVICES, "SERVICES of {file}");
    }
}

/// A change in a crate that Tilt does not watch would not be built.
#[test]
fn tilt_watches_what_programs_are_built_from() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tiltfile = std::fs::read_to_string(root.join("Tiltfile")).unwrap();
    let imports = imports();
    let programs =
        imports.iter().filter(|(member, _)| !["bench", "e2e"].contains(&member.as_str()));
    let shared: BTreeSet<&String> = programs.flat_map(|(_, imported)| imported).collect();
    assert!(!shared.is_empty());
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let is_shared = |package: &&Package| shared.iter().any(|member| **member == *package.name);
    for package in metadata.packages.iter().filter(is_shared) {
        let folder = package.manifest_path.parent().unwrap();
        let folder = folder.strip_prefix(&metadata.workspace_root).unwrap();
        // A crate in the folder of another is watched with it.
        let is_crate = |folder: &&Utf8Path| {
            !folder.as_str().is_empty() && root.join(folder).join("Cargo.toml").exists()
        };
        let mut folders = folder.ancestors().filter(is_crate);
        let is_watched = folders.any(|folder| tiltfile.contains(&format!("'{folder}'")));
        assert!(is_watched, "the Tiltfile does not watch {folder}");
    }
}

/// Every function of `docs/features.md` names tests that there are, and no endpoint is left out.
#[test]
fn features_have_tests_and_endpoints_are_features() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let features = std::fs::read_to_string(root.join("docs/features.md")).unwrap();
    let named: BTreeSet<&str> = features.split('`').skip(1).step_by(2).collect();

    let mut tests = 0;
    for (place, test) in named.iter().filter_map(|name| name.split_once("::")) {
        // The page's own example.
        if test == "test" {
            continue;
        }
        let (file, written) = match place.split_once('/') {
            None => ("e2e/tests/cluster/main.rs".to_owned(), format!("\"{test}\"")),
            Some(("operator", file)) => {
                (format!("operator/tests/api/{file}.rs"), format!("fn {test}("))
            }
            Some(("model", file)) => {
                (format!("operator/core/tests/model/{file}.rs"), format!("fn {test}("))
            }
            Some((service, file)) => {
                (format!("services/{service}/tests/it/{file}.rs"), format!("fn {test}("))
            }
        };
        let source = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        assert!(source.contains(&written), "{place}::{test} is not in {file}");
        tests += 1;
    }
    assert!(tests > 50, "only {tests} tests are named");

    for service in SERVICES {
        let document = root.join("services").join(service).join("openapi.json");
        let document: serde_json::Value =
            serde_json::from_slice(&std::fs::read(document).unwrap()).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let path = path.strip_prefix("/api/v1").unwrap_or(path);
                let endpoint = format!("{} {path}", method.to_uppercase());
                assert!(named.contains(endpoint.as_str()), "{endpoint} is not in docs/features.md");
            }
        }
    }
}
