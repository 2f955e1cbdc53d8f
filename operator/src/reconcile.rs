//! One reconciliation of one Shop, as the list of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::join;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use operator_core::build;
use operator_core::child::{ChildKey, Seen};
use operator_core::crd::{DataLoss, Shop, ShopStatus};
use operator_core::names;
use operator_core::object::{CustomKind, Desired, HTTP_ROUTE, Object, SERVICE_MONITOR, Stage};
use operator_core::role::Role;
use operator_core::status::{self, Facts, Part, Reason};
use operator_core::validate::{MissingApi, ValidatedShop, validate};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::apply::{Applier, Done, Outcome};
use crate::backups::Backups;
use crate::context::{Context, RESYNC};
use crate::engines::{Engines, Step};
use crate::error::Error;
use crate::observe::{Observation, observe};
use crate::services::Services;
use crate::watches::prunable;
use crate::{cleanup, crashes, credentials, rollout};

/// Wait while an engine starts, whose readiness no watch can tell.
const POLL: Duration = Duration::from_millis(1500);

/// Annotations that ask for something once.
const ORDERS: [&str; 3] = [names::PROMOTE, names::ABORT, names::ACKNOWLEDGE_DATA_LOSS];

/// Makes a Shop true and says in its status how far that is.
pub async fn reconcile(shop: &Shop, context: &Context) -> Result<Action, Error> {
    if shop.metadata.deletion_timestamp.is_some() {
        return Box::pin(cleanup::finish(shop, context)).await;
    }
    let Some(shop) = cleanup::ensure_finalizer(shop, &context.client).await? else {
        return Ok(Action::requeue(POLL));
    };
    let shop = &*shop;
    let run = Run::new(shop, context);
    let mut facts = Facts {
        paused: run.applier.paused,
        kafka_cluster_id: shop.status.as_ref().and_then(|status| status.kafka_cluster_id.clone()),
        data_loss: unacknowledged_loss(shop, run.applier.paused),
        backup: shop.status.as_ref().and_then(|status| status.backup.clone()),
        restored: shop.status.as_ref().and_then(|status| status.restored.clone()),
        ..Facts::default()
    };
    // On the heap: it holds every step.
    let mut result = Box::pin(run.steps(&mut facts)).await;
    if let Err(error) = &result {
        facts.error = Some((error.reason(), error.message()));
    }
    if let Some(valid) = &facts.valid {
        context.metrics.tell_backups(shop, valid.backups.as_ref(), facts.backup.as_ref());
    }
    let status = status::status(shop, &facts, Timestamp::now());
    let written = write_status(shop, context, &status).await?;
    // What a Job has done must stand in the status before the Job is pruned.
    if let Ok(plan) = &result
        && written
        && let Err(error) = run.prune(plan).await
    {
        result = Err(error);
    }
    let plan = result?;
    if written && !facts.paused {
        take_orders(shop, context).await?;
    }
    if let Some(error) = plan.later {
        return Err(error);
    }
    let wait = if plan.waits || !written { POLL } else { RESYNC };
    Ok(Action::requeue(plan.tick.map_or(wait, |tick| tick.min(wait))))
}

/// What is left to do after the steps.
struct Plan {
    wanted: BTreeSet<ChildKey>,
    /// Services whose older objects still serve.
    held: BTreeSet<Role>,
    waits: bool,
    /// When time alone may change something.
    tick: Option<Duration>,
    /// An error that stopped one step and none of the others.
    later: Option<Error>,
}

struct Run<'a> {
    shop: &'a Shop,
    context: &'a Context,
    applier: Applier<'a>,
}

impl<'a> Run<'a> {
    fn new(shop: &'a Shop, context: &'a Context) -> Self {
        let applier = Applier {
            client: &context.client,
            cache: &context.cache,
            shop: ObjectRef::from_obj(shop),
            uid: shop.uid().unwrap_or_default(),
            paused: shop.annotations().get(names::PAUSED).is_some_and(|value| value == "true"),
        };
        Self { shop, context, applier }
    }

