//! Environment variables that are passed on.

use contracts::env;

use super::errors::Errors;
use crate::crd::EnvVar;

/// Variables that the operator sets, in some pod or other.
const OWN: &[&str] = &[
    env::SHOP_NAME,
    env::SHOP_NAMESPACE,
    env::SHOP_VERSION,
    env::CURRENCY,
    env::LOG_LEVEL,
    env::OTLP_ENDPOINT,
    env::HTTP_ADDR,
    env::GRPC_ADDR,
    env::ADMIN_ADDR,
    env::DRAIN_SECONDS,
    env::DATABASE_URL,
    env::DATABASE_MAX_CONNECTIONS,
    env::REDIS_URL,
    env::REDIS_KEY_PREFIX,
    env::OBJECT_STORE_URL,
    env::OBJECT_STORE_BUCKET,
    env::OBJECT_STORE_REGION,
    env::OBJECT_STORE_ACCESS_KEY,
    env::OBJECT_STORE_SECRET_KEY,
    env::OBJECT_STORE_KEY_PREFIX,
    env::KAFKA_BROKERS,
    env::KAFKA_TOPIC_PREFIX,
    env::KAFKA_SECURITY_PROTOCOL,
    env::KAFKA_SASL_MECHANISM,
    env::KAFKA_SASL_USERNAME,
    env::KAFKA_SASL_PASSWORD,
    env::JWKS_FILE,
    env::JWT_SIGNING_KEY_FILE,
    env::JWT_ISSUER,
    env::JWT_AUDIENCE,
    env::ADMIN_EMAIL,
    env::ADMIN_PASSWORD,
    env::SMTP_URL,
    env::MAIL_FROM,
    env::STAFF_EMAIL,
    env::SMS_URL,
    env::SMS_TOKEN,
    env::SMS_COUNTRIES,
    env::PUBLIC_URL,
    env::CORS_ALLOWED_ORIGINS,
    env::WEIGHTS_FILE,
    env::RATE_LIMIT_PER_MINUTE,
    env::OPEN_ORDERS,
    env::OPEN_UNITS,
    env::SECOND_STEP_SECONDS,
    env::TRUSTED_PROXIES,
    env::SHARED_ADDRESSES,
    env::SEARCH_LANGUAGE,
    env::PAYMENT_PROVIDERS,
    env::PAYMENT_TEST_PROVIDER,
    env::STRIPE_API_KEY,
    env::STRIPE_WEBHOOK_SECRETS,
    env::STRIPE_API_URL,
    env::BACKUP_SERVICES,
    env::BACKUP_KEEP,
    env::BACKUP_NAME,
];
/// The one that Jobs of backups read their authorities by.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// Whether the operator sets a variable of this name.
fn is_own(name: &str) -> bool {
    let of_service = |address: fn(&str) -> String| name.ends_with(&address(""));
    OWN.contains(&name)
        || name == AUTHORITIES
        || [env::http_url, env::grpc_url, env::database_url].into_iter().any(of_service)
}

/// What the operator sets cannot be set beside it: the second of two variables of a name would win.
pub(super) fn check(path: &str, variables: &[EnvVar], errors: &mut Errors) {
    for (i, variable) in variables.iter().enumerate() {
        let path = format!("{path}[{i}].name");
        if is_own(&variable.name) {
            let message = format!("`{}` is set by the operator, from the spec", variable.name);
            errors.invalid(path, message);
        } else if variables[..i].iter().any(|earlier| earlier.name == variable.name) {
            errors.invalid(path, format!("`{}` is listed twice", variable.name));
        }
    }
}

/// These variables, and before them the defaults of other names.
pub(super) fn over(defaults: &[EnvVar], own: &[EnvVar]) -> Vec<EnvVar> {
    let absent =
        defaults.iter().filter(|default| own.iter().all(|variable| variable.name != default.name));
    absent.chain(own).cloned().collect()
}
