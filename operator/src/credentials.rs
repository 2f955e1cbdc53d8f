//! Reads and writes the Secrets of a Shop.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::core::{ApiResource, Selector};
use kube::{Api, ResourceExt as _};
use operator_core::build::CredentialSpec;
use operator_core::credentials::{self, Content, Credentials, content};
use operator_core::entropy::Entropy;
use operator_core::names;
use operator_core::status::Reason;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::apply::{self, Applier};

/// Why a Secret could not be ensured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secrets of the Shop could not be listed.
    #[error("could not list the Shop's Secrets")]
    List(#[source] kube::Error),
    /// A Secret could not be read or written.
    #[error("could not apply a Secret")]
    Apply(#[from] apply::Error),
    /// The content of a Secret cannot be made.
    #[error(transparent)]
    Content(#[from] credentials::Error),
}

impl Error {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::List(_) => Reason::CredentialsUnreadable,
            Self::Apply(error) => error.reason(),
            Self::Content(error) => error.reason(),
        }
    }

    /// Whether only a change can help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::List(_) => false,
            Self::Apply(error) => error.is_permanent(),
            Self::Content(_) => true,
        }
    }
}

/// Makes every Secret what it should be and returns their content.
pub async fn ensure(applier: &Applier<'_>, specs: &[CredentialSpec]) -> Result<Credentials, Error> {
    let mut found = list(applier).await?;
    for spec in specs {
        if !found.contains_key(&spec.name) {
            found.insert(spec.name.clone(), read(applier, &spec.name).await?);
        }
    }
    let credentials = credentials::decide(specs, &found, Timestamp::now(), &entropy())?;
    let namespace = applier.shop.namespace.as_deref();
    let objects = credentials::objects(specs, &credentials, namespace);
    for (_, result) in applier.apply_all(&objects).await {
        result?;
    }
    Ok(credentials)
}

/// # Panics
///
/// If the operating system gives no randomness: there is no safe way to go on.
fn entropy() -> Entropy {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).expect("the operating system gives randomness");
    Entropy::new(seed)
}

async fn list(applier: &Applier<'_>) -> Result<BTreeMap<String, Content>, Error> {
    let namespace = applier.shop.namespace.as_deref().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(applier.client.clone(), namespace);
    let labels: Selector = names::shop_selector(&applier.shop.name).into_iter().collect();
    let list = api.list(&ListParams::default().labels_from(&labels)).await.map_err(Error::List)?;
    Ok(list.items.iter().map(|secret| (secret.name_any(), content(secret))).collect())
}

/// A Secret that is not in the list may be there without its labels. Nothing random is made
/// for a name that is taken.
async fn read(applier: &Applier<'_>, name: &str) -> Result<Content, Error> {
    let resource = ApiResource::erase::<Secret>(&());
    let Some(live) = applier.get(&resource, name).await? else { return Ok(Content::new()) };
    applier.check_ownership(&live, &resource)?;
    Ok(live.try_parse().map(|secret| content(&secret)).unwrap_or_default())
}
