//! The Secrets of a Shop: made once, kept for ever, adopted when a Shop of their name returns.
//!
//! What is random in a Secret is never made again while it is there, but for keys that rotate. What
//! follows from it and from the spec, as a URL, is computed each time.

mod keys;
mod rotation;

use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::pkcs8;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use url::Url;

use crate::build::{CredentialKind, CredentialSpec, SecretHashes, SecretKey};
use crate::entropy::Entropy;
use crate::names;
use crate::object::Object;
use crate::status::Reason;

/// The decoded content of a Secret.
pub type Content = BTreeMap<String, String>;

/// Why the content of a Secret cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The private key in a Secret is none.
    #[error("Secret {secret} has no Ed25519 key: restore it, or delete it to sign everybody out")]
    Key {
        /// Name of the Secret.
        secret: String,
        /// What is wrong with it.
        source: pkcs8::Error,
    },
    /// A host does not fit into a URL.
    #[error("no URL can be made for Secret {secret}")]
    Url {
        /// Name of the Secret.
        secret: String,
    },
}

impl Error {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Key { .. } => Reason::SigningKeyInvalid,
            Self::Url { .. } => Reason::UrlInvalid,
        }
    }
}

/// The Secrets of a Shop, by name. Lives no longer than one reconciliation.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, Content>);

/// The public keys that were last derived from private ones.
#[derive(Clone, Default)]
pub struct PublicKeys(Option<(Content, String)>);

impl PublicKeys {
    /// The public keys of private ones.
    fn of(&mut self, private: &Content) -> Result<String, pkcs8::Error> {
        if let Some((known, keys)) = &self.0
            && known == private
        {
            return Ok(keys.clone());
        }
        let keys = rotation::public_keys(private)?;
        self.0 = Some((private.clone(), keys.clone()));
        Ok(keys)
    }
}

/// Without the content.
impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKeys")
    }
}

/// Without the content.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Credentials {
    /// A value in one of the Secrets.
    pub fn get(&self, secret: &str, key: &str) -> Option<&str> {
        self.0.get(secret)?.get(key).map(String::as_str)
    }

    /// Hashes of the Secrets' content, which restart pods when it changes.
    pub fn hashes(&self) -> SecretHashes {
        let restarting = |content: &Content| {
            let mut content = content.clone();
            content.retain(|key, _| !RELOADED.contains(&key.as_str()));
            hash(&content)
        };
        self.0.iter().map(|(name, content)| (name.clone(), restarting(content))).collect()
    }
}

/// What pods read again while they run, or do not read at all.
const RELOADED: [&str; 5] = [
    SecretKey::PUBLIC_KEYS,
    SecretKey::NEXT_KEY,
    SecretKey::PREVIOUS_KEY,
    SecretKey::PUBLISHED_AT,
    SecretKey::ROTATION_REQUEST,
];

/// A hash of the content of a Secret.
pub fn hash(content: &Content) -> String {
    let text: Vec<String> =
        content.iter().map(|(key, value)| format!("{key}\0{value}\0")).collect();
    names::hash(&text.concat())
}

/// The text in a Secret; what is not text is left out.
pub fn content(secret: &Secret) -> Content {
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, value)| Some((key.clone(), String::from_utf8(value.0.clone()).ok()?)))
        .collect()
}

/// The content that every Secret should have, given what the Secrets hold now.
pub fn decide(
    specs: &[CredentialSpec],
    found: &BTreeMap<String, Content>,
    (now, entropy): (Timestamp, &Entropy),
    keys: &mut PublicKeys,
) -> Result<Credentials, Error> {
    let mut credentials = Credentials::default();
    let none = Content::new();
    // The public keys are computed from a Secret that stands before them.
    for spec in specs {
        let old = found.get(&spec.name).unwrap_or(&none);
        let new = wanted(spec, old, &credentials, (now, entropy), keys)?;
        credentials.0.insert(spec.name.clone(), new);
    }
    Ok(credentials)
}

