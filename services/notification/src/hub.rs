//! Wakes the sockets of a user in whichever replica they are, when there are live events for them.
//!
//! Events are not passed through here: each socket reads its own from the table, from where it has
//! got to. So nothing waits in memory for slow readers, and nothing is lost between two replicas.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use contracts::UserId;
use kit::StartError;
use kit::telemetry::chain;
use prometheus::Gauge;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::db::CHANNEL;

/// Pause before listening again after Postgres has gone.
const PAUSE: Duration = Duration::from_secs(1);

static CONNECTIONS: LazyLock<Gauge> =
    kit::metric!(gauge, "live_connections", "Open WebSockets of shoppers.");

/// Sockets of one user in one replica: some devices with some pages each. The oldest is closed for another one, because
/// it is the likeliest to have been forgotten.
const MOST_OF_ONE: usize = 10;

type Sockets = Mutex<HashMap<UserId, Open>>;

/// The sockets of one user.
#[derive(Debug)]
struct Open {
    wake: watch::Sender<()>,
    /// The oldest first.
    seats: VecDeque<(u64, CancellationToken)>,
    next: u64,
}

impl Open {
    fn new() -> Self {
        Self { wake: watch::channel(()).0, seats: VecDeque::new(), next: 0 }
    }

    /// Makes room for one more.
    fn enter(&mut self) -> (u64, CancellationToken) {
        while self.seats.len() >= MOST_OF_ONE {
            if let Some((_, oldest)) = self.seats.pop_front() {
                oldest.cancel();
            }
        }
        let seat = (self.next, CancellationToken::new());
        self.next += 1;
        self.seats.push_back(seat.clone());
        seat
    }
}

/// The sockets of this replica; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    sockets: Arc<Sockets>,
    tracker: TaskTracker,
}

/// A socket's place in the hub, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    user: UserId,
    number: u64,
    replaced: CancellationToken,
    wake: watch::Receiver<()>,
    sockets: Arc<Sockets>,
    _token: TaskTrackerToken,
}

impl Hub {
    /// How many sockets are open.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no socket is open.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// A place for one more socket of this user. Wake-ups count from now on.
    pub fn seat(&self, user: UserId) -> Seat {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sockets.entry(user).or_insert_with(Open::new);
        let ((number, replaced), wake) = (open.enter(), open.wake.subscribe());
        CONNECTIONS.inc();
        let (sockets, token) = (Arc::clone(&self.sockets), self.tracker.token());
        Seat { user, number, replaced, wake, sockets, _token: token }
    }

    fn wake(&self, user: UserId) {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sockets.get(&user) {
            open.wake.send_replace(());
        }
    }

    fn wake_all(&self) {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for open in sockets.values() {
            open.wake.send_replace(());
        }
    }

    /// Listens until told to stop, then waits for the sockets to close.
    pub async fn run(self, pool: PgPool, stop: CancellationToken) -> Result<(), StartError> {
        while !stop.is_cancelled() {
            let listened = tokio::select! {
                () = stop.cancelled() => break,
                listened = self.listen(&pool) => listened,
            };
            if let Err(error) = listened {
                tracing::warn!(error = chain(&error), "not listening for live events");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
        self.tracker.close();
        self.tracker.wait().await;
        Ok(())
    }

    async fn listen(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        // Nobody has listened until now.
        self.wake_all();
        loop {
            match listener.try_recv().await? {
                Some(told) => match told.payload().parse() {
                    Ok(user) => self.wake(user),
                    Err(error) => tracing::warn!(%error, "a notification names no user"),
                },
                // The connection was lost and made again; so may be notifications.
                None => self.wake_all(),
            }
        }
    }
}

impl Seat {
    /// Whose it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Cancelled when the user has opened too many others since.
    pub fn replaced(&self) -> CancellationToken {
        self.replaced.clone()
    }

    /// Waits until there may be live events for the user.
    pub async fn woken(&mut self) {
        // The sender lives as long as this seat.
        if self.wake.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        CONNECTIONS.dec();
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = sockets.get_mut(&self.user) else { return };
        open.seats.retain(|(number, _)| *number != self.number);
        // This one is still counted.
        if open.wake.receiver_count() <= 1 {
            sockets.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_user_wakes_all_of_their_sockets_and_nobody_elses() {
        let (hub, ada, eve) = (Hub::default(), UserId::new(), UserId::new());
        let (mut first, mut second, mut other) = (hub.seat(ada), hub.seat(ada), hub.seat(eve));
        hub.wake(ada);
        assert!(first.woken().now_or_never().is_some());
        assert!(second.woken().now_or_never().is_some());
        assert!(first.woken().now_or_never().is_none(), "once for each time");
        assert!(other.woken().now_or_never().is_none());
        hub.wake_all();
        assert!(other.woken().now_or_never().is_some());
    }

    #[test]
    fn the_oldest_sockets_of_a_user_make_room_and_nobody_elses() {
        let (hub, ada, eve) = (Hub::default(), UserId::new(), UserId::new());
        let other = hub.seat(eve);
        let mut seats: Vec<Seat> = (0..MOST_OF_ONE + 2).map(|_| hub.seat(ada)).collect();
        let closed: Vec<bool> = seats.iter().map(|seat| seat.replaced().is_cancelled()).collect();
        assert_eq!(closed, [[true; 2].as_slice(), &[false; MOST_OF_ONE]].concat());
        assert!(!other.replaced().is_cancelled());
        // Where one has gone, there is room.
        seats.truncate(MOST_OF_ONE + 1);
        seats.push(hub.seat(ada));
        assert!(!seats[2].replaced().is_cancelled());
    }

    #[test]
    fn nothing_is_left_of_a_socket_that_has_gone() {
        let (hub, ada) = (Hub::default(), UserId::new());
        let (first, second) = (hub.seat(ada), hub.seat(ada));
        drop(first);
        assert_eq!(hub.sockets.lock().unwrap().len(), 1);
        drop(second);
        assert!(hub.sockets.lock().unwrap().is_empty());
        assert!(hub.is_empty());
    }
}
