//! What the operator remembers of the children of every Shop: identity, version and status, and
//! nothing else. Specs and the data of Secrets are read when they are compared and then forgotten,
//! so that a thousand Shops fit into a small pod.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::ApiResource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use operator_core::child::{ChildKey, Seen, resource_name};
use operator_core::crd::Shop;
use operator_core::facts;
use operator_core::names::INSTANCE_LABEL;
use serde_json::Value;

/// One child: what the watch says, and which desired state was found true at which version.
#[derive(Debug, Default)]
struct Child {
    seen: Option<Seen>,
    checked: Option<(String, u64)>,
    /// UID of the last object of that name that was deleted: what was read or written before that is void.
    deleted: Option<String>,
}

type Children = BTreeMap<ChildKey, Child>;

/// The children of every Shop.
#[derive(Debug, Default)]
pub struct Cache {
    shops: Mutex<HashMap<ObjectRef<Shop>, Children>>,
}

impl Cache {
    /// Every child of a Shop.
    pub fn children(&self, shop: &ObjectRef<Shop>) -> BTreeMap<ChildKey, facts::Child> {
        let shops = self.lock();
        let children = shops.get(shop).into_iter().flatten();
        let known = |(key, child): (&ChildKey, &Child)| {
            let seen = child.seen.clone()?;
            let confirmed = child.checked.as_ref().filter(|checked| checked.0 == seen.version);
            let confirmed = confirmed.map(|checked| checked.1);
            Some((key.clone(), facts::Child { seen, confirmed }))
        };
        children.filter_map(known).collect()
    }

    /// Keeps what was read or written, before a watch brings it. `confirmed` is the fingerprint of the desired object that was found
    /// applied.
    pub fn record(
        &self,
        shop: &ObjectRef<Shop>,
        key: &ChildKey,
        seen: Seen,
        confirmed: Option<u64>,
    ) {
        let version = seen.version.clone();
        self.insert(shop, key, seen);
        if let Some(fingerprint) = confirmed {
            let mut shops = self.lock();
            let child = shops.entry(shop.clone()).or_default().entry(key.clone()).or_default();
            child.checked = Some((version, fingerprint));
        }
    }

    /// Forgets a child that was deleted, if it is still the one with this UID.
    pub fn forget_child(&self, shop: &ObjectRef<Shop>, key: &ChildKey, uid: &str) {
        let is_it = |child: &Child| child.seen.as_ref().is_some_and(|seen| seen.uid == uid);
        let known = self.lock().get(shop).and_then(|children| children.get(key)).is_some_and(is_it);
        if known {
            self.remove(shop, key, uid);
        }
    }

    /// Forgets a Shop that is gone, unless children of it are left.
    pub fn forget(&self, shop: &ObjectRef<Shop>) {
        let mut shops = self.lock();
        if shops.get(shop).is_some_and(|children| children.values().all(|c| c.seen.is_none())) {
            shops.remove(shop);
        }
    }

    /// Forgets the children of one kind, in one namespace or all: nobody watches them any more.
    pub fn forget_kind(&self, resource: &str, namespace: Option<&str>) {
        self.retain(resource, namespace, &BTreeSet::new());
    }

    /// Keeps what was seen, unless something newer was; false if it was known.
    fn insert(&self, shop: &ObjectRef<Shop>, key: &ChildKey, seen: Seen) -> bool {
        let mut shops = self.lock();
        let child = shops.entry(shop.clone()).or_default().entry(key.clone()).or_default();
        let is_void = child.deleted.as_ref() == Some(&seen.uid);
        if is_void || child.seen.as_ref().is_some_and(|old| !is_newer(&seen, old)) {
            return false;
        }
        child.seen = Some(seen);
        true
    }

    fn remove(&self, shop: &ObjectRef<Shop>, key: &ChildKey, uid: &str) {
        let mut shops = self.lock();
        if let Some(child) = shops.get_mut(shop).and_then(|children| children.get_mut(key)) {
            *child = Child { deleted: Some(uid.to_owned()), ..Child::default() };
        }
    }

    /// Drops the children of one kind, in one namespace or all, that a new list did not have.
    fn retain(
        &self,
        resource: &str,
        namespace: Option<&str>,
        listed: &BTreeSet<(Option<String>, String)>,
    ) -> Vec<ObjectRef<Shop>> {
        let mut touched = Vec::new();
        self.lock().iter_mut().for_each(|(shop, children)| {
            if namespace.is_some() && shop.namespace.as_deref() != namespace {
                return;
            }
            let mut gone = false;
            for (key, child) in children.iter_mut() {
                let is_listed = || listed.contains(&(shop.namespace.clone(), key.name.clone()));
                if &*key.resource == resource
                    && !is_listed()
                    && let Some(seen) = child.seen.take()
                {
                    *child = Child { deleted: Some(seen.uid), ..Child::default() };
                    gone = true;
                }
            }
            if gone {
                touched.push(shop.clone());
            }
        });
        touched
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<Shop>, Children>> {
        self.shops.lock().expect("no code panics while it holds the cache")
    }
}

/// Fills the cache with what one watch sees.
#[derive(Debug)]
pub struct Filler {
    cache: Arc<Cache>,
    resource: Arc<str>,
    namespace: Option<String>,
    listed: BTreeSet<(Option<String>, String)>,
}

impl Filler {
    /// For the watch on one kind, in one namespace or all.
    pub fn new(cache: Arc<Cache>, resource: &ApiResource, namespace: Option<String>) -> Self {
        Self { cache, resource: resource_name(resource), namespace, listed: BTreeSet::new() }
    }