/// The Secrets as objects.
pub fn objects(
    specs: &[CredentialSpec],
    credentials: &Credentials,
    namespace: Option<&str>,
) -> Vec<Object> {
    let content = |spec: &CredentialSpec| credentials.0.get(&spec.name);
    specs.iter().filter_map(|spec| Some(secret(spec, namespace, content(spec)?))).collect()
}

/// What a Secret should hold, given what it holds.
fn wanted(
    spec: &CredentialSpec,
    old: &Content,
    others: &Credentials,
    (now, entropy): (Timestamp, &Entropy),
    keys: &mut PublicKeys,
) -> Result<Content, Error> {
    let kept = |key: &str| old.get(key).filter(|value| !value.is_empty()).cloned();
    let random =
        |key: &str| kept(key).unwrap_or_else(|| entropy.password(&format!("{}/{key}", spec.name)));
    let password = || random(SecretKey::PASSWORD);
    let invalid_key = |source| Error::Key { secret: spec.name.clone(), source };
    let content: Vec<(&str, String)> = match &spec.kind {
        CredentialKind::AdminPassword { username } => {
            vec![(SecretKey::USERNAME, username.clone()), (SecretKey::PASSWORD, password())]
        }
        CredentialKind::Password { host, port } => {
            let password = password();
            let url = url(spec, &format!("redis://{host}:{port}"), "", &password)?;
            vec![(SecretKey::PASSWORD, password), (SecretKey::URL, url)]
        }
        CredentialKind::Database { user, database, host, port, ssl_mode } => {
            let password = password();
            let mode = ssl_mode.as_str();
            let base = format!("postgres://{host}:{port}/{database}?sslmode={mode}");
            let url = url(spec, &base, user, &password)?;
            vec![
                (SecretKey::USERNAME, user.clone()),
                (SecretKey::PASSWORD, password),
                (SecretKey::DATABASE, database.clone()),
                (SecretKey::URL, url),
            ]
        }
        CredentialKind::SigningKey { requested } => {
            return rotation::advance(old, requested.as_deref(), now, entropy).map_err(invalid_key);
        }
        CredentialKind::PublicKeys { signing_key } => {
            let private = others.0.get(signing_key).cloned().unwrap_or_default();
            let secret = signing_key.clone();
            let keys = keys.of(&private);
            vec![(SecretKey::PUBLIC_KEYS, keys.map_err(|source| Error::Key { secret, source })?)]
        }
        CredentialKind::ObjectKeys { access_key } => vec![
            (SecretKey::ACCESS_KEY, access_key.clone()),
            (SecretKey::SECRET_KEY, random(SecretKey::SECRET_KEY)),
        ],
        CredentialKind::AdminAccount { email } => vec![
            // Who signed up with it keeps it, whatever the host becomes.
            (SecretKey::EMAIL, kept(SecretKey::EMAIL).unwrap_or_else(|| email.clone())),
            (SecretKey::PASSWORD, password()),
        ],
    };
    Ok(content.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn url(spec: &CredentialSpec, base: &str, user: &str, password: &str) -> Result<String, Error> {
    let invalid = || Error::Url { secret: spec.name.clone() };
    let mut url = Url::parse(base).map_err(|_| invalid())?;
    url.set_username(user).map_err(|()| invalid())?;
    url.set_password(Some(password)).map_err(|()| invalid())?;
    Ok(url.into())
}

fn secret(spec: &CredentialSpec, namespace: Option<&str>, content: &Content) -> Object {
    let data = content.iter().map(|(key, value)| (key.clone(), ByteString(value.clone().into())));
    Object::new(&Secret {
        metadata: ObjectMeta {
            name: Some(spec.name.clone()),
            namespace: namespace.map(str::to_owned),
            labels: Some(spec.labels.clone()),
            annotations: Some(names::unowned_annotations(&spec.shop_uid)),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}
