//! Two contenders for one Lease.

use std::time::Duration;

use kube::Client;
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