    async fn steps(&self, facts: &mut Facts) -> Result<Plan, Error> {
        let Context { client, cache, config, .. } = self.context;
        let capabilities = *self.context.capabilities.borrow();
        let Observation { observed, secrets } =
            observe(client, cache, capabilities, self.shop).await?;
        let valid = validate(self.shop, &observed, config).map_err(Error::Invalid)?;
        facts.valid = Some(valid.clone());
        let credentials = credentials::ensure(&self.applier, &build::credentials(&valid)).await?;
        let rollouts =
            rollout::observe(&self.applier, self.shop, &valid, &credentials.hashes()).await?;
        let desired = build::desired_with(&valid, &credentials.hashes(), &rollouts.plans);
        let tick = (rollouts.are_under_way() && !facts.paused).then_some(rollout::TICK);
        facts.rollouts = Some(rollouts.statuses);

        let mut errors = self.apply_stage(&desired, Stage::Foundation).await;
        let bundled = self.applier.apply_all(desired.stage(Stage::Engines)).await;
        let (bundled, failed) = partition(bundled);
        errors.extend(failed);
        let engines = Engines {
            context: self.context,
            shop: self.shop,
            valid: &valid,
            applier: &self.applier,
            credentials: &credentials,
            secrets: &secrets,
            bundled: &bundled,
        };
        let backups =
            Backups { applier: &self.applier, shop: self.shop, valid: &valid, desired: &desired };
        let mut services =
            Services::new(&self.applier, &valid, &observed, &desired, &rollouts.plans);
        let (database_plan, topic_plan) = (build::databases(&valid), build::topics(&valid));
        let databases_and_migrations = async {
            let (database, schemas) = engines.databases(&database_plan).await;
            services.observe_schemas(&schemas);
            let (restore, restored, failed) = backups.restore(database.0.is_ready()).await;
            let filled = restore.is_ready() || restore.reason() == Reason::NotWanted;
            let fillable = database.0.is_ready() && filled;
            if fillable {
                let through = services.migrate().await;
                match engines.mark_migrated(&database_plan, &through).await {
                    Ok(marked) => services.confirm(&marked),
                    Err(error) => services.errors.push(error),
                }
                services.seed().await;
            }
            (database, schemas, restore, restored, failed, fillable)
        };
        let others = join(engines.cache(), engines.object_store());
        let (
            (database, schemas, restore, restored, failed, fillable),
            ((events, kafka_cluster_id), (cache, object_store)),
        ) = join(databases_and_migrations, join(engines.topics(&topic_plan), others)).await;
        (facts.restore, facts.restored) = (restore, restored);
        errors.extend(failed);
        facts.data_loss = engines.data_loss(&database_plan, &schemas, facts.data_loss.take());
        facts.kafka_cluster_id = kafka_cluster_id;
        services.roll_out(&events.0, &cache.0).await;
        errors.append(&mut services.errors);
        let exposed = self.applier.apply_all(desired.stage(Stage::Exposure)).await;
        let (exposed, failed) = partition(exposed);
        errors.extend(failed);

        let (kept, failed) = backups.keep(database.0.is_ready()).await;
        (facts.backup, facts.backups) = (kept.status, kept.part);
        errors.extend(failed);

        let held = services.held();
        let lacks_jobs = fillable && services.lacks_jobs();
        let is_done = |(stage, object): &(Stage, &Object)| {
            *stage == Stage::Migrations && services.is_migrated(object)
        };
        let wanted = desired.iter().filter(|pair| !is_done(pair));
        let wanted: Vec<_> = wanted.map(|(_, object)| ChildKey::of(object)).collect();
        facts.services = services.facts;
        facts.monitoring = monitoring(&valid, &exposed);
        facts.route = route(&valid, &exposed);
        [facts.database, facts.cache, facts.events, facts.object_store] =
            settle([database, cache, events, object_store], &mut errors);
        let waits = [&facts.database, &facts.cache, &facts.events, &facts.object_store]
            .into_iter()
            .any(|part| matches!(part, Part::Waiting(..)));
        let waits = (waits || lacks_jobs) && !facts.paused;
        let unsettled = waits || facts.services.iter().any(|service| !service.is_settled());
        let tick = if unsettled && !facts.paused {
            facts.crashes = crashes::find(client, &valid).await;
            Some(tick.map_or(crashes::POLL, |tick| tick.min(crashes::POLL)))
        } else {
            tick
        };
        // An error that another try may help decides about the next try.
        errors.sort_by_key(Error::is_permanent);
        let later = errors.into_iter().next();
        facts.error = later.as_ref().map(|error| (error.reason(), error.message()));
        let secrets =
            build::credentials(&valid).into_iter().map(|spec| ChildKey::secret(&spec.name));
        let wanted = wanted.into_iter().chain(secrets).collect();
        Ok(Plan { wanted, held, waits, tick, later })
    }

    async fn apply_stage(&self, desired: &Desired, stage: Stage) -> Vec<Error> {
        partition(self.applier.apply_all(desired.stage(stage)).await).1
    }

    async fn prune(&self, plan: &Plan) -> Result<(), Error> {
        let capabilities = *self.context.capabilities.borrow();
        let keep = |seen: &Seen| seen.role.is_some_and(|role| plan.held.contains(&role));
        Ok(self.applier.prune(&prunable(capabilities), &plan.wanted, keep).await?)
    }
}

/// What was applied, and what was not.
fn partition(results: Vec<Outcome<'_>>) -> (Vec<Done<'_>>, Vec<Error>) {
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    for (object, result) in results {
        match result {
            Ok(live) => done.push((object, live)),
            Err(error) => errors.push(error.into()),
        }
    }
    (done, errors)
}

fn settle<const N: usize>(steps: [Step; N], errors: &mut Vec<Error>) -> [Part; N] {
    steps.map(|(part, error)| {
        errors.extend(error);
        part
    })
}

