//! The configuration of a service: its environment variables, and the files they name.

use contracts::{env, ports, weights};
use k8s_openapi::api::core::v1::EnvVar;

use super::{
    engines::BUCKET,
    extra,
    plans::{OBJECTS_PORT, SecretKey, topics},
    pod::{Mounted, config_files, secret_dir, secret_files, secret_var, var},
};
use crate::{
    components::Need,
    crd::{Limits, Search, ServiceName, Sms},
    names,
    role::EngineKind,
    validate::{
        CacheEngine, EventsEngine, MailEngine, ObjectStoreEngine, ServiceInstance, ValidatedShop,
    },
};

/// Port of the bundled mail server for SMTP.
pub(super) const SMTP_PORT: u16 = 1025;
/// Between SIGTERM and closed listeners; the rest of the grace period is for requests under way.
const DRAIN_SECONDS: u16 = 5;
/// Nine services with a few pods each stay under the 300 connections of the bundled Postgres.
const DATABASE_CONNECTIONS: u16 = 10;

/// The environment variables of a service.
pub(super) fn variables(shop: &ValidatedShop, service: &ServiceInstance) -> Vec<EnvVar> {
    let component = service.component;
    let mut vars = common(shop, service);
    if component.needs(Need::Database) {
        let secret = names::database_secret(&shop.name, component.name);
        vars.push(secret_var(env::DATABASE_URL, &secret, SecretKey::URL));
        vars.push(var(env::DATABASE_MAX_CONNECTIONS, DATABASE_CONNECTIONS.to_string()));
    }
    if component.needs(Need::Cache) {
        vars.extend(cache(shop));
    }
    if component.needs(Need::Events) {
        vars.extend(events(shop));
    }
    if component.needs(Need::Mail) {
        vars.extend(mail(shop));
    }
    if component.needs(Need::Objects) {
        vars.extend(objects(shop));
    }
    vars.extend(keys(shop, service));
    if component.name == ServiceName::Gateway {
        vars.extend(entry(shop));
    }
    if component.name == ServiceName::Catalog {
        vars.extend(search(shop));
    }
    if component.name == ServiceName::Order {
        vars.extend(providers(shop));
        vars.extend(limits(shop));
    }
    if component.name == ServiceName::Payment {
        vars.extend(payments(shop));
    }
    if component.name == ServiceName::Notification {
        vars.push(staff(shop));
        vars.extend(shop.sms.iter().flat_map(sms));
    }
    vars.extend(peers(shop, service));
    vars.extend(extra::variables(&service.env, &shop.cluster_domain));
    vars
}

/// The files of a service: public keys for all, the private key for `user` alone, weights for the gateway.
pub(super) fn files(shop: &ValidatedShop, service: &ServiceInstance) -> Vec<Mounted> {
    let secret = |name: &str| secret_files(name, names::child(&shop.name, name));
    let mut files = vec![secret(names::PUBLIC_KEYS)];
    if service.component.needs(Need::SigningKey) {
        files.push(secret(names::SIGNING_KEY));
    }
    if service.component.name == ServiceName::Gateway && shop.rolls_out_in_steps() {
        files.push(config_files(names::WEIGHTS, names::child(&shop.name, names::WEIGHTS)));
    }
    files
}

fn common(shop: &ValidatedShop, service: &ServiceInstance) -> Vec<EnvVar> {
    let address = |port: u16| format!("0.0.0.0:{port}");
    let mut vars = vec![
        var(env::SHOP_NAME, &shop.name),
        var(env::SHOP_NAMESPACE, &shop.namespace),
        var(env::CURRENCY, &shop.currency),
        var(env::PUBLIC_URL, &shop.url),
        var(env::LOG_LEVEL, &service.log_level),
        var(env::HTTP_ADDR, address(ports::HTTP)),
        var(env::ADMIN_ADDR, address(ports::ADMIN)),
        var(env::DRAIN_SECONDS, DRAIN_SECONDS.to_string()),
    ];
    if service.component.grpc {
        vars.push(var(env::GRPC_ADDR, address(ports::GRPC)));
    }
    vars.extend(shop.otlp_endpoint.as_ref().map(|endpoint| var(env::OTLP_ENDPOINT, endpoint)));
    vars
}

/// A Redis of the shop's own needs no prefix; its keys are plain.
fn cache(shop: &ValidatedShop) -> Vec<EnvVar> {
    match &shop.cache {
        CacheEngine::Bundled(_) => {
            let secret = names::child(&shop.name, EngineKind::Redis);
            vec![secret_var(env::REDIS_URL, &secret, SecretKey::URL)]
        }
        CacheEngine::External { url, key_prefix, .. } => {
            let mut vars = vec![secret_var(env::REDIS_URL, &url.name, &url.key)];
            if !key_prefix.is_empty() {
                vars.push(var(env::REDIS_KEY_PREFIX, key_prefix));
            }
            vars
        }
    }
}

