//! Which topics in an external Kafka a Shop has made or adopted. Nothing in Kafka can say whose a topic is, so a
//! ConfigMap does. It outlives the Shop as its Secrets do, and a new Shop of that name adopts it.
//! See `docs/decisions/0071-whose-topics.md`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::core::ApiResource;
use operator_core::build::topic_names;
use operator_core::crd::Shop;
use operator_core::names;
use operator_core::object::Object;
use operator_core::role::Role;

use crate::apply::{Applier, Error};

/// Key of the list in the ConfigMap.
const KEY: &str = "topics.json";

/// Names of topics, by the id of their Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<String, BTreeSet<String>>);

impl Record {
    /// The record of a Shop.
    pub async fn read(applier: &Applier<'_>, shop: &Shop) -> Result<Self, Error> {
        let resource = ApiResource::erase::<ConfigMap>(&());
        let name = names::child(&shop.name_any(), Role::Topics);
        let Some(live) = applier.get(&resource, &name).await? else {
            return Ok(Self::before_records(shop));
        };
        applier.check_ownership(&live, &resource)?;
        let list = live.data.pointer(&format!("/data/{KEY}")).and_then(|list| list.as_str());
        // An unreadable list names no topic: what exists is refused until it is adopted.
        Ok(Self(list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()))
    }

    /// A Shop without a record has all of its topics in the cluster that its status names: that is how operators before
    /// this version left it.
    fn before_records(shop: &Shop) -> Self {
        let cluster = shop.status.as_ref().and_then(|status| status.kafka_cluster_id.clone());
        let topics = || topic_names(&super::prefix(shop)).collect();
        Self(cluster.map(|cluster| (cluster, topics())).into_iter().collect())
    }

    /// The Shop's topics in a cluster.
    pub fn topics(&self, cluster: &str) -> BTreeSet<String> {
        self.0.get(cluster).cloned().unwrap_or_default()
    }

    /// Says that these topics are the Shop's too.
    pub fn add(&mut self, cluster: &str, topics: &BTreeSet<String>) {
        self.0.entry(cluster.to_owned()).or_default().extend(topics.iter().cloned());
    }

    /// Says that these topics are not the Shop's.
    pub fn remove(&mut self, cluster: &str, topics: &BTreeSet<String>) {
        self.0.entry(cluster.to_owned()).or_default().retain(|topic| !topics.contains(topic));
    }

    /// Stores the record.
    pub async fn write(&self, applier: &Applier<'_>) -> Result<(), Error> {
        let shop = &applier.shop.name;
        let list = serde_json::to_string(&self.0).expect("a map of names is JSON");
        let object = Object::new(&ConfigMap {
            metadata: ObjectMeta {
                name: Some(names::child(shop, Role::Topics)),
                namespace: applier.shop.namespace.clone(),
                labels: Some(names::object_labels(shop, Role::Topics)),
                annotations: Some(names::unowned_annotations(&applier.uid)),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), list)].into()),
            ..ConfigMap::default()
        });
        applier.apply(&object).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use operator_core::crd::ShopStatus;

    #[test]
    fn a_shop_of_an_earlier_operator_keeps_its_topics_in_its_cluster_alone() {
        let mut shop = Shop::new("demo", serde_json::from_value(json!({})).unwrap());
        shop.metadata.namespace = Some("shops".to_owned());
        assert_eq!(Record::before_records(&shop), Record::default(), "it is new");
        let kafka_cluster_id = Some("C".to_owned());
        shop.status = Some(ShopStatus { kafka_cluster_id, ..ShopStatus::default() });
        let record = Record::before_records(&shop);
        assert!(record.topics("C").contains("shops.demo.order.v1"), "{record:?}");
        assert!(record.topics("D").is_empty());
    }
}
