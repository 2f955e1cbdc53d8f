//! Executes the actions of a plan, in their order, and writes nothing else.

mod objects;
mod servers;
mod shop;

pub use shop::{apply_status, write_status};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use operator_core::apply::Applicant;
use operator_core::crd::Shop;
use operator_core::facts::Failure;
use operator_core::plan::{Action, Phase, Plan, Planned};
use operator_core::problem::Problem;

use crate::context::Context;

/// Requests of one Shop that are under way at the same time.
const CONCURRENCY: usize = 8;

/// What became of the actions of a plan.
#[derive(Default)]
pub struct Outcome {
    /// Actions that were tried.
    pub tried: Vec<Action>,
    /// Actions that failed.
    pub failures: Vec<Failure>,
    /// The Shop as it is after it was patched.
    pub shop: Option<Shop>,
    /// Whether the Shop was changed by something else, or is gone: another pass begins when a watch brings it.
    pub outdated: bool,
}

/// What became of one action.
type Done = Result<Effect, Problem>;

/// What an action did beside its write.
enum Effect {
    None,
    /// The Shop was patched.
    Shop(Box<Shop>),
    /// The Shop was changed by something else, or is gone.
    Outdated,
}

/// Executes actions of a plan, phase by phase. If one fails that others build on, those wait.
pub async fn execute(context: &Context, shop: &Shop, plan: &Plan, actions: &[&Planned]) -> Outcome {
    let executor = Executor { context, shop, plan, name: ObjectRef::from_obj(shop) };
    let mut outcome = Outcome::default();
    for phase in actions.chunk_by(|one, next| one.phase == next.phase) {
        let name = phase[0].phase;
        outcome.tried.extend(phase.iter().map(|planned| planned.action.clone()));
        for (planned, done) in phase.iter().zip(executor.phase(name, phase).await) {
            match done {
                Ok(Effect::None) => {}
                Ok(Effect::Shop(shop)) => outcome.shop = Some(*shop),
                Ok(Effect::Outdated) => outcome.outdated = true,
                Err(problem) => outcome.failures.push(Failure {
                    phase: name,
                    action: planned.action.id(),
                    problem,
                }),
            }
        }
        let has_failed = outcome.failures.iter().any(|failure| failure.phase == name);
        if outcome.outdated || has_failed && name.is_required() {
            break;
        }
    }
    outcome
}

struct Executor<'a> {
    context: &'a Context,
    shop: &'a Shop,
    plan: &'a Plan,
    name: ObjectRef<Shop>,
}

impl Executor<'_> {
    async fn phase(&self, phase: Phase, actions: &[&Planned]) -> Vec<Done> {
        match phase {
            Phase::Databases | Phase::Topics | Phase::DropExternal => {
                self.change_servers(actions).await
            }
            _ => {
                // Boxed, because the compiler cannot see that futures made in a closure are `Send`.
                let mut waiting: Vec<BoxFuture<'_, Done>> = Vec::new();
                for planned in actions {
                    waiting.push(self.action(&planned.action).boxed());
                }
                stream::iter(waiting).buffered(CONCURRENCY).collect().await
            }
        }
    }

    async fn action(&self, action: &Action) -> Done {
        match action {
            Action::Apply(object) => self.apply(object, false).await.map(|()| Effect::None),
            Action::Confirm(object) => self.apply(object, true).await.map(|()| Effect::None),
            Action::Delete(deletion) => self.delete(deletion).await.map(|()| Effect::None),
            Action::Disown { resource, name } => {
                self.disown(resource, name).await.map(|()| Effect::None)
            }
            Action::Finalizer(wanted) => self.set_finalizer(*wanted).await,
            Action::RemoveAnnotations(annotations) => self.remove_annotations(annotations).await,
            Action::Sql(_) | Action::Topics(_) => Ok(Effect::None),
        }
    }

    fn shops(&self) -> Api<Shop> {
        let namespace = self.shop.namespace().unwrap_or_default();
        Api::namespaced(self.context.client.clone(), &namespace)
    }

    fn uid(&self) -> &str {
        self.shop.metadata.uid.as_deref().unwrap_or_default()
    }

    fn applicant(&self) -> Applicant<'_> {
        Applicant { name: &self.name.name, uid: self.uid() }
    }
}
