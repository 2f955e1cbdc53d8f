//! What the operator remembers of the children of every Shop: identity, version and status, and
//! nothing else. Specs and the data of Secrets are read when they are compared and then forgotten,
//! so that a thousand Shops fit into a small pod.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::ApiResource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use operator_core::child::{ChildKey, Seen, resource_name};
use operator_core::crd::Shop;
use operator_core::names::INSTANCE_LABEL;
use serde_json::Value;

/// One child: what the watch says, and which desired state was found true at which version.
#[derive(Debug, Default)]
struct Child {
    seen: Option<Seen>,
    checked: Option<(String, u64)>,
}

type Children = BTreeMap<ChildKey, Child>;

/// The children of every Shop.
#[derive(Debug, Default)]
pub struct Cache {
    shops: Mutex<HashMap<ObjectRef<Shop>, Children>>,
}

impl Cache {
    /// The child if what is wanted was found true at the version that the watch last saw.
    pub fn unchanged(&self, shop: &ObjectRef<Shop>, key: &ChildKey, wanted: u64) -> Option<Seen> {
        let shops = self.lock();
        let child = shops.get(shop)?.get(key)?;
        let seen = child.seen.as_ref()?;
        let checked = child.checked.as_ref()?;
        (checked.0 == seen.version && checked.1 == wanted).then(|| seen.clone())
    }

    /// Notes that `wanted` is true of the child at this version.
    pub fn note(&self, shop: &ObjectRef<Shop>, key: &ChildKey, version: &str, wanted: u64) {
        let mut shops = self.lock();
        let child = shops.entry(shop.clone()).or_default().entry(key.clone()).or_default();
        child.checked = Some((version.to_owned(), wanted));
    }

    /// Every child of a Shop that the watches have seen.
    pub fn children(&self, shop: &ObjectRef<Shop>) -> BTreeMap<ChildKey, Seen> {
        let shops = self.lock();
        let children = shops.get(shop).into_iter().flatten();
        children.filter_map(|(key, child)| Some((key.clone(), child.seen.clone()?))).collect()
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

    /// Keeps what was seen; false if it was known.
    fn insert(&self, shop: &ObjectRef<Shop>, key: &ChildKey, seen: Seen) -> bool {
        let mut shops = self.lock();
        let child = shops.entry(shop.clone()).or_default().entry(key.clone()).or_default();
        let known = child.seen.as_ref().is_some_and(|old| old.version == seen.version);
        child.seen = Some(seen);
        !known
    }

    fn remove(&self, shop: &ObjectRef<Shop>, key: &ChildKey) {
        let mut shops = self.lock();
        if let Some(children) = shops.get_mut(shop) {
            children.remove(key);
            if children.is_empty() {
                shops.remove(shop);
            }
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
        self.lock().retain(|shop, children| {
            if namespace.is_some() && shop.namespace.as_deref() != namespace {
                return true;
            }
            let before = children.len();
            children.retain(|key, _| {
                &*key.resource != resource
                    || listed.contains(&(shop.namespace.clone(), key.name.clone()))
            });
            if children.len() < before {
                touched.push(shop.clone());
            }
            !children.is_empty()
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
                    self.cache.remove(shop, &self.key(&metadata));
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

/// A short stand-in for a desired object, for comparison within this process.
pub fn fingerprint(desired: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    desired.to_string().hash(&mut hasher);
    hasher.finish()
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
    fn what_was_checked_holds_until_the_watch_sees_another_version() {
        let cache = Arc::new(Cache::default());
        let mut filler = filler(&cache);
        let key = ChildKey::secret("a");
        filler.take(Event::Apply(metadata("a", "1")));
        assert!(cache.unchanged(&shop(), &key, 7).is_none());
        cache.note(&shop(), &key, "1", 7);
        assert!(cache.unchanged(&shop(), &key, 7).is_some());
        assert!(cache.unchanged(&shop(), &key, 8).is_none(), "the wish changed");
        filler.take(Event::Apply(metadata("a", "2")));
        assert!(cache.unchanged(&shop(), &key, 7).is_none(), "the object changed");
        cache.note(&shop(), &key, "2", 7);
        cache.forget_kind(&key.resource, Some("n"));
        assert!(cache.unchanged(&shop(), &key, 7).is_none(), "nobody watches the object");
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
