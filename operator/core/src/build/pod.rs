//! Pods: what every one of them has, whatever it runs. They pass the restricted Pod Security
//! standard, and nothing in them depends on the version of the operator.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        ExecAction, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec,
        PodTemplateSpec, Probe, SeccompProfile, SecretKeySelector, SecretVolumeSource,
        SecurityContext, TCPSocketAction, TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::Scope;
use crate::role::Role;
use crate::{
    crd::{PodMetadata, PullPolicy, Scheduling},
    names,
    validate::ValidatedShop,
};

/// Where Secrets and ConfigMaps are mounted, each in a directory of its name.
const SECRETS: &str = "/etc/shop";

/// A pod of a shop, but for how it is spread. `user` is the numeric user and group of its processes and files.
pub(super) fn spec(
    shop: &ValidatedShop,
    role: Role,
    user: i64,
    scheduling: &Scheduling,
    container: Container,
    volumes: Vec<Volume>,
) -> PodSpec {
    let pull_secrets: Vec<_> =
        shop.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        node_selector: scheduling.node_selector.clone().filter(|labels| !labels.is_empty()),
        tolerations: scheduling.tolerations.clone().filter(|all| !all.is_empty()),
        affinity: scheduling.affinity.clone(),
        priority_class_name: scheduling.priority_class_name.clone(),
        service_account_name: Some(names::child(&shop.name, role)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            fs_group: Some(user),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![confined(shop, container)],
        volumes: (!volumes.is_empty()).then_some(volumes),
        ..PodSpec::default()
    }
}

/// How pods with these labels are spread, if the spec says so. Of a Deployment, by `keys`, pods of one revision.
pub(super) fn spread(
    scheduling: &Scheduling,
    selector: &BTreeMap<String, String>,
    keys: &[&str],
) -> Option<Vec<TopologySpreadConstraint>> {
    let constraints = scheduling.topology_spread_constraints.clone()?;
    let about_own = |constraint: TopologySpreadConstraint| {
        if constraint.label_selector.is_some() {
            return constraint;
        }
        let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
        TopologySpreadConstraint {
            label_selector: Some(names::label_selector(selector.clone())),
            match_label_keys: constraint.match_label_keys.or((!keys.is_empty()).then_some(keys)),
            ..constraint
        }
    };
    Some(constraints.into_iter().map(about_own).collect())
}

/// A container that may do nothing that it need not.
pub(super) fn confined(shop: &ValidatedShop, container: Container) -> Container {
    Container {
        image_pull_policy: Some(pull_policy(shop.pull_policy).into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        ..container
    }
}

/// The template of a pod. The annotation restarts it once when a Secret that it reads changes.
pub(super) fn template(
    scope: &Scope<'_>,
    labels: BTreeMap<String, String>,
    metadata: &PodMetadata,
    spec: PodSpec,
) -> PodTemplateSpec {
    let hashes: Vec<_> = secrets(&spec)
        .iter()
        .map(|name| format!("{name}={}", scope.hashes.get(*name).map_or("", String::as_str)))
        .collect();
    // The operator's own win.
    let PodMetadata { labels: mut all, mut annotations } = metadata.clone();
    all.extend(labels);
    if !hashes.is_empty() {
        annotations.insert(names::SECRETS_HASH.into(), names::short_hash(&hashes.join(",")));
    }
    let annotations = (!annotations.is_empty()).then_some(annotations);
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(all), annotations, ..ObjectMeta::default() }),
        spec: Some(spec),
    }
}

/// A template that stays as it is but for Secrets: a new password is for all pods, whatever their version. Of one that
/// reads what is no longer known nothing changes.
pub(super) fn kept(scope: &Scope<'_>, kept: &PodTemplateSpec) -> PodTemplateSpec {
    let spec = kept.spec.clone().unwrap_or_default();
    if secrets(&spec).iter().any(|name| !scope.hashes.contains_key(*name)) {
        return kept.clone();
    }
    let ObjectMeta { labels, annotations, .. } = kept.metadata.clone().unwrap_or_default();
    let metadata = PodMetadata {
        labels: labels.unwrap_or_default(),
        annotations: annotations.unwrap_or_default(),
    };
    template(scope, BTreeMap::new(), &metadata, spec)
}