    /// Takes an event in and returns the Shops that it concerns.
    pub fn take(&mut self, event: Event<(ObjectMeta, Value)>) -> Vec<ObjectRef<Shop>> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply((metadata, status)) => {
                self.listed.insert((
                    metadata.namespace.clone(),
                    metadata.name.clone().unwrap_or_default(),
                ));
                self.apply(&metadata, status)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.cache.retain(&self.resource, self.namespace.as_deref(), &listed)
            }
            Event::Apply((metadata, status)) => self.apply(&metadata, status),
            Event::Delete((metadata, _)) => {
                let shop = owner(&metadata);
                if let Some(shop) = &shop {
                    let uid = metadata.uid.as_deref().unwrap_or_default();
                    self.cache.remove(shop, &self.key(&metadata), uid);
                }
                shop.into_iter().collect()
            }
        }
    }

    fn apply(&self, metadata: &ObjectMeta, status: Value) -> Vec<ObjectRef<Shop>> {
        let insert = |shop: &ObjectRef<Shop>| {
            self.cache.insert(shop, &self.key(metadata), Seen::new(metadata, status))
        };
        owner(metadata).filter(insert).into_iter().collect()
    }

    fn key(&self, metadata: &ObjectMeta) -> ChildKey {
        let name = metadata.name.clone().unwrap_or_default();
        ChildKey { resource: self.resource.clone(), name }
    }
}

/// The Shop that a child is labelled with. What was retained has no owner reference.
fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<Shop>> {
    let shop = metadata.labels.as_ref()?.get(INSTANCE_LABEL)?;
    Some(ObjectRef::new(shop).within(metadata.namespace.as_deref()?))
}

/// Whether an object is of a later version. Versions of one resource are decimal numbers that grow (Kubernetes: API concepts, "Resource
/// versions"); one that is none counts as later.
fn is_newer(new: &Seen, old: &Seen) -> bool {
    match (new.version.parse::<u64>(), old.version.parse::<u64>()) {
        (Ok(new), Ok(old)) => new > old,
        _ => new.version != old.version,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    fn metadata(name: &str, version: &str) -> (ObjectMeta, Value) {
        let labels = BTreeMap::from([(INSTANCE_LABEL.to_owned(), "demo".to_owned())]);
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("n".to_owned()),
            resource_version: Some(version.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        };
        (metadata, Value::Null)
    }

    fn filler(cache: &Arc<Cache>) -> Filler {
        Filler::new(cache.clone(), &ApiResource::erase::<Secret>(&()), None)
    }

    fn shop() -> ObjectRef<Shop> {
        ObjectRef::new("demo").within("n")
    }

    #[test]
    fn what_was_read_before_a_deletion_is_void() {
        let cache = Arc::new(Cache::default());
        let (mut filler, key) = (filler(&cache), ChildKey::secret("a"));
        let seen = |uid: &str, version: &str| Seen {
            uid: uid.to_owned(),
            version: version.to_owned(),
            ..Seen::default()
        };
        cache.record(&shop(), &key, seen("u", "1"), Some(7));
        let (mut gone, status) = metadata("a", "2");
        gone.uid = Some("u".to_owned());
        filler.take(Event::Delete((gone, status)));
        cache.record(&shop(), &key, seen("u", "1"), Some(7));
        assert!(cache.children(&shop()).is_empty());
        cache.record(&shop(), &key, seen("v", "3"), Some(7));
        assert_eq!(confirmed(&cache), Some(7), "it is another object");
    }

    fn confirmed(cache: &Cache) -> Option<u64> {
        cache.children(&shop()).get(&ChildKey::secret("a"))?.confirmed
    }

    #[test]
    fn what_was_confirmed_holds_until_the_watch_sees_another_version() {
        let cache = Arc::new(Cache::default());
        let mut filler = filler(&cache);
        let key = ChildKey::secret("a");
        let seen = |version: &str| Seen { version: version.to_owned(), ..Seen::default() };
        filler.take(Event::Apply(metadata("a", "1")));
        assert_eq!(confirmed(&cache), None);
        cache.record(&shop(), &key, seen("2"), Some(7));
        assert_eq!(confirmed(&cache), Some(7), "it is known before the watch brings it");
        assert!(filler.take(Event::Apply(metadata("a", "1"))).is_empty(), "it is older");
        assert!(filler.take(Event::Apply(metadata("a", "2"))).is_empty(), "it is known");
        assert_eq!(confirmed(&cache), Some(7));
        assert_eq!(filler.take(Event::Apply(metadata("a", "10"))), [shop()]);
        assert_eq!(confirmed(&cache), None, "the object changed");
        cache.record(&shop(), &key, seen("11"), Some(8));
        cache.forget_kind(&key.resource, Some("n"));
        assert_eq!(confirmed(&cache), None, "the object is not watched any more");
    }

    #[test]
    fn a_new_list_replaces_the_old_one_and_wakes_only_for_changes() {
        let cache = Arc::new(Cache::default());
        let mut filler = filler(&cache);
        filler.take(Event::Apply(metadata("a", "1")));
        filler.take(Event::Apply(metadata("b", "1")));
        assert!(filler.take(Event::Init).is_empty());
        assert!(filler.take(Event::InitApply(metadata("a", "1"))).is_empty(), "nothing is new");
        assert_eq!(filler.take(Event::InitDone), [shop()], "b is gone");
        let left: Vec<String> = cache.children(&shop()).into_keys().map(|key| key.name).collect();
        assert_eq!(left, ["a"]);
        assert_eq!(filler.take(Event::Delete(metadata("a", "3"))), [shop()]);
        assert!(cache.children(&shop()).is_empty());
    }
}
