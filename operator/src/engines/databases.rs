//! The step that makes databases, and asks each whose schema it has.
//!
//! A database says that itself, in a comment that goes with it ([`Comment`]). It is written first when no Job of an
//! earlier database of that name is left: a Job that has completed after that has migrated this one.
//! See `docs/decisions/0072-schemas-and-lost-data.md`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, Selector};
use kube::{Api, ResourceExt as _};
use operator_core::build::{DatabasePlan, DatabaseSpec, SecretKey};
use operator_core::child::{ChildKey, Seen, resource_name};
use operator_core::components::Need;
use operator_core::crd::{DataLoss, ServiceName};
use operator_core::names;
use operator_core::role::{Duty, EngineKind, Role};
use operator_core::status::{Part, Reason};
use operator_core::validate::DatabaseEngine;

use super::{Engines, Step, failed, starting};
use crate::context::Engine;
use crate::databases::{self, Admin, Comment, Owned};
use crate::error::Error;

/// The image whose schema each service's database has; nothing if none was ever applied to it.
pub type Schemas = BTreeMap<ServiceName, Option<String>>;

impl Engines<'_> {
    /// Makes a role and a database for every service. Says too which schema each has, if they were asked.
    pub async fn databases(&self, plan: &DatabasePlan) -> (Step, Schemas) {
        let bundled = matches!(self.valid.database, DatabaseEngine::Bundled(_));
        let checks = &self.context.checks;
        if let Some(absent) = self.absent(bundled.then_some(EngineKind::Postgres)) {
            // When it is back it may hold something else.
            checks.forget_engine(&self.applier.shop, Engine::Database);
            return ((absent, None), Schemas::new());
        }
        let wish = self.wish(&(plan, self.volume_of(EngineKind::Postgres)));
        let found = checks.recall(&self.applier.shop, Engine::Database, &wish);
        let enough = self.applier.paused || !self.is_doubtful();
        if let Some(part) = found.clone().filter(|_| enough).or_else(|| self.paused()) {
            return ((part, None), Schemas::new());
        }
        match self.look_at_databases(plan, found.is_some()).await {
            Ok(Some(schemas)) => {
                let text = format!("{} databases are there", plan.databases.len());
                let part = Part::Ready(Reason::DatabasesReady, text);
                let step = if found.is_none() && self.agrees(&schemas) {
                    self.remember(Engine::Database, wish, part)
                } else {
                    (part, None)
                };
                (step, schemas)
            }
            Ok(None) => {
                let text = "migration Jobs of databases that are gone are not gone yet".to_owned();
                ((Part::Waiting(Reason::Starting, text), None), Schemas::new())
            }
            Err(Error::Databases(databases::Error::Unreachable(_))) if bundled => {
                (starting("Postgres"), Schemas::new())
            }
            Err(error) => (failed(error), Schemas::new()),
        }
    }

    /// What was lost, with what was known to be: the status says of a database that it was migrated, and it is empty.
    pub fn data_loss(
        &self,
        plan: &DatabasePlan,
        schemas: &Schemas,
        known: Option<DataLoss>,
    ) -> Option<DataLoss> {
        let is_lost = |spec: &&DatabaseSpec| {
            schemas.get(&spec.service).is_some_and(Option::is_none)
                && self.migrated_image(spec.service).is_some()
        };
        let lost = plan.databases.iter().filter(is_lost).map(|spec| spec.database.clone());
        let mut databases: BTreeSet<String> = lost.collect();
        if databases.is_empty() {
            return known;
        }
        databases.extend(known.into_iter().flat_map(|known| known.databases));
        let engine = match &self.valid.database {
            DatabaseEngine::Bundled(_) => "the bundled Postgres".to_owned(),
            DatabaseEngine::External { host, port, .. } => format!("Postgres at {host}:{port}"),
        };
        let databases = databases.into_iter().collect();
        Some(DataLoss { engine, databases, time: Time(Timestamp::now()) })
    }

    /// Marks the databases of these services as migrated to these images. Returns those that were
    /// marked: a database that was recreated meanwhile has no comment, and no schema.
    pub async fn mark_migrated(
        &self,
        plan: &DatabasePlan,
        migrated: &[(ServiceName, String)],
    ) -> Result<BTreeSet<ServiceName>, Error> {
        let mut marked = BTreeSet::new();
        if migrated.is_empty() {
            return Ok(marked);
        }
        let mut admin = Admin::connect(self.admin(plan)).await?;
        let comments = admin.comments(&names_in(plan)).await?;
        for spec in &plan.databases {
            let image = migrated.iter().find(|(service, _)| *service == spec.service);
            let Some((_, image)) = image else { continue };
            if let Some(Comment::Ours(_)) = comments.get(&spec.database) {
                admin.comment(&spec.database, Some(image)).await?;
                marked.insert(spec.service);
            }
        }
        admin.close().await;
        Ok(marked)
    }

    /// Makes what is missing. Nothing if it could not be done yet.
    async fn look_at_databases(
        &self,
        plan: &DatabasePlan,
        known: bool,
    ) -> Result<Option<Schemas>, Error> {
        let mut admin = Admin::connect(self.admin(plan)).await?;
        let mut comments = admin.comments(&names_in(plan)).await?;
        let is_new = |comments: &BTreeMap<String, Comment>, spec: &DatabaseSpec| {
            !matches!(comments.get(&spec.database), Some(Comment::Ours(_)))
        };
        let new: Vec<_> = plan.databases.iter().filter(|spec| is_new(&comments, spec)).collect();
        if !known || !new.is_empty() {
            for spec in &plan.databases {
                admin.ensure(&owned(spec), self.password(spec)).await?;
            }
        }
        if !new.is_empty() {
            if !self.comment_on(&mut admin, &new).await? {
                return Ok(None);
            }
            comments = admin.comments(&names_in(plan)).await?;
        }
        admin.close().await;
        let schema = |spec: &DatabaseSpec| match comments.get(&spec.database) {
            Some(Comment::Ours(image)) => (spec.service, image.clone()),
            Some(Comment::None) | None => (spec.service, None),
        };
        Ok(Some(plan.databases.iter().map(schema).collect()))
    }

    /// Writes the first comment on databases that have none; false if that has to wait.
    async fn comment_on(&self, admin: &mut Admin, new: &[&DatabaseSpec]) -> Result<bool, Error> {
        let mut empty = Vec::new();
        for spec in new {
            // Operators before this version wrote no comment and kept this in the status alone.
            match self.migrated_image(spec.service) {
                Some(image) if admin.has_schema(&owned(spec), self.password(spec)).await? => {
                    admin.comment(&spec.database, Some(&image)).await?;
                }
                _ => empty.push(spec),
            }
        }
        let services: Vec<_> = empty.iter().map(|spec| spec.service).collect();
        if self.delete_migrations(&services).await? {
            return Ok(false);
        }
        for spec in empty {
            admin.comment(&spec.database, None).await?;
        }
        Ok(true)
    }

    /// Deletes the migration Jobs of these services; true if there were any, live or cached.
    async fn delete_migrations(&self, services: &[ServiceName]) -> Result<bool, Error> {
        if services.is_empty() {
            return Ok(false);
        }
        let (kind, shop) = (ApiResource::erase::<Job>(&()), &self.applier.shop);
        let labels: Selector = names::shop_selector(&shop.name).into_iter().collect();
        let jobs: Api<Job> = Api::namespaced(
            self.applier.client.clone(),
            shop.namespace.as_deref().unwrap_or_default(),
        );
        let list = jobs.list_metadata(&ListParams::default().labels_from(&labels)).await;
        let list = list.map_err(|source| Error::Observe { what: "migration Jobs", source })?;
        let is_one = |role: Option<Role>| match role {
            Some(Role::Service(service, Duty::Migration)) => services.contains(&service),
            _ => false,
        };
        let mut found = false;
        for job in &list.items {
            if is_one(Role::of(job.labels())) {
                found = true;
                let same = Preconditions { uid: job.uid(), resource_version: None };
                let policy = PropagationPolicy::Background;
                self.applier.delete(&kind, &job.name_any(), policy, same).await?;
            }
        }
        // What the cache still has would count as done.
        let seen = self.applier.cache.children(shop);
        let cached = |(key, seen): (&ChildKey, &Seen)| key.is_of(&kind) && is_one(seen.role);
        Ok(found || seen.iter().any(cached))
    }

    /// Whether what was found a while ago may have ended: a schema is due, or pods that need a database fail.
    fn is_doubtful(&self) -> bool {
        let children = self.applier.cache.children(&self.applier.shop);
        let deployments = resource_name(&ApiResource::erase::<Deployment>(&()));
        self.valid.services.iter().filter(|s| s.component.needs(Need::Database)).any(|service| {
            let name = names::child(&self.valid.name, service.component.name);
            let deployment = children.get(&ChildKey { resource: deployments.clone(), name });
            let missing = deployment.and_then(|seen| seen.status["unavailableReplicas"].as_i64());
            service.migration_due || missing.unwrap_or_default() > 0
        })
    }

    /// Whether the databases say what the status says.
    fn agrees(&self, schemas: &Schemas) -> bool {
        schemas.iter().all(|(service, image)| *image == self.migrated_image(*service))
    }

    /// The image whose schema the service's database has by the status.
    fn migrated_image(&self, service: ServiceName) -> Option<String> {
        let services = self.shop.status.iter().flat_map(|status| &status.services);
        services.filter(|known| known.name == service).find_map(|s| s.migrated_image.clone())
    }

    /// UID of the volume of a bundled engine: another volume holds something else.
    fn volume_of(&self, engine: EngineKind) -> Option<&str> {
        let claims = ApiResource::erase::<PersistentVolumeClaim>(&());
        let name = names::volume_claim(&self.valid.name, engine);
        let is_it = |object: &operator_core::object::Object| {
            object.kind() == claims.kind && object.name() == name
        };
        let (_, live) = self.bundled.iter().find(|(object, _)| is_it(object))?;
        live.seen.as_ref().map(|seen| seen.uid.as_str())
    }

    fn password(&self, spec: &DatabaseSpec) -> &str {
        self.credentials.get(&spec.secret, SecretKey::PASSWORD).unwrap_or_default()
    }
}

fn names_in(plan: &DatabasePlan) -> Vec<String> {
    plan.databases.iter().map(|spec| spec.database.clone()).collect()
}

fn owned(spec: &DatabaseSpec) -> Owned {
    Owned { database: spec.database.clone(), role: spec.role.clone() }
}
