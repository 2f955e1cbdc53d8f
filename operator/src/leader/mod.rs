//! Leader election by a Lease, so that of two replicas one writes.
//!
//! The rules are those of client-go's `leaderelection`: whether a lease has expired is judged by
//! when this process last saw it change, on its own monotonic clock, never by the times written
//! into it; every write carries the resourceVersion that was read; a leader that could not renew
//! within the renew deadline is no longer one, and that deadline is shorter than the duration
//! others wait. The identity is new with every process, so a restarted pod waits like any other.

mod decision;

pub use decision::{Decision, Record, Tracker};

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

/// For so long what was sent before the renew deadline may take effect after it: requests to Kafka and the longest that its brokers
/// work on them. The process itself ends at once (`app::run_to_end`).
pub const IN_FLIGHT: Duration = crate::kafka::REQUEST_TIMEOUT;

/// How long leases live and how often they are tended.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others wait after the last renewal they saw.
    pub lease_duration: Duration,
    /// How long a leader goes on without having renewed. Shorter than `lease_duration`, by [`IN_FLIGHT`] at least.
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
            match timeout(self.timing.renew_deadline, self.attempt()).await {
                Ok(Ok(true)) => {
                    info!(identity = self.identity, "became the leader");
                    return;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => warn!(%error, "could not take the lease"),
                // The connection may be cut without a sign; the next attempt opens another.
                Err(_) => warn!("the API server did not answer in time"),
            }
            sleep(self.timing.retry_period).await;
        }
    }

    /// Renews until that has failed for the renew deadline or somebody else holds the lease.
    /// When this returns the process must not write any more.
    pub async fn hold(&mut self) {
        loop {
            // The deadline counts during the pause as well.
            let deadline = self.renewed + self.timing.renew_deadline;
            let renewal = async {
                sleep(self.timing.retry_period).await;
                self.attempt().await
            };
            match timeout_at(deadline, renewal).await {
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
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    /// Others wait from the last renewal that they saw, which this process counts from before it sent it.
    #[test]
    fn a_leader_stops_before_another_may_begin() {
        let Timing { lease_duration, renew_deadline, retry_period } = Timing::default();
        assert!(renew_deadline + IN_FLIGHT <= lease_duration);
        assert!(retry_period * 2 < renew_deadline, "one lost request costs no lease");
        // What the Lease says to others is whole seconds.
        assert_eq!(lease_duration.subsec_nanos(), 0);
    }

    #[tokio::test]
    async fn the_deadline_counts_during_the_pause_between_attempts() {
        let failing = service_fn(|_: Request<Body>| async {
            let response = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
            Ok::<_, Infallible>(response.body(Body::empty()).unwrap())
        });
        let timing = Timing {
            renew_deadline: Duration::from_millis(100),
            retry_period: Duration::from_hours(1),
            ..Timing::default()
        };
        let client = Client::new(failing, "default");
        let mut elector = Elector::new(client, "n", "lease", "me".to_owned(), timing);
        let held = timeout(Duration::from_mins(1), elector.hold()).await;
        assert!(held.is_ok(), "the lease has expired, and this replica still leads");
    }
}
