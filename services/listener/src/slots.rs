//! How many connections there are, and whose.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use contracts::{TrustedProxies, client_network};
use prometheus::{IntCounterVec, IntGaugeVec, register_int_counter_vec, register_int_gauge_vec};

use crate::Limits;

static OPEN: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Connections that are open, by listener.";
    register_int_gauge_vec!("server_connections", help, &["listener"])
        .expect("metric names are unique")
});
static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Connections that were refused, by listener and reason (full, peer).";
    register_int_counter_vec!("server_connections_refused_total", help, &["listener", "reason"])
        .expect("metric names are unique")
});

/// Counts the connections of a listener.
pub(crate) struct Slots {
    listener: &'static str,
    limit: usize,
    half_per_peer: bool,
    trusted: TrustedProxies,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

impl Slots {
    pub(crate) fn new(listener: &'static str, limits: &Limits) -> Self {
        // So that a series is there before its first event.
        for reason in ["full", "peer"] {
            REFUSED.with_label_values(&[listener, reason]).inc_by(0);
        }
        let Limits { connections, half_per_peer, trusted, .. } = limits;
        Self {
            listener,
            limit: *connections,
            half_per_peer: *half_per_peer,
            trusted: trusted.clone(),
            taken: Mutex::default(),
        }
    }

    /// A place for a connection of this peer, unless there is none.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let peer = peer.to_canonical();
        let exempt = !self.half_per_peer || self.trusted.contains(peer);
        let peer = client_network(peer);
        self.reserve(peer, exempt, 1).then(|| {
            OPEN.with_label_values(&[self.listener]).inc();
            Slot { slots: Arc::clone(self), peer, exempt, places: AtomicUsize::new(1) }
        })
    }

    /// Takes so many places for a peer, or none.
    fn reserve(&self, peer: IpAddr, exempt: bool, places: usize) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.by_peer.get(&peer).copied().unwrap_or_default();
        let reason = if taken.all + places > self.limit {
            "full"
        } else if !exempt && of_peer + places > self.limit.div_ceil(2) {
            "peer"
        } else {
            taken.all += places;
            *taken.by_peer.entry(peer).or_default() += places;
            return true;
        };
        drop(taken);
        REFUSED.with_label_values(&[self.listener, reason]).inc();
        tracing::debug!(listener = self.listener, %peer, reason, "a connection was refused");
        false
    }
}

/// The place of one connection, or the places; free again when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    peer: IpAddr,
    exempt: bool,
    places: AtomicUsize,
}

impl Slot {
    pub(crate) fn listener(&self) -> &'static str {
        self.slots.listener
    }

    /// Whether the connection has so many places, which it takes if it has fewer.
    pub(crate) fn widen(&self, places: usize) -> bool {
        let further = places.saturating_sub(self.places.load(Ordering::Relaxed));
        if further == 0 {
            return true;
        }
        let reserved = self.slots.reserve(self.peer, self.exempt, further);
        if reserved {
            self.places.store(places, Ordering::Relaxed);
        }
        reserved
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let places = *self.places.get_mut();
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= places;
        let count = taken.by_peer.get_mut(&self.peer).map(|count| {
            *count -= places;
            *count
        });
        if count == Some(0) {
            taken.by_peer.remove(&self.peer);
        }
        drop(taken);
        OPEN.with_label_values(&[self.slots.listener]).dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_at_most_half_unless_it_is_trusted() {
        let trusted = "10.0.0.0/8".parse().unwrap();
        let limits = Limits { connections: 4, trusted, ..Limits::default() };
        let slots = Arc::new(Slots::new("test", &limits));
        let take = |peer: &str| slots.take(peer.parse().unwrap());
        let mut one: Vec<Slot> = vec![take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert!(take("2001:db8::3").is_none(), "a household is one peer");
        let proxy = [take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap()];
        assert!(take("192.0.2.1").is_none(), "all are taken");
        one.pop();
        let third = take("10.0.0.1").unwrap();
        drop((one, proxy, third));
        assert!(slots.taken.lock().unwrap().by_peer.is_empty());
        assert_eq!(slots.taken.lock().unwrap().all, 0);
    }

    #[test]
    fn a_connection_that_takes_more_places_gives_all_of_them_back() {
        let limits = Limits { connections: 8, ..Limits::default() };
        let slots = Arc::new(Slots::new("test", &limits));
        let take = |peer: &str| slots.take(peer.parse().unwrap());
        let wide = take("192.0.2.1").unwrap();
        assert!(wide.widen(3) && wide.widen(3), "it has them already");
        assert!(!wide.widen(5), "half of them are one peer's");
        let last = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        let other = take("192.0.2.2").unwrap();
        assert!(other.widen(4));
        assert!(take("192.0.2.3").is_none(), "all are taken");
        drop((wide, last, other));
        assert!(slots.taken.lock().unwrap().by_peer.is_empty());
        assert_eq!(slots.taken.lock().unwrap().all, 0);
    }
}
