//! What owner references cannot do when a Shop is deleted: databases, roles and topics in
//! somebody else's servers.
//!
//! A finalizer is set only for that, and it never holds a namespace for ever: without the
//! credentials, or after [`GIVE_UP`], what is left is named in an event and the Shop may go.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::apply::Applier;
use crate::build::{self, DatabasePlan};
use crate::cache::ChildKey;
use crate::components::{COMPONENTS, Need};
use crate::context::Context;
use crate::crd::{DeletionPolicy, Shop};
use crate::credentials::Credentials;
use crate::databases::{Admin, Owned};
use crate::engines::Engines;
use crate::error::Error;
use crate::observe::{Observation, observe};
use crate::status::Reason;
use crate::validate::{DatabaseEngine, EventsEngine, ValidatedShop, validate};
use crate::watches::workloads;
use crate::{names, topics};

/// Keeps a Shop until its data in somebody else's servers is dropped.
pub const FINALIZER: &str = "shop-operator.io/external-data";
/// How long servers that do not answer may hold a Shop back.
const GIVE_UP: Duration = Duration::from_mins(10);
/// Wait for pods to go before their databases do.
const POLL: Duration = Duration::from_secs(2);

/// Sets the finalizer where it is needed, and removes it where it is not.
pub async fn ensure_finalizer(
    shop: &Shop,
    valid: &ValidatedShop,
    applier: &Applier<'_>,
) -> Result<(), Error> {
    let external = matches!(valid.database, DatabaseEngine::External { .. })
        || matches!(valid.events, EventsEngine::External { .. });
    let wanted = external && valid.deletion_policy == DeletionPolicy::Delete;
    if applier.paused || wanted == shop.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(());
    }
    set_finalizer(shop, applier.client, wanted).await
}

/// Drops what is outside the cluster and lets the Shop go.
pub async fn finish(shop: &Shop, context: &Context) -> Result<Action, Error> {
    let shop_ref = ObjectRef::from_obj(shop);
    if shop.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        if !stop_workloads(shop, context).await? {
            return Ok(Action::requeue(POLL));
        }
        if let Err(error) = drop_external(shop, context).await {
            if !error.is_permanent() && !is_overdue(shop) {
                return Err(error);
            }
            let note = format!("databases and topics are left behind: {}", error.message());
            context.events.warn(shop, Reason::ExternalDataLeft, "Delete", &note).await;
        }
        set_finalizer(shop, &context.client, false).await?;
    }
    context.checks.forget(&shop_ref);
    context.cache.forget(&shop_ref);
    Ok(Action::await_change())
}

/// Deletes what talks to the servers; true when it is gone.
async fn stop_workloads(shop: &Shop, context: &Context) -> Result<bool, Error> {
    let applier = Applier {
        client: &context.client,
        cache: &context.cache,
        shop: ObjectRef::from_obj(shop),
        uid: shop.uid().unwrap_or_default(),
        // A pause never stops a deletion.
        paused: false,
    };
    let kinds = workloads();
    let is_workload = |key: &ChildKey| kinds.iter().any(|kind| key.is_of(kind));
    applier.prune(&kinds, &std::collections::BTreeSet::new(), |_, _| false).await?;
    let children = context.cache.children(&applier.shop);
    let left = |(key, seen): (&ChildKey, &crate::cache::Seen)| {
        is_workload(key) && seen.owner.as_deref() == Some(&applier.uid)
    };
    Ok(!children.iter().any(left))
}

async fn drop_external(shop: &Shop, context: &Context) -> Result<(), Error> {
    let capabilities = *context.capabilities.borrow();
    let Observation { observed, secrets } =
        observe(&context.client, &context.cache, capabilities, shop).await?;
    let valid = validate(shop, &observed, &context.config).map_err(Error::Invalid)?;
    let applier = Applier {
        client: &context.client,
        cache: &context.cache,
        shop: ObjectRef::from_obj(shop),
        uid: shop.uid().unwrap_or_default(),
        paused: false,
    };
    let engines = Engines {
        context,
        shop,
        valid: &valid,
        applier: &applier,
        credentials: &Credentials::default(),
        secrets: &secrets,
        bundled: &[],
    };
    if let DatabaseEngine::External { .. } = valid.database {
        drop_databases(&engines, &build::databases(&valid)).await?;
    }
    if let EventsEngine::External { .. } = valid.events {
        let plan = build::topics(&valid);
        match engines.claim_topics(&plan).await {
            Ok(_) => {
                let names = plan.topics.iter().map(|topic| topic.name.clone()).collect();
                topics::delete(engines.brokers(&plan), names).await?;
            }
            // This Shop never had any.
            Err(topics::Error::Taken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Drops the database of every service, enabled or not: one that was disabled has kept its own.
async fn drop_databases(engines: &Engines<'_>, plan: &DatabasePlan) -> Result<(), Error> {
    let mut admin = Admin::connect(engines.admin(plan)).await?;
    let (shop, namespace) = (&engines.valid.name, &engines.valid.namespace);
    for component in COMPONENTS.iter().filter(|component| component.needs(Need::Database)) {
        let database = names::database(namespace, shop, component.name);
        admin.drop(&Owned { role: database.clone(), database }).await?;
    }
    admin.close().await;
    Ok(())
}

fn is_overdue(shop: &Shop) -> bool {
    let Some(deleted) = &shop.metadata.deletion_timestamp else { return false };
    let age = Timestamp::now().duration_since(deleted.0);
    Duration::try_from(age).is_ok_and(|age| age > GIVE_UP)
}

/// Changes our finalizer alone, at the version that was read.
async fn set_finalizer(shop: &Shop, client: &kube::Client, wanted: bool) -> Result<(), Error> {
    let mut finalizers: Vec<&str> = shop.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != FINALIZER);
    if wanted {
        finalizers.push(FINALIZER);
    }
    let version = &shop.metadata.resource_version;
    let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
    let api: Api<Shop> = Api::namespaced(client.clone(), &shop.namespace().unwrap_or_default());
    match api.patch(&shop.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::Finalizer(error)),
    }
}