fn monitoring(shop: &ValidatedShop, exposed: &[Done<'_>]) -> Part {
    if !shop.service_monitors {
        // The shop sells without it.
        return if shop.missing_apis.contains(&MissingApi::ServiceMonitor) {
            Part::Missing(Reason::ApiMissing, missing(MissingApi::ServiceMonitor))
        } else {
            let message = "spec.observability.serviceMonitors is false";
            Part::Missing(Reason::NotWanted, message.to_owned())
        };
    }
    match current(exposed, SERVICE_MONITOR) {
        Some(_) => {
            let message = "Prometheus finds every service".to_owned();
            Part::Ready(Reason::ServiceMonitorsApplied, message)
        }
        None => Part::Waiting(Reason::NotApplied, "the ServiceMonitor is not applied".to_owned()),
    }
}

fn route(shop: &ValidatedShop, exposed: &[Done<'_>]) -> Part {
    let Some(spec) = &shop.gateway.http_route else {
        let message = "spec.gateway.httpRoute is not set".to_owned();
        return Part::Missing(Reason::NotWanted, message);
    };
    if !shop.http_route {
        return Part::Failed(Reason::ApiMissing, missing(MissingApi::HttpRoute));
    }
    match current(exposed, HTTP_ROUTE) {
        Some(live) => status::route(&shop.namespace, &spec.parent_refs, live),
        None => Part::Waiting(Reason::NotApplied, "the HTTPRoute is not applied".to_owned()),
    }
}

/// The object of a kind of which a shop has one, if it is as it should be.
fn current<'d>(exposed: &'d [Done<'_>], kind: CustomKind) -> Option<&'d Seen> {
    let (_, live) = exposed.iter().find(|(object, _)| object.kind() == kind.2)?;
    live.seen.as_ref().filter(|_| live.current)
}

fn missing(api: MissingApi) -> String {
    format!("the cluster has no {}", api.as_str())
}

/// Writes the status if it changed; false if the Shop had changed meanwhile.
pub async fn write_status(
    shop: &Shop,
    context: &Context,
    status: &ShopStatus,
) -> Result<bool, Error> {
    if shop.status.as_ref() == Some(status) {
        return Ok(true);
    }
    let api: Api<Shop> =
        Api::namespaced(context.client.clone(), &shop.namespace().unwrap_or_default());
    let written = apply_status(&api, &shop.metadata, status).await.map_err(Error::Status)?;
    if written {
        context.events.transition(shop, status).await;
        context.events.rollouts(shop, status).await;
    }
    Ok(written)
}

/// Applies the status of a Shop, of whatever Rust type. False if the Shop was changed or deleted since it was read: the
/// watch sends an event.
pub async fn apply_status<K>(
    api: &Api<K>,
    shop: &ObjectMeta,
    status: &impl Serialize,
) -> kube::Result<bool>
where
    K: Clone + DeserializeOwned + Debug,
{
    // The version keeps a status from being computed from one that is no longer there.
    let patch = Patch::Apply(json!({
        "apiVersion": "shop-operator.io/v1alpha1",
        "kind": "Shop",
        "metadata": { "resourceVersion": shop.resource_version, "uid": shop.uid },
        "status": status,
    }));
    let (name, params) = (shop.name.as_deref(), PatchParams::apply(names::OPERATOR).force());
    match api.patch_status(name.unwrap_or_default(), &params, &patch).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The loss of data in the status, unless it is acknowledged.
fn unacknowledged_loss(shop: &Shop, paused: bool) -> Option<DataLoss> {
    let loss = shop.status.as_ref()?.data_loss.clone();
    // The annotation goes with the next write to the Shop.
    loss.filter(|_| paused || !shop.annotations().contains_key(names::ACKNOWLEDGE_DATA_LOSS))
}

/// Takes away what somebody has asked for by annotation: it was done, or there was nothing to do it to. What is
/// asked for meanwhile stays for the next time.
async fn take_orders(shop: &Shop, context: &Context) -> Result<(), Error> {
    let orders = |shop: &Shop| ORDERS.map(|order| shop.annotations().get(order).cloned());
    let asked = orders(shop);
    if asked.iter().all(Option::is_none) {
        return Ok(());
    }
    let api: Api<Shop> =
        Api::namespaced(context.client.clone(), &shop.namespace().unwrap_or_default());
    let now = api.get_opt(&shop.name_any()).await.map_err(Error::Order)?;
    let Some(now) = now.filter(|now| orders(now) == asked && now.uid() == shop.uid()) else {
        return Ok(());
    };
    let patch = json!({ "metadata": {
        "resourceVersion": now.metadata.resource_version,
        "annotations": ORDERS.map(|order| (order, None::<()>)).into_iter().collect::<BTreeMap<_, _>>(),
    } });
    match api.patch(&shop.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        Err(error) => Err(Error::Order(error)),
    }
}
