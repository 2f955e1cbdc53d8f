//! One reconciliation of one Shop: passes of observe, plan and execute, until there is nothing left to do.

use kube::runtime::controller::Action as Next;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use operator_core::crd::Shop;
use operator_core::facts::{Facts, Failure};
use operator_core::plan::{self, Action, FINALIZER, Plan, Planned};
use operator_core::status;
use tracing::debug;

use crate::context::Context;
use crate::error::Error;
use crate::execute::{execute, write_status};
use crate::observe::{Reconciliation, observe};

/// Passes of one reconciliation. A new Shop with external engines takes about ten.
const MAX_PASSES: usize = 40;

/// Moves a Shop as far as its surroundings allow, and writes in its status how far that is.
pub async fn reconcile(shop: &Shop, context: &Context) -> Result<Next, Error> {
    let name = ObjectRef::from_obj(shop);
    let (failures, done) = (Vec::new(), Vec::new());
    let whole = Reconciliation::begin();
    let mut run = Run { context, name, whole, failures, done };
    let mut shop = shop.clone();
    for _ in 0..MAX_PASSES {
        if shop.metadata.deletion_timestamp.is_some() {
            // The watch may not have seen the last change of the policy yet.
            match current(&shop, context).await? {
                Some(now) if now.finalizers().iter().any(|name| name == FINALIZER) => shop = now,
                _ => {
                    context.forget(&run.name);
                    return Ok(Next::await_change());
                }
            }
        }
        let facts = Box::pin(run.observe(&shop)).await?;
        let plan = plan::plan(&facts, &mut run.whole.memo);
        if let Some(backups) = &plan.backups {
            context.metrics.tell_backups(&shop, backups.as_ref());
        }
        if let Some(progress) = &plan.deletion {
            context.deletions.record(&run.name, progress, facts.now);
        }
        match run.advance(&shop, &plan).await? {
            Progress::Shop(next) => shop = *next,
            Progress::Pass => {}
            Progress::Outdated => return Ok(Next::requeue(plan::POLL)),
            Progress::None => {
                return match plan.problems.into_iter().next() {
                    Some(problem) => Err(Error::Problem(problem)),
                    None => Ok(Next::requeue(plan.requeue)),
                };
            }
        }
    }
    Ok(Next::requeue(plan::POLL))
}

/// What a pass has changed.
enum Progress {
    /// The Shop.
    Shop(Box<Shop>),
    /// Something else.
    Pass,
    /// Nothing: something else has changed the Shop, or it is gone.
    Outdated,
    /// Nothing: there was nothing to do.
    None,
}

struct Run<'a> {
    context: &'a Context,
    name: ObjectRef<Shop>,
    whole: Reconciliation,
    /// Actions that failed in this reconciliation.
    failures: Vec<Failure>,
    /// Actions of this reconciliation. The same is not done twice: if it did not help, only time or a change can.
    done: Vec<Action>,
}

impl Run<'_> {
    async fn observe(&mut self, shop: &Shop) -> Result<Facts, Error> {
        let observed = observe(self.context, shop, &self.failures, &mut self.whole).await;
        if let Err(error) = &observed {
            let now = jiff::Timestamp::now();
            let status = status::unobserved(shop, &error.problem(), now);
            // What is wrong is reported by the error itself, should this fail too.
            let _ = write_status(self.context, shop, &status).await;
        }
        observed
    }

    async fn advance(&mut self, shop: &Shop, plan: &Plan) -> Result<Progress, Error> {
        let due = plan.actions.iter().filter(|planned| !self.done.contains(&planned.action));
        let due: Vec<&Planned> = due.collect();
        if !due.is_empty() {
            debug!(actions = ?due.iter().map(|planned| planned.action.id()).collect::<Vec<_>>());
            let outcome = execute(self.context, shop, plan, &due).await;
            self.done.extend(outcome.tried);
            self.failures.extend(outcome.failures);
            if outcome.outdated {
                return Ok(Progress::Outdated);
            }
            return Ok(outcome.shop.map_or(Progress::Pass, |shop| Progress::Shop(Box::new(shop))));
        }
        if shop.status.as_ref() == Some(&plan.status) {
            return Ok(Progress::None);
        }
        let written = write_status(self.context, shop, &plan.status).await;
        let written = written.map_err(Error::Status)?;
        Ok(written.map_or(Progress::Outdated, |shop| Progress::Shop(Box::new(shop))))
    }
}

/// The Shop as it is now, if it is still there.
async fn current(shop: &Shop, context: &Context) -> Result<Option<Shop>, Error> {
    let namespace = shop.namespace().unwrap_or_default();
    let api: Api<Shop> = Api::namespaced(context.client.clone(), &namespace);
    let now = api.get_opt(&shop.name_any()).await;
    let now = now.map_err(|source| Error::Observe { what: "the Shop".to_owned(), source })?;
    Ok(now.filter(|now| now.uid() == shop.uid()))
}
