//! The part of every service's OpenAPI document that is the same.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Response, ResponseBuilder, Schema,
};
use utoipa::{IntoResponses, ToSchema};

use crate::bodies::takes_none;
use crate::problem::{
    self, Body, CONFLICT, FORBIDDEN, FieldError, INVALID, KEY_IN_FLIGHT, KEY_MISSING, KEY_REUSED,
    Kind, MALFORMED, MEDIA_TYPE, NOT_FOUND, RATE_LIMITED, STALE, TOO_LARGE, UNAUTHENTICATED,
    VERSION_REQUIRED,
};
use crate::service::Service;

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

/// What a handler may refuse beside what follows from its parameters, for `responses(…, Refused)`.
#[derive(Debug)]
pub struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("4XX".to_owned(), problem("Refused").into())])
    }
}

/// Adds the schema of a type that nothing but parameters refers to: those of bodies come by themselves.
pub fn with_schema<T: ToSchema>(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(T::name().into_owned(), T::schema());
    document
}

/// Refusals that operations share, under the slugs of their kinds; one for each status.
const SHARED: [Kind; 11] = [
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    CONFLICT,
    STALE,
    TOO_LARGE,
    MEDIA_TYPE,
    INVALID,
    VERSION_REQUIRED,
    RATE_LIMITED,
];
/// What any operation may answer when something is broken: status, name of the shared answer, what it means.
const BROKEN: (&str, &str, &str) =
    ("5XX", "server-error", "The shop cannot answer right now; the type says why");

/// The document of a service, complete.
pub fn of<S: Service>() -> OpenApi {
    complete(S::openapi())
}

/// Adds what the extractors of [`crate::extract`] and the layers around every handler may answer, so that a handler
/// declares only what is its own. Answers that are the same everywhere are shared. Mends what utoipa leaves out: the
/// media type of problems, and descriptions, which OpenAPI asks for.
pub fn complete(document: OpenApi) -> OpenApi {
    let mut document = with_schema::<Body>(with_schema::<FieldError>(document));
    tell_apart(&mut document);
    forget_absent_defaults(&mut document);
    let mut used = BTreeSet::new();
    for (method, operation) in document.paths.paths.values_mut().flat_map(by_method) {
        for kind in implied(&method, operation) {
            let responses = &mut operation.responses.responses;
            responses.entry(kind.status.to_string()).or_insert_with(|| problem("").into());
        }
        // Whatever a handler says of these, it says of all handlers.
        let responses = &mut operation.responses.responses;
        responses.retain(|status, response| !status.starts_with('5') || !is_plain(response));
        responses.insert(BROKEN.0.to_owned(), problem("").into());
        for (status, response) in responses {
            if let Some(name) = describe(status, response) {
                used.insert(name);
            }
        }
    }
    let components = document.components.get_or_insert_default();
    let titles = SHARED.into_iter().map(|kind| (kind.slug, kind.title));
    for (name, description) in titles.chain([(BROKEN.1, BROKEN.2)]) {
        if used.contains(name) {
            components.responses.insert(name.to_owned(), problem(description).into());
        }
    }
    document
}

/// Handlers of one name get different ids, which generated clients call their functions by: `list` of `/me/addresses`
/// becomes `list_addresses`.
fn tell_apart(document: &mut OpenApi) {
    let ids = document.paths.paths.values_mut().flat_map(operations);
    let mut seen = BTreeMap::<String, usize>::new();
    for id in ids.filter_map(|operation| operation.operation_id.clone()) {
        *seen.entry(id).or_default() += 1;
    }
    for (path, item) in &mut document.paths.paths {
        let thing = path.split('/').rfind(|segment| !segment.starts_with('{')).unwrap_or_default();
        for id in operations(item).filter_map(|operation| operation.operation_id.as_mut()) {
            if seen.get(id).is_some_and(|times| *times > 1) {
                *id = format!("{id}_{}", thing.replace(['-', '.'], "_"));
            }
        }
    }
}

