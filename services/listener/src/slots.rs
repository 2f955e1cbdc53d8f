//! How many connections there are, and whose.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use contracts::{TrustedProxies, client_network};
use prometheus::{IntCounterVec, IntGaugeVec, register_int_counter_vec, register_int_gauge_vec};

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
    trusted: TrustedProxies,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

impl Slots {
    pub(crate) fn new(listener: &'static str, limit: usize, trusted: TrustedProxies) -> Self {
        // So that a series is there before its first event.
        for reason in ["full", "peer"] {
            REFUSED.with_label_values(&[listener, reason]).inc_by(0);
        }
        Self { listener, limit, trusted, taken: Mutex::default() }
    }

    /// A place for a connection of this peer, unless there is none.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let peer = peer.to_canonical();
        let exempt = self.trusted.contains(peer);
        let peer = client_network(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.by_peer.get(&peer).copied().unwrap_or_default();
        let reason = if taken.all >= self.limit {
            "full"
        } else if !exempt && of_peer >= self.limit.div_ceil(2) {
            "peer"
        } else {
            taken.all += 1;
            *taken.by_peer.entry(peer).or_default() += 1;
            drop(taken);
            OPEN.with_label_values(&[self.listener]).inc();
            return Some(Slot { slots: Arc::clone(self), peer });
        };
        drop(taken);
        REFUSED.with_label_values(&[self.listener, reason]).inc();
        tracing::debug!(listener = self.listener, %peer, reason, "a connection was refused");
        None
    }
}

/// The place of one connection; free again when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    peer: IpAddr,
}

impl Slot {
    pub(crate) fn listener(&self) -> &'static str {
        self.slots.listener
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let count = taken.by_peer.get_mut(&self.peer).map(|count| {
            *count -= 1;
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
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let slots = Arc::new(Slots::new("test", 4, trusted));
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
}
