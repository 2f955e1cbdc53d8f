//! Backups and restoration, resolved.

use std::time::Duration;

use super::errors::Errors;
use super::{Config, Identity, schedule, scheduling};
use crate::crd::{Scheduling, Shop, ShopSpec};
use crate::names;

/// How backups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backups {
    /// When, as cron says it, in UTC.
    pub schedule: String,
    /// The longest time between two backups.
    pub longest_gap: Duration,
    /// Whether the schedule is stopped.
    pub suspended: bool,
    /// How many are kept.
    pub keep: u16,
    /// What the annotation asks for and has not been answered.
    pub requested: Option<String>,
}

/// What empty databases are filled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// Name of the backup.
    pub backup: String,
    /// Namespace of the shop that it is a backup of.
    pub namespace: String,
    /// Name of that shop.
    pub shop: String,
    /// Whether it has not been done yet.
    pub due: bool,
}

/// Images of a Job that works on databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupImages {
    /// Has the program.
    pub program: String,
    /// Has Postgres' own programs.
    pub tools: String,
}

pub(super) fn images(spec: &ShopSpec, version: &str, config: &Config) -> BackupImages {
    let repository = spec.images.repository.as_ref().unwrap_or(&config.image_repository);
    let tools = spec.backup.as_ref().and_then(|backup| backup.tools_image.clone());
    BackupImages {
        program: format!("{repository}/{}:{version}", names::BACKUP),
        tools: tools.unwrap_or_else(|| config.engine_images.postgres.clone()),
    }
}

/// Of the Jobs that back up, and that restore.
pub(super) fn scheduling(spec: &ShopSpec, errors: &mut Errors) -> Box<Scheduling> {
    let own = spec.backup.as_ref().map(|backup| backup.scheduling.clone()).unwrap_or_default();
    Box::new(scheduling::resolve("spec.backup", &own, spec, errors))
}

pub(super) fn backups(shop: &Shop, errors: &mut Errors) -> Option<Backups> {
    let backup = shop.spec.backup.as_ref()?;
    let longest_gap = match schedule::longest_gap(&backup.schedule) {
        Ok(gap) => gap,
        Err(message) => {
            errors.invalid("spec.backup.schedule", message);
            return None;
        }
    };
    let requested = super::request(shop, names::BACKUP_REQUEST);
    let answered =
        shop.status.as_ref().and_then(|status| status.backup.as_ref()?.requested.clone());
    Some(Backups {
        schedule: backup.schedule.clone(),
        longest_gap,
        suspended: backup.suspend,
        keep: backup.keep,
        requested: requested.filter(|value| Some(value) != answered.as_ref()),
    })
}

pub(super) fn restoration(
    shop: &Shop,
    identity: Option<&Identity>,
    errors: &mut Errors,
) -> Option<Restoration> {
    let from = shop.spec.restore_from.as_ref()?;
    let own = &identity?.namespace;
    let namespace = from.namespace.as_ref().unwrap_or(own);
    if namespace != own && shop.spec.object_store.bundled.is_some() {
        errors.invalid(
            "spec.restoreFrom.namespace",
            "a bundled object store gives nothing to other namespaces: restore in the namespace of the backup's \
             shop, or with objectStore.external",
        );
    }
    Some(Restoration {
        backup: from.backup.clone(),
        namespace: namespace.clone(),
        shop: from.shop.clone(),
        due: shop.status.as_ref().is_none_or(|status| status.restored.is_none()),
    })
}
