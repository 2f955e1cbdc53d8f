//! One WebSocket of a shopper, from its opening to its end.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use chrono::Utc;
use kit::telemetry::chain;
use sqlx::PgPool;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::hub::Seat;
use crate::live::LiveEvent;

/// Live events in memory for one socket.
const BATCH: i64 = 32;
/// How often the client must show that it is there. Each time the table is looked at too, in case
/// that a wake-up was lost.
const PING: Duration = Duration::from_secs(30);
/// How long a client may take to accept a message before it is cut off; it can resume.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(1);
/// Close code: the access token has expired (from the range for applications, RFC 6455, 7.4.2).
pub const TOKEN_EXPIRED: u16 = 4401;
/// Close code: the user has opened too many others since.
pub const TOO_MANY: u16 = 4429;

/// What a socket tells, and until when.
pub struct Session {
    /// Its place in the hub.
    pub seat: Seat,
    /// It has told everything up to here.
    pub position: i64,
    /// When its access token expires, in seconds since the epoch.
    pub expires_at: i64,
    /// Where live events are.
    pub pool: PgPool,
    /// Cancelled when the service ends.
    pub stop: CancellationToken,
}

/// The client has gone, or is as good as gone.
struct Gone;

impl Session {
    /// Tells the client its live events until it goes, its token expires, or the service ends.
    pub async fn serve(mut self, mut socket: WebSocket) {
        if let Ok(goodbye) = self.talk(&mut socket).await {
            // A client that does not answer is left alone.
            let _ = timeout(FAREWELL, farewell(socket, goodbye)).await;
        }
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> Result<CloseFrame, Gone> {
        let left = u64::try_from(self.expires_at - Utc::now().timestamp()).unwrap_or_default();
        let expiry = Instant::now() + Duration::from_secs(left);
        let (mut pings, mut heard) = (pings(), Instant::now());
        let replaced = self.seat.replaced();
        // What was missed while the client was away.
        self.tell(socket).await?;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => {
                    return Ok(close(close_code::AWAY, "the service restarts; connect again"));
                }
                () = replaced.cancelled() => {
                    return Ok(close(TOO_MANY, "too many others were opened since"));
                }
                () = tokio::time::sleep_until(expiry) => {
                    return Ok(close(TOKEN_EXPIRED, "the access token has expired"));
                }
                message = socket.recv() => match message {
                    // Clients have nothing to say here; even a pong shows that they live.
                    Some(Ok(message)) if !matches!(message, Message::Close(_)) => heard = Instant::now(),
                    _ => return Err(Gone),
                },
                _ = pings.tick() => {
                    if heard.elapsed() > 2 * PING {
                        return Err(Gone);
                    }
                    send(socket, Message::Ping(Vec::new().into())).await?;
                    self.tell(socket).await?;
                }
                () = self.seat.woken() => self.tell(socket).await?,
            }
        }
    }

    /// Tells everything that there is after the position.
    async fn tell(&mut self, socket: &mut WebSocket) -> Result<(), Gone> {
        loop {
            let events = match self.read().await {
                Ok(events) => events,
                Err(error) => {
                    // They are still there at the next wake-up or ping.
                    tracing::warn!(error = chain(&error), "live events cannot be read");
                    return Ok(());
                }
            };
            let last = i64::try_from(events.len()).is_ok_and(|len| len < BATCH);
            for (position, event) in events {
                let text = serde_json::to_string(&event).map_err(|_| Gone)?;
                send(socket, Message::text(text)).await?;
                self.position = position;
            }
            if last {
                return Ok(());
            }
        }
    }

    async fn read(&self) -> Result<Vec<(i64, LiveEvent)>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        db::after(&mut connection, self.seat.user(), self.position, BATCH).await
    }
}

fn pings() -> Interval {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    pings.reset();
    pings
}

fn close(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Gone> {
    match timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Gone),
    }
}

/// Says why, and waits until the client has heard it.
async fn farewell(mut socket: WebSocket, goodbye: CloseFrame) {
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