/// utoipa takes the default of an absent field for a value: null, which the field itself may not be.
fn forget_absent_defaults(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for property in object.properties.values_mut() {
            let default = match property {
                RefOr::T(Schema::Object(property)) => &mut property.default,
                RefOr::Ref(property) => &mut property.default,
                RefOr::T(_) => continue,
            };
            default.take_if(|default| default.is_null());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    by_method(item).map(|(_, operation)| operation)
}

fn by_method(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The refusals that follow from what an operation takes.
fn implied(method: &Method, operation: &Operation) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if operation.security.as_ref().is_some_and(|ways| !ways.is_empty()) {
        kinds.push(UNAUTHENTICATED);
    }
    if let Some(RefOr::T(body)) = &operation.request_body {
        kinds.extend([MALFORMED, TOO_LARGE, MEDIA_TYPE]);
        if body.content.contains_key("application/json") {
            kinds.push(INVALID);
        }
    }
    if takes_none(method, operation) {
        kinds.extend([MALFORMED, TOO_LARGE, INVALID]);
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        kinds.extend(match (&parameter.parameter_in, parameter.name.as_str()) {
            (ParameterIn::Path, _) => &[NOT_FOUND][..],
            (ParameterIn::Query, _) => &[MALFORMED],
            (ParameterIn::Header, "If-Match") => &[STALE, VERSION_REQUIRED],
            (ParameterIn::Header, "Idempotency-Key") => &[KEY_MISSING, KEY_IN_FLIGHT, KEY_REUSED],
            _ => &[],
        });
    }
    kinds
}

/// A problem about which nothing in particular is said.
fn is_plain(response: &RefOr<Response>) -> bool {
    let RefOr::T(response) = response else { return false };
    response.description.is_empty() && is_problem(response)
}

fn is_problem(response: &Response) -> bool {
    let schema = response.content.values().next().and_then(|content| match content {
        RefOr::T(content) => content.schema.as_ref(),
        RefOr::Ref(_) => None,
    });
    matches!(schema, Some(RefOr::Ref(of)) if *of == Ref::from_schema_name(Body::name()))
}

/// Makes an answer what it should be; returns the name of the shared one if it has become that.
fn describe(status: &str, response: &mut RefOr<Response>) -> Option<&'static str> {
    let RefOr::T(own) = response else { return None };
    if is_problem(own) {
        let kind = SHARED.into_iter().find(|kind| kind.status.to_string() == status);
        let shared = kind.map(|kind| kind.slug).or((status == BROKEN.0).then_some(BROKEN.1));
        if let Some(name) = shared.filter(|name| ["", name].contains(&&*own.description)) {
            *response = RefOr::Ref(Ref::from_response_name(name));
            return Some(name);
        }
        own.content = problem("").content;
    }
    if own.description.is_empty() {
        let known = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
        let reason = known.and_then(|status| status.canonical_reason());
        reason.unwrap_or("Refused").clone_into(&mut own.description);
    }
    None
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Body::name()))).build();
    let response = ResponseBuilder::new().description(description);
    response.content(problem::CONTENT_TYPE, content).build()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use utoipa::OpenApi as _;

    use super::*;
    use crate::extract::IfMatch;

    #[utoipa::path(
        put,
        path = "/things/{id}",
        params(("id" = String, Path), IfMatch),
        request_body = FieldError,
        responses(
            (status = OK, body = FieldError),
            (status = FORBIDDEN, body = Body),
            (status = CONFLICT, description = "thing-taken", body = Body),
            (status = SERVICE_UNAVAILABLE, body = Body),
        ),
        security(("bearer" = []))
    )]
    #[expect(dead_code, reason = "only its description is of interest")]
    fn change() {}

    #[utoipa::path(get, path = "/open", responses((status = NO_CONTENT)))]
    #[expect(dead_code, reason = "only its description is of interest")]
    fn open() {}

    mod other {
        #[utoipa::path(get, path = "/things/{id}/open-hours", responses((status = NO_CONTENT)))]
        #[expect(dead_code, reason = "only its description is of interest")]
        fn open() {}
    }

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(change, open, other::open))]
    struct Api;

    #[test]
    fn answers_that_follow_from_what_is_asked_need_not_be_declared() {
        let document = serde_json::to_value(complete(Api::openapi())).unwrap();
        let responses = &document["paths"]["/things/{id}"]["put"]["responses"];
        let statuses: Vec<&String> = responses.as_object().unwrap().keys().collect();
        let expected =
            ["200", "400", "401", "403", "404", "409", "412", "413", "415", "422", "428", "5XX"];
        assert_eq!(statuses, expected);
        let reference = |name| json!({ "$ref": format!("#/components/responses/{name}") });
        assert_eq!(responses["403"], reference("forbidden"));
        assert_eq!(responses["428"], reference("version-required"));
        assert_eq!(responses["5XX"], reference("server-error"));
        assert_eq!(responses["409"]["description"], "thing-taken");
        assert!(responses["409"]["content"]["application/problem+json"].is_object());
        assert_eq!(responses["200"]["description"], "OK");

        let open = &document["paths"]["/open"]["get"]["responses"];
        assert_eq!(
            *open,
            json!({ "204": { "description": "No Content" }, "5XX": reference("server-error") })
        );
        let shared = &document["components"]["responses"];
        assert_eq!(shared["forbidden"]["description"], FORBIDDEN.title);
        assert_eq!(shared["rate-limited"], Value::Null, "nothing refers to it");
        let schema = &shared["server-error"]["content"]["application/problem+json"]["schema"];
        assert_eq!(*schema, json!({ "$ref": "#/components/schemas/Problem" }));
        assert!(document["components"]["schemas"]["FieldError"].is_object());
    }

    #[test]
    fn no_two_operations_have_the_same_id() {
        let document = serde_json::to_value(complete(Api::openapi())).unwrap();
        let id = |path: &str, method: &str| document["paths"][path][method]["operationId"].clone();
        assert_eq!(id("/things/{id}", "put"), "change");
        assert_eq!(id("/open", "get"), "open_open");
        assert_eq!(id("/things/{id}/open-hours", "get"), "open_open_hours");
    }

    #[test]
    fn one_shared_answer_stands_for_each_status() {
        let statuses: BTreeSet<u16> = SHARED.iter().map(|kind| kind.status).collect();
        assert_eq!(statuses.len(), SHARED.len());
    }
}
