//! Two contenders for one Lease.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use shop_operator::leader::{Elector, Timing};
use tokio::time::timeout;

use crate::server;
use crate::world::World;

const FAST: Timing = Timing {
    lease_duration: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry_period: Duration::from_millis(200),
};
const LONG: Duration = Duration::from_secs(30);

fn contender(client: &Client, world: &World, name: &str) -> Elector {
    Elector::new(client.clone(), &world.namespace, "test", name.to_owned(), FAST)
}

#[tokio::test]
async fn one_of_two_leads_and_the_other_follows_when_it_goes() {
    let world = World::new().await;
    let client = server::admin().await;
    let (mut first, mut second) =
        (contender(&client, &world, "first"), contender(&client, &world, "second"));
    timeout(LONG, first.acquire()).await.expect("nobody else is there");
    {
        // While the first renews, the second gets nowhere for longer than a lease lasts.
        let waiting = timeout(FAST.lease_duration * 2, second.acquire());
        tokio::select! {
            () = first.hold() => panic!("a leader that renews keeps the lease"),
            result = waiting => assert!(result.is_err(), "two leaders"),
        }
    }
    // A released lease is taken at once, ...
    first.release().await;
    timeout(FAST.lease_duration, second.acquire()).await.expect("a released lease is free");
    // ... one whose holder died after it has expired, ...
    timeout(LONG, first.acquire()).await.expect("an expired lease is free");
    // ... and whoever lost it, notices.
    timeout(LONG, second.hold()).await.expect("the loser notices");
}

/// A clock that was set forward or back writes times that say nothing: neither are there two leaders, nor none for a day.
#[tokio::test]
async fn the_times_in_a_lease_are_not_believed() {
    let world = World::new().await;
    let client = server::admin().await;
    let leases = Api::<Lease>::namespaced(client.clone(), &world.namespace);
    for hours in [-24, 24] {
        let mut first = contender(&client, &world, &format!("first {hours}"));
        timeout(LONG, first.acquire()).await.expect("nobody else is there");
        let other_day = MicroTime(Timestamp::now() + SignedDuration::from_hours(hours));
        let times = json!({"spec": {"renewTime": other_day, "acquireTime": other_day}});
        leases.patch("test", &PatchParams::default(), &Patch::Merge(times)).await.unwrap();
        let mut second = contender(&client, &world, &format!("second {hours}"));
        let early = timeout(FAST.lease_duration / 2, second.acquire()).await;
        assert!(early.is_err(), "two leaders, {hours} hours away");
        timeout(LONG, second.acquire()).await.expect("an expired lease is free");
        second.release().await;
    }
}
