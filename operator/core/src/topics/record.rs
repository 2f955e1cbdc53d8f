//! Which topics in an external Kafka a Shop has made or adopted. Nothing in Kafka can say whose a topic is, so a
//! ConfigMap does. It outlives the Shop as its Secrets do, and a new Shop of that name adopts it.
//! See `docs/decisions/0071-whose-topics.md`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::core::DynamicObject;

use crate::apply::{Applicant, check_ownership};
use crate::build::topic_names;
use crate::crd::Shop;
use crate::names;
use crate::object::Object;
use crate::role::Role;

/// Key of the list in the ConfigMap.
const KEY: &str = "topics.json";

/// Names of topics, by the id of their Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<String, BTreeSet<String>>);

impl Record {
    /// The record of a Shop in the ConfigMap that was found, if one was. One that is not the Shop's says nothing.
    pub fn read(shop: &Shop, found: Option<&DynamicObject>) -> Self {
        let Some(found) = found else { return Self::before_records(shop) };
        let (name, uid) = (shop.name_any(), shop.uid().unwrap_or_default());
        let applicant = Applicant { name: &name, uid: &uid };
        if check_ownership("ConfigMap", &found.metadata, applicant).is_err() {
            return Self::default();
        }
        let list = found.data.pointer(&format!("/data/{KEY}")).and_then(|list| list.as_str());
        // An unreadable list names no topic: what exists is refused until it is adopted.
        Self(list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default())
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

    /// The ConfigMap with the record.
    pub fn object(&self, shop: &Shop) -> Object {
        let name = shop.name_any();
        let list = serde_json::to_string(&self.0).expect("a map of names is JSON");
        Object::new(&ConfigMap {
            metadata: ObjectMeta {
                name: Some(names::child(&name, Role::Topics)),
                namespace: shop.namespace(),
                labels: Some(names::object_labels(&name, Role::Topics)),
                annotations: Some(names::unowned_annotations(&shop.uid().unwrap_or_default())),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), list)].into()),
            ..ConfigMap::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::ShopStatus;

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
