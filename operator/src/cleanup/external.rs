//! What a deleted Shop has in external servers.

use std::collections::VecDeque;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use operator_core::build::{DatabasePlan, TopicPlan};
use operator_core::components::{COMPONENTS, Need};
use operator_core::crd::{CredentialsSecretRef, ExternalDatabase, ExternalEvents};
use operator_core::credentials;
use operator_core::names;
use operator_core::validate::{FieldError, FieldErrorReason};

use super::Deletion;
use crate::databases::{Admin, Owned};
use crate::engines::{admin, claim_topics};
use crate::error::Error;
use crate::topics::{self, Login};

/// What could not be dropped, and why.
pub(super) struct Left {
    what: String,
    pub(super) error: Error,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.error.message())
    }
}

impl Deletion<'_> {
    /// Drops what is in external servers. The rest of the spec plays no part in it.
    /// Returns what could not be dropped.
    pub(super) async fn drop_external(&self) -> Vec<Left> {
        let mut left = Vec::new();
        if let Some(external) = &self.shop.spec.database.external {
            left.extend(self.drop_databases(external).await.err());
        }
        if let Some(external) = &self.shop.spec.events.external
            && let Err(error) = self.delete_topics(external).await
        {
            let (prefix, brokers) = (topics::prefix(self.shop), &external.bootstrap_servers);
            left.push(Left { what: format!("topics {prefix}.* on {}", brokers.join(", ")), error });
        }
        left
    }

    /// Drops the database of every service, enabled or not: one that was disabled has kept its own.
    async fn drop_databases(&self, external: &ExternalDatabase) -> Result<(), Left> {
        let (shop, namespace) = (self.shop.name_any(), self.shop.namespace().unwrap_or_default());
        let services = COMPONENTS.iter().filter(|component| component.needs(Need::Database));
        let mut databases: VecDeque<_> =
            services.map(|service| names::database(&namespace, &shop, service.name)).collect();
        let left = |databases: &VecDeque<String>, error: Error| {
            let names = databases.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let what = format!("databases {names} on {}:{}", external.host, external.port);
            Left { what, error }
        };
        let server = self.connect(external).await;
        let mut server = server.map_err(|error| left(&databases, error))?;
        while let Some(database) = databases.front().cloned() {
            let dropped = server.drop(&Owned { role: database.clone(), database }).await;
            dropped.map_err(|error| left(&databases, error.into()))?;
            databases.pop_front();
        }
        server.close().await;
        Ok(())
    }

    async fn connect(&self, external: &ExternalDatabase) -> Result<Admin, Error> {
        let path = "spec.database.external.adminSecretRef";
        let login = self.login(path, &external.admin_secret_ref).await?;
        let plan = DatabasePlan {
            host: external.host.clone(),
            port: external.port,
            ssl_mode: external.ssl_mode,
            admin: external.admin_secret_ref.clone(),
            databases: Vec::new(),
        };
        Ok(Admin::connect(admin(&plan, &login)).await?)
    }

    /// Deletes the topics that this Shop has made or adopted.
    async fn delete_topics(&self, external: &ExternalEvents) -> Result<(), Error> {
        let login = match &external.security.secret_ref {
            Some(secret) => {
                Some(self.login("spec.events.external.security.secretRef", secret).await?)
            }
            None => None,
        };
        let plan = TopicPlan {
            bootstrap_servers: external.bootstrap_servers.clone(),
            security: external.security.clone(),
            topics: Vec::new(),
        };
        let brokers = topics::client(&plan, login.as_ref());
        match claim_topics(self.shop, self.context, &brokers).await {
            Ok(cluster) => {
                let own = topics::Record::read(&self.applier(), self.shop).await?;
                let names = own.topics(&cluster).into_iter().collect();
                Ok(topics::delete(brokers, names).await?)
            }
            // This Shop never had any.
            Err(topics::Error::Taken { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// User name and password from a Secret that the spec names at `path`.
    async fn login(&self, path: &str, secret: &CredentialsSecretRef) -> Result<Login, Error> {
        let namespace = self.shop.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), &namespace);
        let found = api.get_opt(&secret.name).await;
        let found =
            found.map_err(|source| Error::Observe { what: "a referenced Secret", source })?;
        let content = found.as_ref().map(credentials::content).unwrap_or_default();
        let get = |key: &str| {
            content.get(key).cloned().ok_or_else(|| {
                let (path, name) = (path.to_owned(), &secret.name);
                let message = format!("there is no Secret `{name}` with the key `{key}`");
                let reason = FieldErrorReason::SecretMissing;
                Error::Invalid(vec![FieldError { path, message, reason }])
            })
        };
        Ok((get(&secret.username_key)?, get(&secret.password_key)?))
    }
}
