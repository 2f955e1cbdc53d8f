//! What pods say. All of it is a help, not a need.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::core::Selector;
use kube::{Api, Client, ResourceExt};
use operator_core::crd::Shop;
use operator_core::names;
use operator_core::plan::{JobQuestion, JobWords};
use operator_core::pods::{self, PodProblem};
use tracing::warn;

/// Most characters of a termination message that are kept.
const MESSAGE_LIMIT: usize = 1024;

/// What is wrong with the pods of a shop.
pub(super) async fn problems(client: &Client, shop: &Shop) -> Vec<PodProblem> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &shop.namespace().unwrap_or_default());
    let labels: Selector = names::shop_selector(&shop.name_any()).into_iter().collect();
    // What the API server has in its cache is good enough.
    let of_shop = ListParams::default().labels_from(&labels).match_any();
    match pods.list(&of_shop).await {
        Ok(list) => pods::problems(&list.items, Timestamp::now()),
        Err(error) => {
            warn!(%error, shop = shop.name_any(), "cannot list pods");
            Vec::new()
        }
    }
}

/// The last words of the newest pod of a Job, with the Job's name.
pub(super) async fn words(
    client: &Client,
    namespace: &str,
    question: &JobQuestion,
) -> Option<(String, String)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let job = question.job.clone();
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let list = pods.list(&of_job).await.ok()?;
    let pod = list.items.into_iter().max_by_key(ResourceExt::creation_timestamp)?;
    let words = match question.words {
        JobWords::Log => log_line(&pods, &pod).await,
        JobWords::TerminationMessage => termination_message(pod)?,
    };
    Some((job, words))
}

async fn log_line(pods: &Api<Pod>, pod: &Pod) -> String {
    let one_line = LogParams { tail_lines: Some(1), ..LogParams::default() };
    match pods.logs(&pod.name_any(), &one_line).await {
        Ok(log) if !log.trim().is_empty() => log.trim().to_owned(),
        Ok(_) => "it logged nothing".to_owned(),
        Err(_) => "its log cannot be read".to_owned(),
    }
}

fn termination_message(pod: Pod) -> Option<String> {
    let status = pod.status?;
    let containers = status.container_statuses.into_iter().flatten();
    let before = status.init_container_statuses.into_iter().flatten();
    let ended = containers.chain(before).find_map(|container| container.state?.terminated?.message);
    Some(ended?.trim().chars().take(MESSAGE_LIMIT).collect())
}