/// Names of the Secrets whose content a pod reads.
fn secrets(spec: &PodSpec) -> BTreeSet<&str> {
    let env = spec.containers.iter().flat_map(|container| container.env.iter().flatten());
    let in_env = env
        .filter_map(|var| var.value_from.as_ref()?.secret_key_ref.as_ref())
        .map(|secret| secret.name.as_str());
    let in_volumes = spec
        .volumes
        .iter()
        .flatten()
        .filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref());
    in_env.chain(in_volumes).collect()
}

const fn pull_policy(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
    }
}

/// A variable with this value.
pub(super) fn var(name: impl Into<String>, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.into()), value_from: None }
}

/// A variable with the value of a Secret's key.
pub(super) fn secret_var(name: &str, secret: &str, key: &str) -> EnvVar {
    let secret_key_ref =
        SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None };
    let value_from =
        EnvVarSource { secret_key_ref: Some(secret_key_ref), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(value_from) }
}

/// A volume with its mount.
pub(super) type Mounted = (Volume, VolumeMount);

/// A Secret as files. Only the pod's group reads them.
pub(super) fn secret_files(volume: &str, secret: String) -> Mounted {
    let source = SecretVolumeSource {
        secret_name: Some(secret),
        default_mode: Some(0o440),
        ..SecretVolumeSource::default()
    };
    let volume_source =
        Volume { name: volume.to_owned(), secret: Some(source), ..Volume::default() };
    let mount = VolumeMount { read_only: Some(true), ..mount(volume, &secret_dir(volume)) };
    (volume_source, mount)
}

/// A ConfigMap as files, which change with it. A pod starts without it, too.
pub(super) fn config_files(volume: &str, config_map: String) -> Mounted {
    let source = ConfigMapVolumeSource {
        name: config_map,
        optional: Some(true),
        ..ConfigMapVolumeSource::default()
    };
    let volume_source =
        Volume { name: volume.to_owned(), config_map: Some(source), ..Volume::default() };
    let mount = VolumeMount { read_only: Some(true), ..mount(volume, &secret_dir(volume)) };
    (volume_source, mount)
}

/// Directory of [`secret_files`] and [`config_files`].
pub(super) fn secret_dir(volume: &str) -> String {
    format!("{SECRETS}/{volume}")
}

/// A directory to write in, gone with the pod.
pub(super) fn scratch(volume: &str, path: &str) -> Mounted {
    let source = EmptyDirVolumeSource::default();
    let volume_source =
        Volume { name: volume.to_owned(), empty_dir: Some(source), ..Volume::default() };
    (volume_source, mount(volume, path))
}

/// Mounts a volume.
pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// Asks a port over HTTP.
pub(super) fn http_probe(port: &str, path: &str) -> Probe {
    let action = HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::String(port.to_owned()),
        ..HTTPGetAction::default()
    };
    Probe { http_get: Some(action), ..Probe::default() }
}

/// Connects to a port.
pub(super) fn tcp_probe(port: &str) -> Probe {
    let action = TCPSocketAction { port: IntOrString::String(port.to_owned()), host: None };
    Probe { tcp_socket: Some(action), ..Probe::default() }
}

/// Runs a command, which must leave no process behind: few servers reap orphans as the first process of a container
/// should. No pipelines, no `timeout`; a script ends with `exec`.
pub(super) fn exec_probe(command: &[&str]) -> Probe {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    Probe { exec: Some(ExecAction { command: Some(command) }), ..Probe::default() }
}

/// How often a probe asks, and how many failures in a row it takes.
pub(super) fn every(seconds: i32, failures: i32, probe: Probe) -> Probe {
    Probe {
        period_seconds: Some(seconds),
        failure_threshold: Some(failures),
        timeout_seconds: Some(if seconds > 1 { 3 } else { 1 }),
        ..probe
    }
}
