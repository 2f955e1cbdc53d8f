//! What a contender may do, given what it has seen: a pure function of records and times.

use std::time::Duration;

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
