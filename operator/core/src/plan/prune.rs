//! What the Shop does not want any more.

use std::collections::{BTreeMap, BTreeSet};

use super::COMMANDS;
use super::action::{Action, Phase};
use super::draft::Draft;
use crate::child::ChildKey;
use crate::kinds;
use crate::object::{Desired, Object};
use crate::role::Role;

/// Deletes the Shop's own children that are not desired. One that has changed since it was seen is left for the next pass.
pub(super) fn plan(
    desired: &Desired,
    secrets: &[Object],
    held: &BTreeSet<Role>,
    draft: &mut Draft<'_>,
) {
    let wanted: BTreeSet<ChildKey> =
        desired.iter().map(|(_, object)| object).chain(secrets).map(ChildKey::of).collect();
    let facts = draft.facts;
    let (uid, kinds) = (facts.uid(), kinds::prunable(facts.capabilities));
    for (key, child) in &facts.children {
        let seen = &child.seen;
        let is_own = seen.owner.as_deref() == Some(uid.as_str()) && !seen.deleting;
        let is_held = seen.role.is_some_and(|role| held.contains(&role));
        if is_own && !wanted.contains(key) && !is_held && kinds.iter().any(|kind| key.is_of(kind)) {
            draft.delete(Phase::Prune, key, true);
        }
    }
}

/// Removes the annotations that ask for something once: it was done, or there was nothing to do it to.
pub(super) fn annotations(draft: &mut Draft<'_>) {
    let all = draft.facts.shop.metadata.annotations.as_ref();
    let commands: BTreeMap<String, String> = COMMANDS
        .iter()
        .filter_map(|command| Some(((*command).to_owned(), all?.get(*command)?.clone())))
        .collect();
    if !commands.is_empty() {
        draft.act(Phase::Annotations, Action::RemoveAnnotations(commands));
    }
}
