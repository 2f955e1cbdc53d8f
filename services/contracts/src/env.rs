//! Names of the environment variables through which the operator configures a service.
//!
//! Both sides use these constants, so that a renamed variable does not compile on one side only.

/// Name of the shop (`metadata.name` of its `Shop`).
pub const SHOP_NAME: &str = "SHOP_NAME";
/// Namespace of the shop.
pub const SHOP_NAMESPACE: &str = "SHOP_NAMESPACE";
/// ISO 4217 code of the currency that prices are in.
pub const CURRENCY: &str = "CURRENCY";
/// Log filter in the syntax of `tracing-subscriber`'s `EnvFilter`, e.g. `info`.
pub const LOG_LEVEL: &str = "LOG_LEVEL";
/// OTLP/gRPC endpoint for traces; absent: no traces are exported (name given by OpenTelemetry).
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Listen address of the HTTP port.
pub const HTTP_ADDR: &str = "HTTP_ADDR";
/// Listen address of the gRPC port.
pub const GRPC_ADDR: &str = "GRPC_ADDR";
/// Listen address of the admin port.
pub const ADMIN_ADDR: &str = "ADMIN_ADDR";
/// Connections that the HTTP and the gRPC port accept at a time; absent: what the memory limit allows.
pub const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";
/// Seconds between SIGTERM and the moment the listeners close, so that endpoints can be updated.
pub const DRAIN_SECONDS: &str = "DRAIN_SECONDS";

/// Postgres URL of the service's own database, with its own login role.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// Upper bound of the connection pool.
pub const DATABASE_MAX_CONNECTIONS: &str = "DATABASE_MAX_CONNECTIONS";
/// Redis URL with credentials.
pub const REDIS_URL: &str = "REDIS_URL";
/// What stands before every key in Redis; absent where the server is the shop's alone.
pub const REDIS_KEY_PREFIX: &str = "REDIS_KEY_PREFIX";

/// URL of the object store's S3 API, e.g. `http://demo-objects:9000`; absent: the shop has none. `catalog`
/// and backups alone have these.
pub const OBJECT_STORE_URL: &str = "OBJECT_STORE_URL";
/// Bucket that the shop's objects are in; it is there.
pub const OBJECT_STORE_BUCKET: &str = "OBJECT_STORE_BUCKET";
/// Region that requests are signed for.
pub const OBJECT_STORE_REGION: &str = "OBJECT_STORE_REGION";
/// Id of the key that requests are signed with.
pub const OBJECT_STORE_ACCESS_KEY: &str = "OBJECT_STORE_ACCESS_KEY";
/// The key that requests are signed with.
pub const OBJECT_STORE_SECRET_KEY: &str = "OBJECT_STORE_SECRET_KEY";
/// What stands before the name of every object; absent where the bucket is the shop's alone.
pub const OBJECT_STORE_KEY_PREFIX: &str = "OBJECT_STORE_KEY_PREFIX";

/// Comma-separated `host:port` list of Kafka brokers.
pub const KAFKA_BROKERS: &str = "KAFKA_BROKERS";
/// First part of every topic's name; see [`crate::topics`].
pub const KAFKA_TOPIC_PREFIX: &str = "KAFKA_TOPIC_PREFIX";
/// librdkafka's `security.protocol`: `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
pub const KAFKA_SECURITY_PROTOCOL: &str = "KAFKA_SECURITY_PROTOCOL";
/// librdkafka's `sasl.mechanism`: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
pub const KAFKA_SASL_MECHANISM: &str = "KAFKA_SASL_MECHANISM";
/// SASL user name.
pub const KAFKA_SASL_USERNAME: &str = "KAFKA_SASL_USERNAME";
/// SASL password.
pub const KAFKA_SASL_PASSWORD: &str = "KAFKA_SASL_PASSWORD";

/// Path of the JSON Web Key Set with the public keys that access tokens are verified by.
pub const JWKS_FILE: &str = "JWKS_FILE";
/// Path of the PKCS#8 PEM file with the Ed25519 private key; `user` alone has it.
pub const JWT_SIGNING_KEY_FILE: &str = "JWT_SIGNING_KEY_FILE";
/// `iss` of access tokens.
pub const JWT_ISSUER: &str = "JWT_ISSUER";
/// `aud` of access tokens.
pub const JWT_AUDIENCE: &str = "JWT_AUDIENCE";
/// E-mail address of the first administrator; `user` alone has it.
pub const ADMIN_EMAIL: &str = "ADMIN_EMAIL";
/// Password of the first administrator; `user` alone has it.
pub const ADMIN_PASSWORD: &str = "ADMIN_PASSWORD";

