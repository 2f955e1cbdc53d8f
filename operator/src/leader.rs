//! Leader election by a Lease, so that of two replicas one writes.
//!
//! The rules are those of client-go's `leaderelection`: whether a lease has expired is judged by
//! when this process last saw it change, on its own monotonic clock, never by the times written
//! into it; every write carries the resourceVersion that was read; a leader that could not renew
//! within the renew deadline is no longer one, and that deadline is shorter than the duration
//! others wait. The identity is new with every process, so a restarted pod waits like any other.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// How long leases live and how often they are tended.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others wait after the last renewal they saw.
    pub lease_duration: Duration,
    /// How long a leader goes on without having renewed. Shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

impl Default for Timing {
    /// The figures of kube-controller-manager.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// What matters of a Lease that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `metadata.resourceVersion`.
    pub version: String,
    /// Who holds it; `None` once it was released.
    pub holder: Option<String>,
    /// How long its holder asks others to wait.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i32,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is none: create it.
    Create,
    /// It is free, expired or our own: write our name, guarded by the version that was read.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// The lease as one process has seen it change.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    seen: Option<(Record, Duration)>,
}

impl Tracker {
    /// Notes what a read returned at `now`, a time since this process began. Only a changed
    /// record starts the wait anew.
    pub fn observe(&mut self, record: Option<Record>, now: Duration) {
        match (record, &self.seen) {
            (Some(new), Some((old, _))) if new == *old => {}
            (record, _) => self.seen = record.map(|record| (record, now)),
        }
    }

    /// What `identity` may do at `now`.
    pub fn decide(&self, identity: &str, now: Duration) -> Decision {
        match &self.seen {
            None => Decision::Create,
            Some((record, since)) => match &record.holder {
                None => Decision::Take,
                Some(holder) if holder == identity => Decision::Take,
                Some(_) if now.saturating_sub(*since) >= record.duration => Decision::Take,
                Some(_) => Decision::Wait,
            },
        }
    }
}

/// One contender for one lease.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    begun: Instant,
    tracker: Tracker,
    renewed: Instant,
}

