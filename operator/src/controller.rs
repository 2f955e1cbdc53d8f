//! Wiring: watches feed a queue of Shops, and each Shop in it is reconciled.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use kube::runtime::controller::{self, Action, Config, applier};
use kube::runtime::reflector::ObjectRef;
use operator_core::crd::Shop;
use operator_core::plan::RESYNC;
use telemetry::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, debug, error, info_span, warn};

use crate::context::Context;
use crate::error::Error;
use crate::reconcile::reconcile;
use crate::watches::Watches;

/// Events of one Shop within this time lead to one reconciliation.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Reconciles the Shops of one namespace, or of all, until `stop`. Tells `synced` when every
/// cache is full; nothing is written before. With several namespaces each is to be prepared by this
/// call before the first is polled, so that each waits for the Shops of the others where they matter.
///
/// Returning without `stop` means that a watch has died, which its caller must not survive.
pub fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    concurrency: u16,
    synced: oneshot::Sender<()>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let (wake, woken) = mpsc::unbounded_channel();
    let watches = Watches::new(context.clone(), namespace, wake);
    follow(watches, woken, context, concurrency, synced, stop)
}

async fn follow(
    mut watches: Watches,
    mut woken: mpsc::UnboundedReceiver<ObjectRef<Shop>>,
    context: Arc<Context>,
    concurrency: u16,
    synced: oneshot::Sender<()>,
    stop: CancellationToken,
) {
    let (shops, full) = watches.start();
    tokio::select! {
        () = full => {}
        () = stop.cancelled() => return,
    }
    let _ = synced.send(());
    let queue = stream::poll_fn(move |context| woken.poll_recv(context))
        .map(Ok::<_, std::convert::Infallible>)
        .take_until(stop.cancelled_owned());
    let settings = Config::default().debounce(DEBOUNCE).concurrency(concurrency);
    let reconciling = applier(attempt, retry, context, shops, queue, settings).for_each(async |result| {
        match result {
            Ok((done, action)) => debug!(shop = %done, ?action, "reconciled"),
            // Shops that are gone are still named by children that go after them.
            Err(controller::Error::ObjectNotFound(gone)) => debug!(shop = %gone, "is gone"),
            Err(controller::Error::ReconcilerFailed(error, failed)) => {
                warn!(shop = %failed, reason = error.reason().as_str(), error = chain(&error), "reconciliation failed");
            }
            Err(error) => error!(error = chain(&error), "the queue failed"),
        }
    });
    tokio::select! {
        () = reconciling => {}
        () = watches.died() => error!("a watch has died"),
    }
}

/// One measured and traced reconciliation, on a thread of its own choice.
fn attempt(
    shop: Arc<Shop>,
    context: Arc<Context>,
) -> futures_util::future::BoxFuture<'static, Result<Action, Error>> {
    let span = info_span!(
        "reconcile",
        otel.name = "reconcile Shop",
        otel.status_code = Empty,
        error.type = Empty,
        k8s.namespace.name = shop.metadata.namespace,
        shop.name = shop.metadata.name,
    );
    let task = async move {
        let metrics = &context.metrics;
        let begun = Instant::now();
        let pass = metrics.passes.begin();
        let result = timeout(context.pass_timeout, Box::pin(reconcile(&shop, &context))).await;
        let result = result.unwrap_or(Err(Error::Timeout(context.pass_timeout)));
        drop(pass);
        let label = match &result {
            Ok(_) => {
                context.backoff.reset(&ObjectRef::from_obj(&*shop));
                "success"
            }
            Err(error) => {
                let reason = error.reason().as_str();
                metrics.reconcile_errors.with_label_values(&[reason]).inc();
                Span::current().record("otel.status_code", "error").record("error.type", reason);
                "error"
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        metrics.reconcile_duration.with_label_values(&[label]).observe(seconds);
        result
    };
    let task = AbortOnDropHandle::new(tokio::spawn(task.instrument(span)));
    async { task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) }
        .boxed()
}

/// When to try again: soon and ever later if that can help, else with the next resync.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn retry(shop: Arc<Shop>, error: &Error, context: Arc<Context>) -> Action {
    let shop = ObjectRef::from_obj(&*shop);
    if error.is_permanent() {
        // It waits for a change, not for a retry.
        context.backoff.reset(&shop);
        return Action::requeue(RESYNC);
    }
    Action::requeue(context.backoff.next(&shop))
}
