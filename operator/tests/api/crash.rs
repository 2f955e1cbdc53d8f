//! An operator that dies after every single write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt as _;
use http::Method;
use kube::Client;
use operator_core::crd::Shop;
use operator_core::validate::Capabilities;
use serde_json::{Value, json};
use shop_operator::metrics::Metrics;
use tokio::sync::{Notify, watch};

use crate::intercept;
use crate::rollouts::{MeasuredPod, NEW, OLD, catalog, change, is_over, quickly};
use crate::world::{World, condition, observed};

/// Lets so many writes through and then nothing any more.
#[derive(Clone)]
struct Budget {
    left: Arc<AtomicI64>,
    spent: Arc<Notify>,
}

async fn budgeted(writes: i64) -> (Client, Budget) {
    let budget = Budget { left: Arc::new(AtomicI64::new(writes)), spent: Arc::new(Notify::new()) };
    let Budget { left, spent } = budget.clone();
    let client = intercept::client(move |method| {
        let writes = !matches!(*method, Method::GET);
        if writes && left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            spent.notify_one();
            return Some(async { "the process is dead".into() }.boxed());
        }
        None
    });
    (client.await, budget)
}

/// What must be the same in two namespaces: everything but identity and what is random.
async fn state(world: &World) -> BTreeMap<(String, String), Value> {
    let mut state = BTreeMap::new();
    for (key, child) in world.children().await {
        let text = serde_json::to_string(&child.data).unwrap();
        let mut data: Value = serde_json::from_str(&text.replace(&world.namespace, "NS")).unwrap();
        for path in [
            "/data",
            "/status",
            "/spec/clusterIP",
            "/spec/clusterIPs",
            "/spec/template/metadata/annotations",
        ] {
            if let Some(value) = data.pointer_mut(path) {
                *value = Value::Null;
            }
        }
        state.insert(key, data);
    }
    state
}

/// Every operator may write once, until one has nothing left to write.
async fn crash_until(world: &World, holds: impl Fn(&Shop) -> bool) -> usize {
    let mut crashes = 0;
    loop {
        let (client, budget) = budgeted(1).await;
        let (found, _) = watch::channel(Capabilities::default());
        let metrics = Metrics::new().unwrap();
        let doomed = world.operator_with(client, metrics, found).await;
        tokio::select! {
            () = budget.spent.notified() => crashes += 1,
            _ = world.until("there", &holds) => return crashes,
        }
        drop(doomed);
        assert!(crashes < 1000, "it never converges");
    }
}

/// A canary that is to take over, and one that is to be taken back.
#[tokio::test]
async fn a_crash_after_each_write_of_a_rollout_ends_where_no_crash_does() {
    for failing in [false, true] {
        let (reference, world) = (World::new().await, World::new().await);
        for world in [&reference, &world] {
            world.create(catalog(OLD, &quickly())).await;
            let operator = world.operator().await;
            world.until_ready().await;
            operator.settle(world).await;
            operator.stop().await;
        }
        let over =
            |shop: &Shop| observed(shop) == shop.metadata.generation && is_over(shop, failing);
        let _pod = MeasuredPod::start(&reference, failing).await;
        change(&reference, NEW, &quickly()).await;
        let operator = reference.operator().await;
        reference.until("over", over).await;
        operator.settle(&reference).await;

        let _pod = MeasuredPod::start(&world, failing).await;
        change(&world, NEW, &quickly()).await;
        let crashes = crash_until(&world, over).await;
        assert!(crashes > 3, "only {crashes} crashes");
        let survivor = world.operator().await;
        world.until("over", over).await;
        survivor.settle(&world).await;
        assert_eq!(state(&world).await, state(&reference).await);
    }
}

#[tokio::test]
async fn a_crash_after_each_write_ends_where_no_crash_does() {
    let reference = World::new().await;
    reference.create(json!({})).await;
    let operator = reference.operator().await;
    reference.until_ready().await;
    operator.settle(&reference).await;

    let world = World::new().await;
    world.create(json!({})).await;
    let crashes = crash_until(&world, |shop| {
        condition(shop, "Ready").0 == "True" && observed(shop) == shop.metadata.generation
    })
    .await;
    assert!(crashes > 50, "only {crashes} crashes");
    let survivor = world.operator().await;
    world.until_ready().await;
    survivor.settle(&world).await;
    assert_eq!(state(&world).await, state(&reference).await);
}
