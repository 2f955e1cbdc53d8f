//! A plan that is being written.

use crate::child::ChildKey;
use crate::facts::Facts;
use crate::object::{Object, Stage};
use crate::problem::Problem;

use super::action::{Action, Deletion, Phase};

/// An action in its phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// When it is done.
    pub phase: Phase,
    /// What is done.
    pub action: Action,
}

/// The actions of a plan that is being written.
pub(super) struct Draft<'a> {
    pub(super) facts: &'a Facts,
    pub(super) actions: Vec<Planned>,
    paused: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Self { facts, actions: Vec::new(), paused: facts.is_paused() }
    }

    /// A pause never stops a deletion.
    pub(super) fn of_deletion(facts: &'a Facts) -> Self {
        Self { paused: false, ..Self::new(facts) }
    }

    /// Applies the objects that are not known to be as they should be.
    pub(super) fn apply<'o>(
        &mut self,
        phase: Phase,
        objects: impl IntoIterator<Item = &'o Object>,
    ) {
        for object in objects {
            if self.facts.current(object).is_some() {
                continue;
            }
            let object = object.clone();
            let action = if self.paused { Action::Confirm(object) } else { Action::Apply(object) };
            self.actions.push(Planned { phase, action });
        }
    }

    /// Applies objects of a stage.
    pub(super) fn apply_stage<'o>(
        &mut self,
        stage: Stage,
        objects: impl IntoIterator<Item = &'o Object>,
    ) {
        self.apply(Phase::Objects(stage), objects);
    }

    /// Does something, unless writes are stopped.
    pub(super) fn act(&mut self, phase: Phase, action: Action) {
        if !self.paused {
            self.actions.push(Planned { phase, action });
        }
    }

    /// Deletes a child, if it is still the one that was seen.
    pub(super) fn delete(&mut self, phase: Phase, key: &ChildKey, exactly: bool) {
        let Some(child) = self.facts.children.get(key) else { return };
        let kinds = crate::kinds::all(self.facts.capabilities);
        let Some(resource) = kinds.into_iter().find(|kind| key.is_of(kind)) else { return };
        let deletion = Deletion {
            resource,
            name: key.name.clone(),
            uid: child.seen.uid.clone(),
            version: exactly.then(|| child.seen.version.clone()),
        };
        self.act(phase, Action::Delete(deletion));
    }

    /// What went wrong in a phase.
    pub(super) fn failure(&self, phase: Phase) -> Option<&'a Problem> {
        let failures = self.facts.failures.iter();
        failures.filter(|failure| failure.phase == phase).map(|failure| &failure.problem).next()
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }
}
