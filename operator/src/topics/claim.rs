//! Who of several Shops has the topics of one prefix in one Kafka cluster. Nothing in Kafka itself
//! says whose a topic is, so the status of a Shop does, by the id of the cluster.
//! See `docs/decisions/0024-shared-servers.md`.

use std::sync::Arc;

use kube::ResourceExt as _;
use operator_core::crd::{ExternalEvents, Shop};
use operator_core::names;

/// Whether two Shops name the same topics, should their brokers be the same.
pub fn competes(one: &Shop, other: &Shop) -> bool {
    let identity = |shop: &Shop| (shop.namespace(), shop.name_any());
    identity(one) != identity(other)
        && brokers(one).is_some()
        && brokers(other).is_some()
        && prefix(one) == prefix(other)
}

/// The Shop among `others` that has the topics that `shop` asks for in the cluster with this id, if
/// there is one: whoever has made them, and of two the older.
pub fn holder<'a>(shop: &Shop, cluster: &str, others: &'a [Arc<Shop>]) -> Option<&'a Shop> {
    let holds = |shop: &Shop| claim(shop) == Some(cluster);
    let comes_first = |other: &&'a Shop| match (holds(other), holds(shop)) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => is_older(other, shop),
        // Neither was there yet; the older one, if it is on its way there, goes first.
        (false, false) => {
            claim(other).is_none() && shares_brokers(other, shop) && is_older(other, shop)
        }
    };
    others.iter().map(Arc::as_ref).filter(|other| competes(shop, other)).find(comes_first)
}

/// First part of the names of a Shop's topics, as [`validate`](operator_core::validate::validate) resolves it.
pub fn prefix(shop: &Shop) -> String {
    let default = || names::topic_prefix(&shop.namespace().unwrap_or_default(), &shop.name_any());
    shop.spec.topics.prefix.clone().unwrap_or_else(default)
}

fn brokers(shop: &Shop) -> Option<&ExternalEvents> {
    shop.spec.events.external.as_ref()
}

fn claim(shop: &Shop) -> Option<&str> {
    shop.status.as_ref()?.kafka_cluster_id.as_deref()
}

fn shares_brokers(one: &Shop, other: &Shop) -> bool {
    let servers = |shop| brokers(shop).into_iter().flat_map(|b| &b.bootstrap_servers);
    servers(one).any(|server| servers(other).any(|theirs| theirs == server))
}

/// Times are whole seconds; of two Shops of one second either may be the older, but always the same.
fn is_older(one: &Shop, other: &Shop) -> bool {
    let age = |shop: &Shop| (shop.creation_timestamp(), shop.uid());
    age(one) < age(other)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use super::*;
    use operator_core::crd::ShopStatus;

    /// A Shop of this age with the topics `shared.*`, which it has in this cluster.
    fn shop(name: &str, second: i64, servers: &[&str], cluster: Option<&str>) -> Arc<Shop> {
        let events = json!({ "external": { "bootstrapServers": servers } });
        let mut shop = with(name, json!({ "events": events, "topics": { "prefix": "shared" } }));
        shop.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        let kafka_cluster_id = cluster.map(str::to_owned);
        shop.status = Some(ShopStatus { kafka_cluster_id, ..ShopStatus::default() });
        Arc::new(shop)
    }

    fn with(name: &str, spec: Value) -> Shop {
        let mut shop = Shop::new(name, serde_json::from_value(spec).unwrap());
        shop.metadata.namespace = Some("shops".to_owned());
        shop.metadata.uid = Some(name.to_owned());
        shop
    }

    fn held_by(shop: &Shop, others: &[Arc<Shop>]) -> Option<String> {
        holder(shop, "C", others).map(Shop::name_any)
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
        let bundled = Arc::new(with("bundled", json!({ "topics": { "prefix": "shared" } })));
        let mut other = Shop::clone(&shop("other", 1, &["a:1"], Some("C")));
        other.spec.topics.prefix = None;
        let others = [new.clone(), elsewhere, unknown, bundled, Arc::new(other)];
        assert_eq!(held_by(&new, &others), None);
    }

    #[test]
    fn a_default_prefix_counts_too() {
        let mut old = Shop::clone(&shop("old", 1, &["a:1"], Some("C")));
        old.spec.topics.prefix = None;
        let mut new = Shop::clone(&shop("new", 2, &["a:1"], None));
        new.spec.topics.prefix = Some("shops.old".to_owned());
        assert_eq!(held_by(&new, &[Arc::new(old)]).as_deref(), Some("old"));
    }
}