fn events(shop: &ValidatedShop) -> Vec<EnvVar> {
    let plan = topics(shop);
    let mut vars = vec![
        var(env::KAFKA_BROKERS, plan.bootstrap_servers.join(",")),
        var(env::KAFKA_TOPIC_PREFIX, &shop.topics.prefix),
        var(env::KAFKA_SECURITY_PROTOCOL, plan.security.protocol.as_str()),
    ];
    if let EventsEngine::External { security, .. } = &shop.events {
        vars.extend(security.mechanism.map(|m| var(env::KAFKA_SASL_MECHANISM, m.as_str())));
        vars.extend(security.secret_ref.iter().flat_map(|secret| {
            [
                secret_var(env::KAFKA_SASL_USERNAME, &secret.name, &secret.username_key),
                secret_var(env::KAFKA_SASL_PASSWORD, &secret.name, &secret.password_key),
            ]
        }));
    }
    vars
}

fn mail(shop: &ValidatedShop) -> [EnvVar; 2] {
    match &shop.mail {
        MailEngine::Bundled { from, .. } => [
            var(env::SMTP_URL, format!("smtp://{}:{SMTP_PORT}", shop.host_of(EngineKind::Mail))),
            var(env::MAIL_FROM, from),
        ],
        MailEngine::External { url, from, .. } => {
            [secret_var(env::SMTP_URL, &url.name, &url.key), var(env::MAIL_FROM, from)]
        }
    }
}

/// Who the shop is, for Jobs that are no service's.
pub(super) fn common_of_jobs(shop: &ValidatedShop) -> Vec<EnvVar> {
    vec![
        var(env::SHOP_NAME, &shop.name),
        var(env::SHOP_NAMESPACE, &shop.namespace),
        var(env::SHOP_VERSION, &shop.version),
    ]
}

/// A store of the shop's own needs no prefix, and has the region that is the default of all.
pub(super) fn objects(shop: &ValidatedShop) -> Vec<EnvVar> {
    objects_of(shop, &shop.namespace, &shop.name)
}

/// The objects of any shop, as one that has the same kind of store reaches them: a store that is bundled in this
/// namespace, or the bucket that both share.
pub(super) fn objects_of(shop: &ValidatedShop, namespace: &str, owner: &str) -> Vec<EnvVar> {
    match &shop.object_store {
        ObjectStoreEngine::Bundled(_) => {
            let secret = names::child(owner, EngineKind::Objects);
            let host = names::host(owner, EngineKind::Objects, namespace, &shop.cluster_domain);
            vec![
                var(env::OBJECT_STORE_URL, format!("http://{host}:{OBJECTS_PORT}")),
                var(env::OBJECT_STORE_BUCKET, BUCKET),
                secret_var(env::OBJECT_STORE_ACCESS_KEY, &secret, SecretKey::ACCESS_KEY),
                secret_var(env::OBJECT_STORE_SECRET_KEY, &secret, SecretKey::SECRET_KEY),
            ]
        }
        ObjectStoreEngine::External(store) => {
            let secret = &store.secret_ref;
            vec![
                var(env::OBJECT_STORE_URL, &store.endpoint),
                var(env::OBJECT_STORE_BUCKET, &store.bucket),
                var(env::OBJECT_STORE_REGION, &store.region),
                secret_var(env::OBJECT_STORE_ACCESS_KEY, &secret.name, &secret.access_key_key),
                secret_var(env::OBJECT_STORE_SECRET_KEY, &secret.name, &secret.secret_key_key),
                var(env::OBJECT_STORE_KEY_PREFIX, names::object_prefix(namespace, owner)),
            ]
        }
    }
}

/// Tokens are good in one shop only: its name is both issuer and audience, and its keys are its own.
fn keys(shop: &ValidatedShop, service: &ServiceInstance) -> Vec<EnvVar> {
    let realm = format!("{}/{}", shop.namespace, shop.name);
    let file = |volume: &str, key: &str| format!("{}/{key}", secret_dir(volume));
    let mut vars = vec![
        var(env::JWKS_FILE, file(names::PUBLIC_KEYS, SecretKey::PUBLIC_KEYS)),
        var(env::JWT_ISSUER, &realm),
        var(env::JWT_AUDIENCE, &realm),
    ];
    if service.component.needs(Need::SigningKey) {
        let path = file(names::SIGNING_KEY, SecretKey::SIGNING_KEY);
        vars.push(var(env::JWT_SIGNING_KEY_FILE, path));
    }
    if service.component.needs(Need::AdminAccount) {
        let secret = names::admin_secret(&shop.name);
        vars.push(secret_var(env::ADMIN_EMAIL, &secret, SecretKey::EMAIL));
        vars.push(secret_var(env::ADMIN_PASSWORD, &secret, SecretKey::PASSWORD));
    }
    vars
}

