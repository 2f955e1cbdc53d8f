//! Background work that waits in the database: done as soon as somebody says that there is some,
//! and looked for now and then in case that somebody died before saying so.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::telemetry::chain;

/// Pauses between looks after a wake-up: the commit follows the wake-up by a moment.
const AFTER_WAKE: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(6),
    Duration::from_millis(15),
    Duration::from_millis(40),
];
/// Pause after a round has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Tells a worker that there may be work; clones wake the same worker.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There may be work. Meant to be called inside the transaction that makes it.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Calls `round` when woken, and every `poll`, again and again while it says that it has done
    /// something. Ends only when told to stop.
    pub async fn run<F, E>(
        &self,
        name: &'static str,
        poll: Duration,
        stop: &CancellationToken,
        mut round: impl FnMut() -> F + Send,
    ) where
        F: Future<Output = Result<usize, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        while !stop.is_cancelled() {
            // Only a wake-up comes before the work does.
            let pauses: &[Duration] = tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.notified() => &AFTER_WAKE,
                () = tokio::time::sleep(poll) => &[],
            };
            if let Err(error) = drain_with(stop, pauses, &mut round).await {
                tracing::warn!(worker = name, error = chain(&*error.into()), "tried again soon");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AFTER_FAILURE) => {}
                }
            }
        }
    }
}

/// Works until nothing has been found for a while.
pub(crate) async fn drain<F, E>(
    stop: &CancellationToken,
    round: &mut (impl FnMut() -> F + Send),
) -> Result<(), E>
where
    F: Future<Output = Result<usize, E>> + Send,
{
    drain_with(stop, &AFTER_WAKE, round).await
}

/// Works until nothing has been found, after each of these pauses either.
async fn drain_with<F, E>(
    stop: &CancellationToken,
    pauses: &[Duration],
    round: &mut (impl FnMut() -> F + Send),
) -> Result<(), E>
where
    F: Future<Output = Result<usize, E>> + Send,
{
    let mut left = pauses.iter();
    while !stop.is_cancelled() {
        if round().await? > 0 {
            left = pauses.iter();
            continue;
        }
        match left.next() {
            Some(pause) => tokio::time::sleep(*pause).await,
            None => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn works_when_woken_and_goes_on_after_failures() {
        let (wake, stop) = (Wake::default(), CancellationToken::new());
        let (sender, mut rounds) = mpsc::unbounded_channel();
        let task = tokio::spawn({
            let (wake, stop) = (wake.clone(), stop.clone());
            async move {
                let mut count = 0;
                let round = || {
                    count += 1;
                    sender.send(count).unwrap();
                    let outcome = match count {
                        1 => Err("broken"),
                        2 | 3 => Ok(1),
                        _ => Ok(0),
                    };
                    std::future::ready(outcome)
                };
                wake.run("test", Duration::from_hours(1), &stop, round).await;
            }
        });
        tokio::task::yield_now().await;
        assert!(rounds.is_empty(), "nobody has woken it");
        wake.wake();
        assert_eq!(rounds.recv().await, Some(1), "it fails");
        wake.wake();
        // Two rounds find work; then one finds none, and one more after each pause.
        let quiet = 3 + 1 + AFTER_WAKE.len();
        for round in 2..=quiet {
            assert_eq!(rounds.recv().await, Some(round));
        }
        stop.cancel();
        task.await.unwrap();
        assert_eq!(rounds.recv().await, None, "nothing more was tried");
    }

    #[tokio::test]
    async fn looks_once_when_nobody_has_woken_it() {
        let (stop, poll) = (CancellationToken::new(), Duration::from_millis(50));
        let mut looked = vec![tokio::time::Instant::now()];
        let round = || {
            looked.push(tokio::time::Instant::now());
            if looked.len() == 6 {
                stop.cancel();
            }
            // The third look finds something, and looks for more at once.
            std::future::ready(Ok::<_, std::io::Error>(usize::from(looked.len() == 4)))
        };
        Wake::default().run("test", poll, &stop, round).await;
        let waited: Vec<bool> = looked.windows(2).map(|pair| pair[1] - pair[0] >= poll).collect();
        assert_eq!(waited, [true, true, true, false, true]);
    }
}
