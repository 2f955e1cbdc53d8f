//! Who of several Shops has the topics of one prefix in one Kafka cluster. Nothing in Kafka itself
//! says whose a topic is, so the status of a Shop does, by the id of the cluster.
//! See `docs/decisions/0024-shared-servers.md`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::crd::{ExternalEvents, Shop};
use crate::names;

/// Whether two Shops name the same topics, should their brokers be the same.
pub fn competes(one: &Shop, other: &Shop) -> bool {
    let identity = |shop: &Shop| (shop.namespace(), shop.name_any());
    identity(one) != identity(other)
        && brokers(one).is_some()
        && brokers(other).is_some()
        && prefix(one) == prefix(other)
}

/// Another Shop that names the same topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its age and UID: of two Shops of one second either may be the older, but always the same.
    age: (Option<Time>, Option<String>),
    /// Its brokers.
    bootstrap_servers: Vec<String>,
    /// Id of the cluster in which it owns the topics, by its status.
    cluster: Option<String>,
}

impl Rival {
    fn new(shop: &Shop) -> Self {
        Self {
            namespace: shop.namespace().unwrap_or_default(),
            name: shop.name_any(),
            age: (shop.creation_timestamp(), shop.uid()),
            bootstrap_servers: brokers(shop)
                .map(|b| b.bootstrap_servers.clone())
                .unwrap_or_default(),
            cluster: shop.status.as_ref().and_then(|status| status.kafka_cluster_id.clone()),
        }
    }

    fn owns(&self, cluster: &str) -> bool {
        self.cluster.as_deref() == Some(cluster)
    }

    fn shares_brokers(&self, other: &Self) -> bool {
        self.bootstrap_servers.iter().any(|server| other.bootstrap_servers.contains(server))
    }
}

/// The Shops among `others` that name the same topics as `shop`.
pub fn rivals<'a>(shop: &Shop, others: impl IntoIterator<Item = &'a Shop>) -> Vec<Rival> {
    others.into_iter().filter(|other| competes(shop, other)).map(Rival::new).collect()
}

/// The rival that owns the topics of `shop` in the cluster with this id, if one does: the one that has created them, and of two
/// the older.
pub fn holder<'a>(shop: &Shop, cluster: &str, rivals: &'a [Rival]) -> Option<&'a Rival> {
    let shop = Rival::new(shop);
    let comes_first = |other: &&'a Rival| match (other.owns(cluster), shop.owns(cluster)) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => other.age < shop.age,
        // Neither was there yet; the older one, if it is on its way there, goes first.
        (false, false) => {
            other.cluster.is_none() && other.shares_brokers(&shop) && other.age < shop.age
        }
    };
    rivals.iter().find(comes_first)
}

/// First part of the names of a Shop's topics, as [`validate`](crate::validate::validate) resolves it.
pub fn prefix(shop: &Shop) -> String {
    let default = || names::topic_prefix(&shop.namespace().unwrap_or_default(), &shop.name_any());
    shop.spec.topics.prefix.clone().unwrap_or_else(default)
}

fn brokers(shop: &Shop) -> Option<&ExternalEvents> {
    shop.spec.events.external.as_ref()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::crd::ShopStatus;

    /// A Shop of this age with the topics `shared.*`, which it has in this cluster.
    fn shop(name: &str, second: i64, servers: &[&str], cluster: Option<&str>) -> Shop {
        let events = json!({ "external": { "bootstrapServers": servers } });
        let mut shop = with(name, json!({ "events": events, "topics": { "prefix": "shared" } }));
        shop.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        let kafka_cluster_id = cluster.map(str::to_owned);
        shop.status = Some(ShopStatus { kafka_cluster_id, ..ShopStatus::default() });
        shop
    }

    fn with(name: &str, spec: Value) -> Shop {
        let mut shop = Shop::new(name, serde_json::from_value(spec).unwrap());
        shop.metadata.namespace = Some("shops".to_owned());
        shop.metadata.uid = Some(name.to_owned());
        shop
    }

    fn held_by(shop: &Shop, others: &[Shop]) -> Option<String> {
        holder(shop, "C", &rivals(shop, others)).map(|rival| rival.name.clone())
    }

    #[test]
    fn whoever_has_made_the_topics_has_them() {
        let old = shop("old", 1, &["a:1"], Some("C"));
        let new = shop("new", 2, &["b:1"], None);
        let both = [old.clone(), new.clone()];
        assert_eq!(held_by(&new, &both).as_deref(), Some("old"), "by whatever name it is reached");
        assert_eq!(held_by(&old, &both), None);
        // The older one has come here later, from another cluster.
        let old = shop("old", 1, &["b:1"], Some("D"));
        let new = shop("new", 2, &["b:1"], Some("C"));
        let both = [old.clone(), new.clone()];
        assert_eq!(held_by(&old, &both).as_deref(), Some("new"));
        assert_eq!(held_by(&new, &both), None);
    }

    #[test]
    fn of_two_that_come_at_the_same_time_the_older_is_first() {
        for cluster in [None, Some("C")] {
            let (old, new) = (shop("old", 1, &["a:1"], cluster), shop("new", 2, &["a:1"], cluster));
            let both = [old.clone(), new.clone()];
            assert_eq!(held_by(&new, &both).as_deref(), Some("old"));
            assert_eq!(held_by(&old, &both), None);
            let twin = shop("twin", 1, &["a:1"], cluster);
            let twins = [old.clone(), twin.clone()];
            assert_eq!(held_by(&twin, &twins).as_deref(), Some("old"));
            assert_eq!(held_by(&old, &twins), None);
        }
    }

    #[test]
    fn others_are_not_in_the_way() {
        let new = shop("new", 2, &["a:1"], None);
        let elsewhere = shop("elsewhere", 1, &["b:1"], Some("D"));
        let unknown = shop("unknown", 1, &["b:1"], None);
        let bundled = with("bundled", json!({ "topics": { "prefix": "shared" } }));
        let mut other = shop("other", 1, &["a:1"], Some("C"));
        other.spec.topics.prefix = None;
        let others = [new.clone(), elsewhere, unknown, bundled, other];
        assert_eq!(held_by(&new, &others), None);
    }

    #[test]
    fn a_default_prefix_counts_too() {
        let mut old = shop("old", 1, &["a:1"], Some("C"));
        old.spec.topics.prefix = None;
        let mut new = shop("new", 2, &["a:1"], None);
        new.spec.topics.prefix = Some("shops.old".to_owned());
        assert_eq!(held_by(&new, &[old]).as_deref(), Some("old"));
    }
}
