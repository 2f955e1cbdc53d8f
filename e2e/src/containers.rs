//! What containers use, as the kernel of this machine says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Use of one container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processes, with those that are dead and not reaped.
    pub processes: u64,
    /// Processes that are dead and not reaped.
    pub zombies: u64,
    /// Open files and sockets.
    pub descriptors: u64,
    /// Threads of all processes.
    pub threads: u64,
    /// Bytes that no file backs, each page once.
    pub memory: u64,
    /// Bytes of the writable layer and of the volumes, without [`Usage::wal`].
    pub disk: u64,
    /// Bytes of Postgres' write-ahead log.
    pub wal: u64,
}

/// Use of every running container of these pods, by pod and container. The nodes must be on this machine.
pub async fn usage(pods: &[Value]) -> Result<BTreeMap<String, Usage>> {
    let mut ids = Vec::new();
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        for container in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
            // A Job that has ended uses nothing.
            if container["state"]["running"].is_null() {
                continue;
            }
            let id = container["containerID"].as_str().and_then(|id| id.rsplit('/').next());
            let id = id.context("a container has an id")?;
            let container = container["name"].as_str().context("a container has a name")?;
            ids.push((id.to_owned(), format!("{name}/{container}")));
        }
    }
    tokio::task::spawn_blocking(move || read(&ids)).await?
}

/// A process of a pod, in whose network its containers are.
pub(crate) fn process_of(pod: &Value) -> Result<u32> {
    let uid = pod["metadata"]["uid"].as_str().context("a pod has a uid")?;
    // cgroup drivers write it either way.
    let ids = [uid.to_owned(), uid.replace('-', "_")].map(|id| (id, uid.to_owned()));
    let found = processes(&ids)?.into_values().flatten().next();
    found.context("the nodes are not on this machine")
}

fn read(ids: &[(String, String)]) -> Result<BTreeMap<String, Usage>> {
    let processes = processes(ids)?;
    ensure!(!processes.is_empty(), "the nodes are not on this machine");
    let used = processes.into_iter().map(|(name, pids)| (name.to_owned(), of(&pids)));
    Ok(used.collect())
}

/// Processes in the control groups whose names have these ids, by what belongs to the id.
fn processes(ids: &[(String, String)]) -> Result<BTreeMap<&str, BTreeSet<u32>>> {
    let mut processes: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        // A process may end while it is looked at.
        let groups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        if let Some((_, name)) = ids.iter().find(|(id, _)| groups.contains(id.as_str())) {
            processes.entry(name).or_default().insert(pid);
        }
    }
    Ok(processes)
}

fn of(pids: &BTreeSet<u32>) -> Usage {
    let mut usage = Usage::default();
    for pid in pids {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
        if status.is_empty() {
            continue;
        }
        usage.processes += 1;
        usage.zombies += u64::from(status.contains("\nState:\tZ"));
        usage.threads += number(&status, "Threads:");
        usage.descriptors += fs::read_dir(proc.join("fd")).map_or(0, |all| all.count() as u64);
        let memory = fs::read_to_string(proc.join("smaps_rollup")).unwrap_or_default();
        usage.memory += (number(&memory, "Pss_Anon:") + number(&memory, "Pss_Shmem:")) * 1024;
    }
    // All of them see the same files.
    for place in pids.iter().find_map(|pid| places(*pid)).unwrap_or_default() {
        disk(&place, false, &mut usage);
    }
    usage
}

/// The number behind a name, in a file of lines such as `Threads: 7`.
fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Where a process writes: the layer above its image, and its volumes.
fn places(pid: u32) -> Option<Vec<PathBuf>> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?;
    let mut found = Vec::new();
    for line in mounts.lines() {
        let (left, right) = line.split_once(" - ")?;
        let place = left.split(' ').nth(4)?;
        let mut right = right.splitn(3, ' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        if place == "/" && kind == "overlay" {
            let upper = options.split(',').find_map(|option| option.strip_prefix("upperdir="));
            found.extend(upper.map(PathBuf::from));
        } else if ["ext4", "xfs", "btrfs", "overlay"].contains(&kind)
            && !["/etc", "/dev"].iter().any(|own| place.starts_with(own))
        {
            found.push(PathBuf::from(format!("/proc/{pid}/root{place}")));
        }
    }
    Some(found)
}

/// Adds up what is below a folder.
fn disk(folder: &Path, wal: bool, usage: &mut Usage) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // A file may go while it is looked at.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let wal = wal || path.ends_with("pg_wal");
        *(if wal { &mut usage.wal } else { &mut usage.disk }) += metadata.blocks() * 512;
        if metadata.is_dir() {
            disk(&path, wal, usage);
        }
    }
}
