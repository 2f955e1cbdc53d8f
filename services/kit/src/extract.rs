//! Extractors that refuse bad input with a problem that says what is wrong and where.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use contracts::{FORWARDED_FOR, client_network};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_path_to_error::Segment;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::problem::{
    FieldError, INVALID, MALFORMED, MEDIA_TYPE, Problem, STALE, TOO_LARGE, VERSION_REQUIRED,
};

/// A JSON body.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// A query string.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// Parameters of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

/// The version that the client believes to be current: `If-Match: "7"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub i64);

/// What the client is counted by, as the gateway says; none for a caller that comes past it, and where clients share addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetwork(pub Option<IpAddr>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(MEDIA_TYPE, "set Content-Type: application/json"));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unreadable(&rejection))?;
        parse(&body).map(Self)
    }
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(TOO_LARGE, "send less")
    } else {
        Problem::new(MALFORMED, "the body broke off")
    }
}

/// Parses a JSON body.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    refuse_nul(body)?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        if error.inner().is_data() {
            let pointer = pointer(error.path());
            let detail = error.inner().to_string();
            // The position means nothing to a client that sent one line.
            let detail = detail.split(" at line ").next().unwrap_or_default().to_owned();
            let mut problem = Problem::new(INVALID, "see errors for each field");
            problem.push(FieldError { pointer, detail });
            problem
        } else {
            Problem::new(MALFORMED, format!("the body is not JSON: {}", error.inner()))
        }
    })?;
    let end = deserializer.end();
    end.map_err(|_| Problem::new(MALFORMED, "there is something after the JSON value"))?;
    Ok(value)
}

/// Postgres stores no NUL in text, and nobody means to send one.
fn refuse_nul(body: &[u8]) -> Result<(), Problem> {
    fn has_nul(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => text.contains('\0'),
            serde_json::Value::Array(items) => items.iter().any(has_nul),
            serde_json::Value::Object(fields) => {
                fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
            }
            _ => false,
        }
    }
    // Parsing twice is only for bodies that may have one.
    if !body.windows(6).any(|window| window == br"\u0000") {
        return Ok(());
    }
    match serde_json::from_slice(body) {
        Ok(value) if has_nul(&value) => {
            Err(Problem::new(MALFORMED, "text must not contain the character NUL"))
        }
        _ => Ok(()),
    }
}

/// The JSON pointer (RFC 6901) to a field of this name.
pub(crate) fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => pointer_to(key),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Parses a query string. Pairs keep a parameter that comes several times, which no struct does.
pub fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    if query.contains("%00") {
        return Err(Problem::new(MALFORMED, "text must not contain the character NUL"));
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let parameter = error.path().iter().find_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        });
        let error = error.inner();
        match parameter {
            Some(name) => Problem::new(MALFORMED, format!("query parameter {name}: {error}"))
                .extend("parameter", name),
            None => Problem::new(MALFORMED, format!("query: {error}")),
        }
    })
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let raw = RawPathParams::from_request_parts(parts, state).await;
        if raw.is_ok_and(|params| params.iter().any(|(_, value)| value.contains('\0'))) {
            return Err(Problem::not_found("thing"));
        }
        // Whatever is no id names nothing.
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(|_| Problem::not_found("thing"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let value = parts
            .headers
            .get(header::IF_MATCH)
            .ok_or_else(|| Problem::new(VERSION_REQUIRED, "send the ETag that you have read"))?;
        value
            .to_str()
            .ok()
            .and_then(|value| value.trim_matches('"').parse().ok())
            .map(Self)
            .ok_or_else(|| Problem::new(STALE, "the ETag is not one of ours"))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let version = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some("The ETag that was read"))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        vec![version.build()]
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let said = parts.headers.get(FORWARDED_FOR).and_then(|value| value.to_str().ok());
        Ok(Self(said.and_then(|text| text.parse().ok()).map(client_network)))
    }
}

/// For optional fields of an update: a field that is absent stays as it is, and null is not a value.
/// `#[serde(default, deserialize_with = "present")]`.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The `ETag` of a version.
pub fn etag(version: i64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{version}\"")).expect("digits are visible");
    [(header::ETAG, value)]
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        #[serde(rename = "quantity")]
        _quantity: u32,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        #[serde(rename = "price_min")]
        _price_min: Option<i64>,
        #[serde(default, rename = "in_stock")]
        _in_stock: bool,
        #[serde(default, rename = "placed_from", deserialize_with = "crate::query_time::optional")]
        _placed_from: Option<chrono::DateTime<chrono::Utc>>,
    }

    #[tokio::test]
    async fn problems_name_the_parameter() {
        for (query, parameter) in [
            ("price_min=abc", "price_min"),
            ("in_stock=true&price_min=1.5", "price_min"),
            ("price_min=&in_stock=true", "price_min"),
            ("in_stock=yes", "in_stock"),
            ("placed_from=yesterday&in_stock=true", "placed_from"),
            ("colour=red", "colour"),
        ] {
            let problem = parse_query::<Filter>(query).unwrap_err();
            assert_eq!(problem.kind(), MALFORMED, "{query}");
            let body = problem.into_response().into_body();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["parameter"], parameter, "{body}");
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("query parameter {parameter}: ")), "{detail}");
        }
        // Which of two is meant, nothing says.
        assert_eq!(parse_query::<Filter>("price_min=1&price_min=2").unwrap_err().kind(), MALFORMED);
        parse_query::<Filter>("price_min=-1&in_stock=true").unwrap();
        parse_query::<Filter>("").unwrap();
        assert_eq!(
            parse_query::<Vec<(String, String)>>("attribute=a:b%20c&attribute=d+e").unwrap().len(),
            2
        );
    }

    #[test]
    fn problems_point_at_the_field() {
        for (body, kind) in [
            (r#"[{"quantity": -1}]"#, INVALID),
            (r#"[{"quantity": 4294967296}]"#, INVALID),
            (r#"[{"quantity": 1, "price": 0}]"#, INVALID),
            (r#"[{"quantity": 1}"#, MALFORMED),
            (r#"[{"quantity": 1}] x"#, MALFORMED),
            (r#"["\u0000"]"#, MALFORMED),
            (r#"["\ud800"]"#, MALFORMED),
        ] {
            let problem = parse::<Vec<Line>>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.kind(), kind, "{body}: {problem:?}");
        }
        assert_eq!(parse::<Vec<Line>>(br#"[{"quantity": 1}]"#).unwrap().len(), 1);
        assert_eq!(parse::<String>(br#""\\u0000""#).unwrap(), "\\u0000");
    }
}
