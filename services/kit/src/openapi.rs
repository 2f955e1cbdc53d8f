//! The part of every service's OpenAPI document that is the same.

use utoipa::ToSchema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

/// Name of the security scheme, for `security(("bearer" = []))`.
pub const BEARER: &str = "bearer";

/// A document without paths; pass it to `OpenApiRouter::with_openapi`.
pub fn document(title: &str, description: &str) -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title(title)
                .description(Some(description))
                .version(env!("CARGO_PKG_VERSION"))
                .license(Some(
                    LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new().security_scheme(BEARER, SecurityScheme::Http(bearer)).build(),
        ))
        .build()
}

/// Adds the schema of a type that nothing but parameters refers to: those of bodies come by themselves.
pub fn with_schema<T: ToSchema>(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(T::name().into_owned(), T::schema());
    document
}
