//! What a spec refers to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::{Observed, errors::Errors};
use crate::crd::{
    CredentialsSecretRef, ObjectStoreSecretRef, SecretKeyRef, ShopSpec, StripeSecretRef,
};

/// A reference to keys of a Secret that somebody else keeps.
struct Reference<'a> {
    /// Path of the field that refers.
    path: Cow<'static, str>,
    /// Name of the Secret.
    name: &'a str,
    /// Keys that it must have, and the fields that name them.
    keys: Vec<(&'static str, &'a str)>,
    /// Whether pods start without it.
    optional: bool,
    /// Whether the values may be anything, because they are the user's own affair.
    opaque: bool,
}

/// Names of the Secrets that a spec refers to and the operator reads.
pub fn referenced_secrets(spec: &ShopSpec) -> BTreeSet<String> {
    references(spec).into_iter().map(|reference| reference.name.to_owned()).collect()
}

/// Hashes of the Secrets that a spec refers to.
pub(super) fn hashes(spec: &ShopSpec, observed: &Observed) -> BTreeMap<String, String> {
    let names = referenced_secrets(spec).into_iter();
    names
        .filter_map(|name| Some((name.clone(), observed.secrets.get(&name)?.hash.clone())))
        .collect()
}

/// Every Secret that a spec refers to must be there, with its keys, and these must have a value that can be used: none of
/// them has more than one line, and services read them as they are.
pub(super) fn check(spec: &ShopSpec, observed: &Observed, errors: &mut Errors) {
    let required = references(spec).into_iter().filter(|reference| !reference.optional);
    for Reference { path, name, keys, opaque, .. } in required {
        let Some(facts) = observed.secrets.get(name) else {
            let message = format!("there is no Secret `{name}` in the shop's namespace");
            errors.secret_missing(format!("{path}.name"), message);
            continue;
        };
        for (field, key) in keys.iter().filter(|(_, key)| !facts.keys.contains(*key)) {
            let message = format!("the Secret `{name}` has no key `{key}`");
            errors.secret_missing(format!("{path}.{field}"), message);
        }
        let broken = keys.iter().filter(|(_, key)| !opaque && facts.broken.contains(*key));
        for (field, key) in broken {
            let message = format!(
                "the key `{key}` of the Secret `{name}` has a line break or another control character, often at \
                 its end: write it again without, e.g. by `printf %s` instead of `echo`"
            );
            errors.secret_invalid(format!("{path}.{field}"), message);
        }
    }
}

/// Every reference to a Secret.
fn references(spec: &ShopSpec) -> Vec<Reference<'_>> {
    let database = spec.database.external.as_ref().map(|external| {
        credentials("spec.database.external.adminSecretRef", &external.admin_secret_ref)
    });
    let cache = spec
        .cache
        .external
        .as_ref()
        .map(|external| key("spec.cache.external.secretRef", &external.secret_ref));
    let events = spec
        .events
        .external
        .as_ref()
        .and_then(|external| external.security.secret_ref.as_ref())
        .map(|secret| credentials("spec.events.external.security.secretRef", secret));
    let mail = spec
        .mail
        .external
        .as_ref()
        .map(|external| key("spec.mail.external.secretRef", &external.secret_ref));
    let objects =
        spec.object_store.external.as_ref().map(|external| object_keys(&external.secret_ref));
    let stripe = spec.payments.stripe.as_ref().map(|stripe| stripes(&stripe.secret_ref));
    let sms = spec.sms.as_ref().map(|sms| Reference {
        path: "spec.sms.tokenSecretRef".into(),
        name: &sms.token_secret_ref.name,
        keys: vec![("key", &*sms.token_secret_ref.key)],
        optional: false,
        opaque: false,
    });
    let all = [database, cache, events, mail, objects, stripe, sms].into_iter().flatten();
    all.chain(of_variables(spec)).collect()
}

/// References of variables that are passed on.
fn of_variables(spec: &ShopSpec) -> impl Iterator<Item = Reference<'_>> {
    let services = spec.services.iter().enumerate().filter(|(_, service)| service.enabled);
    let services = services.map(|(i, service)| (format!("spec.services[{i}].env"), &service.env));
    let lists = iter::once(("spec.env".to_owned(), &spec.env)).chain(services);
    lists.flat_map(|(path, variables)| {
        variables.iter().enumerate().filter_map(move |(i, variable)| {
            let secret = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
            Some(Reference {
                path: format!("{path}[{i}].valueFrom.secretKeyRef").into(),
                name: &secret.name,
                keys: vec![("key", &*secret.key)],
                optional: secret.optional,
                opaque: true,
            })
        })
    })
}

fn credentials<'a>(path: &'static str, secret: &'a CredentialsSecretRef) -> Reference<'a> {
    let keys = vec![("usernameKey", &*secret.username_key), ("passwordKey", &*secret.password_key)];
    Reference { path: path.into(), name: &secret.name, keys, optional: false, opaque: false }
}

fn object_keys(secret: &ObjectStoreSecretRef) -> Reference<'_> {
    let keys =
        vec![("accessKeyKey", &*secret.access_key_key), ("secretKeyKey", &*secret.secret_key_key)];
    let path = "spec.objectStore.external.secretRef".into();
    Reference { path, name: &secret.name, keys, optional: false, opaque: false }
}

fn stripes(secret: &StripeSecretRef) -> Reference<'_> {
    let keys = vec![
        ("apiKeyKey", &*secret.api_key_key),
        ("webhookSecretKey", &*secret.webhook_secret_key),
    ];
    let path = "spec.payments.stripe.secretRef".into();
    Reference { path, name: &secret.name, keys, optional: false, opaque: false }
}

fn key<'a>(path: &'static str, secret: &'a SecretKeyRef) -> Reference<'a> {
    let keys = vec![("key", &*secret.key)];
    Reference { path: path.into(), name: &secret.name, keys, optional: false, opaque: false }
}