impl Elector {
    /// A contender called `identity` for the lease `name`.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
        timing: Timing,
    ) -> Self {
        let begun = Instant::now();
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            timing,
            begun,
            tracker: Tracker::default(),
            renewed: begun,
        }
    }

    /// Returns once this process holds the lease.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => {
                    info!(identity = self.identity, "became the leader");
                    return;
                }
                Ok(false) => {}
                Err(error) => warn!(%error, "could not take the lease"),
            }
            sleep(self.timing.retry_period).await;
        }
    }

    /// Renews until that has failed for the renew deadline or somebody else holds the lease.
    /// When this returns the process must not write any more.
    pub async fn hold(&mut self) {
        loop {
            sleep(self.timing.retry_period).await;
            let left = self.timing.renew_deadline.saturating_sub(self.renewed.elapsed());
            match timeout(left, self.attempt()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    warn!("another replica holds the lease");
                    return;
                }
                Ok(Err(error)) => warn!(%error, "could not renew the lease"),
                Err(_) => {
                    warn!("did not renew the lease in time");
                    return;
                }
            }
        }
    }

    /// Gives the lease up, so that another replica need not wait for it to expire.
    pub async fn release(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.api.replace(&self.name, &PostParams::default(), &lease).await {
            warn!(%error, "could not release the lease");
        }
    }

    /// Reads, decides and perhaps writes; true if this process holds the lease afterwards.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let current = self.api.get_opt(&self.name).await?;
        let now = self.begun.elapsed();
        self.tracker.observe(current.as_ref().map(record), now);
        // From before the write: others start to wait only after it.
        let started = Instant::now();
        let written = match self.tracker.decide(&self.identity, now) {
            Decision::Wait => return Ok(false),
            Decision::Create => self.api.create(&PostParams::default(), &self.claim(None)).await,
            Decision::Take => {
                self.api.replace(&self.name, &PostParams::default(), &self.claim(current)).await
            }
        };
        match written {
            Ok(lease) => {
                self.renewed = started;
                self.tracker.observe(Some(record(&lease)), self.begun.elapsed());
                Ok(true)
            }
            // Somebody wrote in between; the next attempt sees what.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lease with our name in it, at the version that was read.
    fn claim(&self, current: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = current.unwrap_or_default();
        lease.metadata.name = Some(self.name.clone());
        let old = lease.spec.take().unwrap_or_default();
        let renewal = old.holder_identity.as_deref() == Some(&self.identity);
        let transitions = old.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease_duration.as_secs().max(1)).ok(),
            acquire_time: if renewal { old.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!renewal)),
            ..LeaseSpec::default()
        });
        lease
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DURATION: u64 = 15;
    const DEADLINE: u64 = 10;

    /// A step of one of two contenders: it reads, is slow, and then writes what it decided.
    #[derive(Clone, Debug)]
    struct Step {
        who: usize,
        pause: u64,
        read_to_write: u64,
        write_lost: bool,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..2_usize, 0..6_u64, 0..8_u64, proptest::bool::weighted(0.3)).prop_map(
            |(who, pause, read_to_write, write_lost)| Step {
                who,
                pause,
                read_to_write,
                write_lost,
            },
        );
        proptest::collection::vec(step, 1..200)
    }

    #[derive(Default)]
    struct Contender {
        tracker: Tracker,
        pending: Option<(u64, Record)>,
        lost: bool,
        leads_until: Option<u64>,
    }

    /// The API server: one record, compare-and-swap by version.
    #[derive(Default)]
    struct Server {
        stored: Option<Record>,
        writes: u64,
    }

    impl Server {
        fn write(&mut self, record: Record) -> bool {
            let expected = self.stored.as_ref().map_or("", |r| &r.version);
            if record.version != expected {
                return false;
            }
            self.writes += 1;
            self.stored = Some(Record { version: self.writes.to_string(), ..record });
            true
        }
    }

    fn land(server: &mut Server, contender: &mut Contender, now: u64) {
        if contender.pending.as_ref().is_some_and(|(at, _)| *at <= now) {
            let (_, record) = contender.pending.take().unwrap();
            contender.lost |= !server.write(record);
        }
    }

    proptest! {
        /// However slow the network and whatever is lost, no moment has two leaders.
        #[test]
        fn two_never_lead_at_once(steps in steps()) {
            let mut server = Server::default();
            let mut pair = [Contender::default(), Contender::default()];
            let mut now = 0_u64;
            for step in steps {
                now += step.pause;
                for contender in &mut pair {
                    land(&mut server, contender, now);
                }
                let contender = &mut pair[step.who];
                if contender.pending.is_some() {
                    continue;
                }
                let me = step.who.to_string();
                let time = Duration::from_secs(now);
                contender.tracker.observe(server.stored.clone(), time);
                if contender.tracker.decide(&me, time) != Decision::Wait {
                    let version = server.stored.as_ref().map_or(String::new(), |r| r.version.clone());
                    let duration = Duration::from_secs(DURATION);
                    let record = Record { version, holder: Some(me), duration, transitions: 0 };
                    if step.write_lost {
                        // The write may land although its sender never hears of it.
                        contender.pending = Some((now + step.read_to_write, record));
                    } else if server.write(record) {
                        contender.leads_until = Some(now + DEADLINE);
                    }
                }
                let leaders = pair.iter().filter(|c| c.leads_until.is_some_and(|t| t > now)).count();
                prop_assert!(leaders <= 1, "two leaders at {now}");
            }
        }
    }

    fn held_by(holder: &str, version: &str) -> Record {
        Record {
            version: version.to_owned(),
            holder: Some(holder.to_owned()),
            duration: Duration::from_secs(DURATION),
            transitions: 1,
        }
    }

    #[test]
    fn expiry_counts_from_the_last_change_seen_here() {
        let mut tracker = Tracker::default();
        tracker.observe(Some(held_by("a", "1")), Duration::from_secs(100));
        tracker.observe(Some(held_by("a", "1")), Duration::from_secs(110));
        assert_eq!(tracker.decide("b", Duration::from_secs(114)), Decision::Wait);
        assert_eq!(tracker.decide("b", Duration::from_secs(115)), Decision::Take);
        tracker.observe(Some(held_by("a", "2")), Duration::from_secs(115));
        assert_eq!(tracker.decide("b", Duration::from_secs(129)), Decision::Wait);
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let mut tracker = Tracker::default();
        let released = Record { holder: None, ..held_by("a", "1") };
        tracker.observe(Some(released), Duration::ZERO);
        assert_eq!(tracker.decide("b", Duration::ZERO), Decision::Take);
        assert_eq!(Tracker::default().decide("b", Duration::ZERO), Decision::Create);
    }
}
