//! Reads everything that a pass decides by, and writes nothing.

mod counters;
mod pods;
mod servers;

pub use servers::Answers;

use std::collections::BTreeMap;

use futures_util::future::{join, join_all, try_join_all};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, Selector};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use operator_core::crd::{RolloutStrategy, Shop};
use operator_core::credentials::{Content, content};
use operator_core::entropy::Entropy;
use operator_core::facts::{Facts, Failure};
use operator_core::names;
use operator_core::plan::{self, Memo, Questions, questions};
use operator_core::role::{Duty, Role};
use operator_core::topics::rivals;
use operator_core::validate::referenced_secrets;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::context::Context;
use crate::error::Error;

/// What stays the same in every pass of a reconciliation.
pub struct Reconciliation {
    begun: Timestamp,
    entropy: Entropy,
    /// What its passes have computed.
    pub memo: Memo,
}

impl Reconciliation {
    /// Begins now.
    ///
    /// # Panics
    ///
    /// If the operating system gives no randomness: there is no safe way to go on.
    pub fn begin() -> Self {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).expect("the operating system gives randomness");
        Self { begun: Timestamp::now(), entropy: Entropy::new(seed), memo: Memo::default() }
    }
}

/// Reads everything that a pass of a Shop decides by. `failures` are those of the passes just before it.
pub async fn observe(
    context: &Context,
    shop: &Shop,
    failures: &[Failure],
    reconciliation: &mut Reconciliation,
) -> Result<Facts, Error> {
    let reader = Reader { context, shop };
    let name = ObjectRef::from_obj(shop);
    let (references, secrets) = join(reader.references(), reader.own_secrets()).await;
    let (deployments, topic_record) = join(reader.deployments(), reader.topic_record()).await;
    let capabilities = *context.capabilities.borrow();
    let rivals = reader.rivals().await;
    let mut facts = Facts {
        now: Timestamp::now(),
        config: context.config.clone(),
        capabilities,
        shop: shop.clone(),
        references: references?,
        secrets: secrets?,
        begun: reconciliation.begun,
        entropy: reconciliation.entropy.clone(),
        children: context.cache.children(&name),
        deployments: deployments?,
        counters: BTreeMap::new(),
        servers: context.servers.last(&name),
        topic_record: topic_record?,
        rivals,
        job_messages: BTreeMap::new(),
        pod_problems: Vec::new(),
        failures: failures.to_vec(),
        deletion: context.deletions.facts(&name),
    };
    reader.complete_secrets(&mut facts).await?;
    let questions = questions(&facts, &mut reconciliation.memo);
    reader.ask(&questions, &mut facts).await;
    Ok(facts)
}

struct Reader<'a> {
    context: &'a Context,
    shop: &'a Shop,
}

impl Reader<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        let namespace = self.shop.namespace().unwrap_or_default();
        Api::namespaced(self.context.client.clone(), &namespace)
    }

    /// Secrets that the spec refers to.
    async fn references(&self) -> Result<BTreeMap<String, Content>, Error> {
        let reads = referenced_secrets(&self.shop.spec).into_iter().map(|name| async move {
            Ok::<_, Error>(self.secret(&name).await?.map(|secret| (name, content(&secret))))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let secret = self.api::<Secret>().get_opt(name).await;
        secret.map_err(|source| Error::Observe { what: format!("Secret {name}"), source })
    }

    /// Secrets with the Shop's labels.
    async fn own_secrets(&self) -> Result<BTreeMap<String, Content>, Error> {
        let labels: Selector = names::shop_selector(&self.shop.name_any()).into_iter().collect();
        let list = self.api::<Secret>().list(&ListParams::default().labels_from(&labels)).await;
        let list = list
            .map_err(|source| Error::Observe { what: "the Shop's Secrets".to_owned(), source })?;
        Ok(list.items.iter().map(|secret| (secret.name_any(), content(secret))).collect())
    }

    /// A Secret that is not in the list may be there without its labels. Nothing random is made for a name that is taken.
    async fn complete_secrets(&self, facts: &mut Facts) -> Result<(), Error> {
        let mut missing = plan::secret_names(facts);
        missing.retain(|name| !facts.secrets.contains_key(name));
        for name in missing {
            if let Some(secret) = self.secret(&name).await? {
                facts.secrets.insert(name, content(&secret));
            }
        }
        Ok(())
    }

    /// Deployments of the services that are rolled out in steps.
    async fn deployments(&self) -> Result<BTreeMap<Role, DynamicObject>, Error> {
        let services = self.shop.spec.services.iter();
        let stepped = services.filter(|service| {
            let rollout = service.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.strategy != RolloutStrategy::RollingUpdate)
        });
        let roles = stepped.flat_map(|service| {
            [Duty::Stable, Duty::Canary].map(|duty| Role::Service(service.name, duty))
        });
        let reads = roles.map(|role| async move {
            let name = names::child(&self.shop.name_any(), role);
            let found = self.get::<Deployment>(&name).await?;
            Ok::<_, Error>(found.map(|deployment| (role, deployment)))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// The record of the Shop's topics in external brokers.
    async fn topic_record(&self) -> Result<Option<DynamicObject>, Error> {
        if self.shop.spec.events.external.is_none() {
            return Ok(None);
        }
        self.get::<ConfigMap>(&names::child(&self.shop.name_any(), Role::Topics)).await
    }

    async fn get<K: kube::Resource<DynamicType = ()>>(
        &self,
        name: &str,
    ) -> Result<Option<DynamicObject>, Error> {
        let kind = ApiResource::erase::<K>(&());
        let namespace = self.shop.namespace().unwrap_or_default();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.context.client.clone(), &namespace, &kind);
        let found = api.get_opt(name).await;
        found.map_err(|source| Error::Observe { what: format!("{} {name}", kind.kind), source })
    }

    /// Other Shops that name the same topics.
    async fn rivals(&self) -> Vec<operator_core::topics::Rival> {
        if self.shop.spec.events.external.is_none() {
            return Vec::new();
        }
        let shops = self.context.shops.all().await;
        rivals(self.shop, shops.iter().map(AsRef::as_ref))
    }

    /// Asks what has to be asked, side by side.
    async fn ask(&self, questions: &Questions, facts: &mut Facts) {
        let name = ObjectRef::from_obj(self.shop);
        let Context { client, servers, .. } = self.context;
        if questions.forget_database {
            servers.update(&name, |servers| servers.database = None);
        }
        let namespace = self.shop.namespace().unwrap_or_default();
        let words = questions.jobs.iter().map(|job| pods::words(client, &namespace, job));
        let ((), words) = join(servers::ask(servers, &name, questions), join_all(words)).await;
        facts.job_messages = words.into_iter().flatten().collect();
        facts.servers = servers.last(&name);
        if questions.pods {
            facts.pod_problems = pods::problems(client, self.shop).await;
        }
        for (service, limit) in &questions.counters {
            let role = Role::Service(*service, Duty::Canary);
            let labels = names::selector(&self.shop.name_any(), role);
            let counters = counters::counters(client, &namespace, &labels, *limit).await;
            facts.counters.extend(counters.map(|counters| (*service, counters)));
        }
        // A question may have taken seconds.
        facts.now = Timestamp::now();
    }
}