/// SMTP URL, e.g. `smtp://demo-mail:1025` or `smtps://user:password@host:465`; `notification` alone has it.
pub const SMTP_URL: &str = "SMTP_URL";
/// Sender of e-mails, e.g. `Demo <shop@example.com>`; `notification` alone has it.
pub const MAIL_FROM: &str = "MAIL_FROM";
/// E-mail address of the shop's staff; absent: staff get no e-mails; `notification` alone has it.
pub const STAFF_EMAIL: &str = "STAFF_EMAIL";
/// Where short messages are posted to; absent: the shop sends none; `notification` alone has it.
pub const SMS_URL: &str = "SMS_URL";
/// Bearer token for that; `notification` alone has it.
pub const SMS_TOKEN: &str = "SMS_TOKEN";
/// Comma-separated country codes of telephone numbers that short messages go to, e.g. `+49,+43`; absent: all, each
/// with a limit a day; `notification` alone has it.
pub const SMS_COUNTRIES: &str = "SMS_COUNTRIES";
/// Address under which shoppers reach the gateway, without a slash at its end.
pub const PUBLIC_URL: &str = "PUBLIC_URL";
/// Comma-separated origins that browsers may call the gateway from; `*` for any.
pub const CORS_ALLOWED_ORIGINS: &str = "CORS_ALLOWED_ORIGINS";
/// Path of the file that says how requests are shared between two versions of a service
/// ([`crate::weights`]); absent: there is one of each. `gateway` alone has it.
pub const WEIGHTS_FILE: &str = "WEIGHTS_FILE";
/// Requests a minute that one client may send through the gateway.
pub const RATE_LIMIT_PER_MINUTE: &str = "RATE_LIMIT_PER_MINUTE";

/// Seconds after which an order that is not paid expires; `order` alone has it.
pub const ORDER_EXPIRY_SECONDS: &str = "ORDER_EXPIRY_SECONDS";
/// Most open orders of one account; `order` alone has it. Absent: [`OPEN_ORDERS`](crate::limits::OPEN_ORDERS).
pub const OPEN_ORDERS: &str = "OPEN_ORDERS";
/// Most units in the open orders of one account; `order` alone has it. Absent: [`OPEN_UNITS`](crate::limits::OPEN_UNITS).
pub const OPEN_UNITS: &str = "OPEN_UNITS";
/// Seconds that an order is held for a second step of its payment; `order` alone has it. Absent:
/// [`SECOND_STEP_SECONDS`](crate::limits::SECOND_STEP_SECONDS).
pub const SECOND_STEP_SECONDS: &str = "SECOND_STEP_SECONDS";
/// Comma-separated addresses and networks (`10.0.0.0/8`) of proxies in front of the gateway, whose
/// `X-Forwarded-For` it believes; none by default.
pub const TRUSTED_PROXIES: &str = "TRUSTED_PROXIES";
/// Whether guests reach the gateway through proxies that `TRUSTED_PROXIES` does not name, and so share their addresses:
/// `true` or `false`, which is the default. Limits by address are wider then, and services see no addresses.
pub const SHARED_ADDRESSES: &str = "SHARED_ADDRESSES";

/// Language that products are searched in ([`LANGUAGES`](crate::search::LANGUAGES)); `catalog` alone has it. Absent:
/// `english`.
pub const SEARCH_LANGUAGE: &str = "SEARCH_LANGUAGE";

/// Seconds for which stock is held for an order that is not paid yet; `inventory` alone has it.
pub const RESERVATION_TTL_SECONDS: &str = "RESERVATION_TTL_SECONDS";

/// Comma-separated names of the payment providers that the shop has; absent: `test`. `order` alone has it.
pub const PAYMENT_PROVIDERS: &str = "PAYMENT_PROVIDERS";
/// Whether the payment provider for demos and tests takes new charges: `true` or `false`; absent: only without Stripe.
/// `payment` alone has it.
pub const PAYMENT_TEST_PROVIDER: &str = "PAYMENT_TEST_PROVIDER";
/// Comma-separated secrets that webhooks of the provider `test` are signed with; absent: it has none.
pub const PAYMENT_TEST_WEBHOOK_SECRETS: &str = "PAYMENT_TEST_WEBHOOK_SECRETS";
/// Secret key of the shop's account at Stripe; `payment` alone has it. Absent: there is no Stripe.
pub const STRIPE_API_KEY: &str = "STRIPE_API_KEY";
/// Comma-separated secrets that Stripe signs its webhooks with.
pub const STRIPE_WEBHOOK_SECRETS: &str = "STRIPE_WEBHOOK_SECRETS";
/// Where Stripe's API is, without a slash at its end.
pub const STRIPE_API_URL: &str = "STRIPE_API_URL";

/// Version of the shop's services; backups alone have it.
pub const SHOP_VERSION: &str = "SHOP_VERSION";
/// Comma-separated services whose databases are backed up or restored; backups alone have it.
pub const BACKUP_SERVICES: &str = "BACKUP_SERVICES";
/// How many backups are kept.
pub const BACKUP_KEEP: &str = "BACKUP_KEEP";
/// Name of the backup that empty databases are filled from.
pub const BACKUP_NAME: &str = "BACKUP_NAME";

/// Postgres URL of a service's database, as backups have it, e.g. `ORDER_DATABASE_URL`.
pub fn database_url(service: &str) -> String {
    format!("{}_DATABASE_URL", service.to_uppercase())
}

/// URL of another service's HTTP port, e.g. `USER_HTTP_URL`.
pub fn http_url(service: &str) -> String {
    format!("{}_HTTP_URL", service.to_uppercase())
}

/// URL of another service's gRPC port, e.g. `CATALOG_GRPC_URL`.
pub fn grpc_url(service: &str) -> String {
    format!("{}_GRPC_URL", service.to_uppercase())
}
