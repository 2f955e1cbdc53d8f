//! `shop-operator crds apply`: Helm installs the CRDs of a chart once and never upgrades them.

use std::fmt;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::Condition as _;
use kube::{Api, Client, ResourceExt as _};
use operator_core::installed::{Downgrade, check_upgrade};
use tokio::time::{Instant, sleep};

/// Field manager of the CRD: the one of Helm 4, which applies the CRDs of a chart when it is installed. Under another name
/// a later `helm install` with another version of the CRD would fail by conflict.
const MANAGER: &str = "helm";
/// Attempts against others who write the CRD at the same time.
const MAX_ATTEMPTS: u32 = 5;
/// How long the API server may take to serve the CRD.
const ESTABLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks at whether it does.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What became of the CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none.
    Created,
    /// There was another one.
    Updated,
    /// It was there.
    Unchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        })
    }
}

/// Why the CRD is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster has the CRD of a newer operator.
    #[error("{0}. To run an older operator with it: helm upgrade … --set crds.upgrade=false")]
    Downgrade(#[from] Downgrade),
    /// The API server refused.
    #[error("could not apply the CRD")]
    Api(#[from] kube::Error),
    /// Another process writes it all the time.
    #[error("the CRD was changed by others during each of {MAX_ATTEMPTS} attempts")]
    Contended,
    /// It is stored, and not served.
    #[error("the API server does not serve the CRD after {seconds} s: {message}", seconds = ESTABLISH_TIMEOUT.as_secs())]
    NotEstablished {
        /// What its conditions say.
        message: String,
    },
}

/// Makes the CRD in the cluster this one, unless it belongs to a newer operator. Returns when it is served.
pub async fn apply(client: &Client, ours: &CustomResourceDefinition) -> Result<Outcome, Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for _ in 0..MAX_ATTEMPTS {
        let installed = api.get_opt(&ours.name_any()).await?;
        let mut desired = ours.clone();
        if let Some(installed) = &installed {
            check_upgrade(installed, ours)?;
            // What was checked is what is replaced.
            desired.metadata.resource_version.clone_from(&installed.metadata.resource_version);
        }
        // Fields of kubectl and Helm 3, which may have installed it, are taken over.
        let params = PatchParams::apply(MANAGER).force();
        match api.patch(&ours.name_any(), &params, &Patch::Apply(&desired)).await {
            Ok(applied) => {
                wait_until_served(&api, &applied).await?;
                return Ok(outcome(installed.as_ref(), &applied));
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Contended)
}

fn outcome(before: Option<&CustomResourceDefinition>, after: &CustomResourceDefinition) -> Outcome {
    match before {
        None => Outcome::Created,
        Some(before) if before.metadata.resource_version == after.metadata.resource_version => {
            Outcome::Unchanged
        }
        Some(_) => Outcome::Updated,
    }
}

/// Reads again and again: a watch would need two more rights.
async fn wait_until_served(
    api: &Api<CustomResourceDefinition>,
    applied: &CustomResourceDefinition,
) -> Result<(), Error> {
    let deadline = Instant::now() + ESTABLISH_TIMEOUT;
    loop {
        let crd = api.get(&applied.name_any()).await?;
        if is_crd_established().matches_object(Some(&crd)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
            let messages = conditions.into_iter().filter(|condition| condition.status == "False");
            let messages: Vec<_> = messages.filter_map(|condition| condition.message).collect();
            return Err(Error::NotEstablished { message: messages.join(", ") });
        }
        sleep(POLL_INTERVAL).await;
    }
}