fn entry(shop: &ValidatedShop) -> Vec<EnvVar> {
    let gateway = &shop.gateway;
    let mut vars = vec![var(env::RATE_LIMIT_PER_MINUTE, gateway.rate_limit_per_minute.to_string())];
    if !gateway.trusted_proxies.is_empty() {
        vars.push(var(env::TRUSTED_PROXIES, gateway.trusted_proxies.join(",")));
    } else if shop.is_behind_proxy() {
        vars.push(var(env::SHARED_ADDRESSES, "true"));
    }
    if !gateway.cors_allowed_origins.is_empty() {
        vars.push(var(env::CORS_ALLOWED_ORIGINS, gateway.cors_allowed_origins.join(",")));
    }
    if shop.rolls_out_in_steps() {
        let file = format!("{}/{}", secret_dir(names::WEIGHTS), weights::FILE);
        vars.push(var(env::WEIGHTS_FILE, file));
    }
    vars
}

/// Where e-mails to staff go.
fn staff(shop: &ValidatedShop) -> EnvVar {
    match &shop.staff_email {
        Some(address) => var(env::STAFF_EMAIL, address),
        None => secret_var(env::STAFF_EMAIL, &names::admin_secret(&shop.name), SecretKey::EMAIL),
    }
}

fn sms(sms: &Sms) -> Vec<EnvVar> {
    let token = &sms.token_secret_ref;
    let mut vars =
        vec![var(env::SMS_URL, &sms.url), secret_var(env::SMS_TOKEN, &token.name, &token.key)];
    if !sms.countries.is_empty() {
        vars.push(var(env::SMS_COUNTRIES, sms.countries.join(",")));
    }
    vars
}

/// Who charges, where it is not the test provider alone, which is the default.
fn providers(shop: &ValidatedShop) -> Option<EnvVar> {
    let providers = shop.payments.providers();
    (providers != ["test"]).then(|| var(env::PAYMENT_PROVIDERS, providers.join(",")))
}

/// What shoppers may hold without paying, where it is not the default.
fn limits(shop: &ValidatedShop) -> Vec<EnvVar> {
    let (limits, defaults) = (&shop.limits, Limits::default());
    [
        (env::OPEN_ORDERS, limits.open_orders, defaults.open_orders),
        (env::OPEN_UNITS, limits.open_units, defaults.open_units),
        (env::SECOND_STEP_SECONDS, limits.second_step_seconds, defaults.second_step_seconds),
    ]
    .into_iter()
    .filter(|(_, value, default)| value != default)
    .map(|(name, value, _)| var(name, value.to_string()))
    .collect()
}

/// The language of searches, where it is not the default.
fn search(shop: &ValidatedShop) -> Option<EnvVar> {
    let language = &shop.search.language;
    (shop.search != Search::default()).then(|| var(env::SEARCH_LANGUAGE, language))
}

fn payments(shop: &ValidatedShop) -> Vec<EnvVar> {
    let test = shop.payments.takes_test_payments();
    let mut vars = vec![var(env::PAYMENT_TEST_PROVIDER, test.to_string())];
    if let Some(stripe) = &shop.payments.stripe {
        let secret = &stripe.secret_ref;
        vars.extend([
            secret_var(env::STRIPE_API_KEY, &secret.name, &secret.api_key_key),
            secret_var(env::STRIPE_WEBHOOK_SECRETS, &secret.name, &secret.webhook_secret_key),
            var(env::STRIPE_API_URL, &stripe.api_url),
        ]);
    }
    vars
}

/// Addresses of the services that this one calls, as far as the shop has them.
fn peers(shop: &ValidatedShop, service: &ServiceInstance) -> Vec<EnvVar> {
    let url =
        |peer: ServiceName, port: u16| format!("http://{}:{port}", shop.host_of(peer.as_str()));
    let there = |peer: &&ServiceName| shop.service(**peer).is_some();
    let component = service.component;
    let http = component.http_peers.iter().filter(there);
    let grpc = component.grpc_peers.iter().filter(there);
    http.map(|&peer| var(env::http_url(peer.as_str()), url(peer, ports::HTTP)))
        .chain(grpc.map(|&peer| var(env::grpc_url(peer.as_str()), url(peer, ports::GRPC))))
        .collect()
}
