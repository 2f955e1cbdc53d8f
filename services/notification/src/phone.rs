//! The number that somebody wants short messages at.

pub mod destination;

use std::sync::LazyLock;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use contracts::network::{NETWORKS_PER_SITE, client_site};
use contracts::{UserId, is_public};
use http::StatusCode;
use kit::auth::Caller;
use kit::extract::{self, ClientNetwork};
use kit::problem::{Body, Fields, Kind, NOT_FOUND, Problem, RATE_LIMITED, Result};
use prometheus::IntCounterVec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use self::destination::Destination;
use crate::db::phones::{self, Asking, Counts};
use crate::http::State;
use crate::letter::Letter;

/// What was shown is not the code that was sent, or that one is good no more.
pub const WRONG_CODE: Kind =
    Kind::new(422, "invalid-phone-code", "The code is not the one that was sent");

/// How long a code is good.
const LIFETIME: Duration = Duration::from_mins(10);
/// How often something else may be shown: of a million codes, five are guessed with a chance of 1 to 200,000.
const TRIES: i32 = 5;
/// Codes to one person in an hour and in a day, to one number in a day, asked for from one network in a day (which may be
/// that of a whole office or carrier), and to one country in a day. Messages to some countries cost a hundred times
/// what those at home do, and the operator of the numbers is paid for each.
const PER_USER: i64 = 5;
const PER_USER_AND_DAY: i64 = 10;
const PER_NUMBER: i64 = 5;
const PER_NETWORK: i64 = 50;
const PER_SITE: i64 = PER_NETWORK * NETWORKS_PER_SITE as i64;
const PER_COUNTRY: i64 = 300;
/// Codes of a shop that has named no countries, in a day. There are over two hundred: at some 0.25 EUR for a message to the expensive ones,
/// an attack costs the shop 250 EUR a day at most, not 15,000.
const PER_SHOP: i64 = 1_000;

static REFUSED: LazyLock<IntCounterVec> = kit::metric!(
    counter,
    "phone_codes_refused_total",
    "Codes to telephone numbers that were not sent, by the limit that was reached (account, number, network, country, shop).",
    &["limit"]
);

/// A number to be verified.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPhone {
    /// With the country's code, however it is grouped.
    #[schema(max_length = 40, example = "+49 151 12345678")]
    pub number: String,
}

/// What the message said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowCode {
    /// Six digits.
    #[schema(pattern = "^[0-9]{6}$", example = "123456")]
    pub code: String,
}

/// A number, and whether messages go there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Phone)]
pub struct PhoneView {
    /// E.164.
    pub number: String,
    /// Whether its owner has shown the code that was sent to it.
    pub verified: bool,
}

/// The caller's number.
#[utoipa::path(
    get, path = "/api/v1/notifications/phone", tag = "live", security(("bearer" = [])),
    responses(
        (status = 200, body = PhoneView),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 404, description = "not-found", body = Body),
    )
)]
pub(crate) async fn get_phone(
    Shared(state): Shared<State>,
    caller: Caller,
) -> Result<Json<PhoneView>> {
    let mut connection = state.pool.acquire().await?;
    let phone = phones::get(&mut connection, caller.user_id).await?;
    let phone = phone.ok_or_else(|| Problem::not_found("number"))?;
    Ok(Json(PhoneView { number: phone.number, verified: phone.verified }))
}

/// Takes another number: a code is sent to it, and messages go there once it was shown.
#[utoipa::path(
    put, path = "/api/v1/notifications/phone", tag = "live", security(("bearer" = [])),
    request_body = SetPhone,
    responses(
        (status = 202, description = "A code is on its way", body = PhoneView),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 404, description = "not-found: the shop sends no short messages", body = Body),
        (status = 422, description = "invalid-fields", body = Body),
        (status = 429, description = "rate-limited", body = Body),
    )
)]
pub(crate) async fn set_phone(
    Shared(state): Shared<State>,
    caller: Caller,
    ClientNetwork(network): ClientNetwork,
    extract::Json(SetPhone { number }): extract::Json<SetPhone>,
) -> Result<(StatusCode, Json<PhoneView>)> {
    let Some(countries) = &state.sms else {
        return Err(Problem::new(NOT_FOUND, "this shop sends no short messages"));
    };
    let mut fields = Fields::default();
    let read = fields.take("/number", Destination::read(&number, countries));
    fields.finish()?;
    let to = read.ok_or_else(|| Problem::internal("fields were checked"))?;
    let network = network.filter(|network| is_public(*network));
    let site = network.and_then(client_site).map(|site| site.to_string());
    let network = network.map(|network| network.to_string());
    let (network, site) = (network.as_deref(), site.as_deref());
    let anywhere = countries.are_all();
    let asked = Asking { user: caller.user_id, to: &to, network, site, anywhere };
    let mut tx = state.pool.begin().await?;
    let counts = phones::lately(&mut tx, asked).await?;
    if let Some(limit) = counts.reached() {
        REFUSED.with_label_values(&[limit]).inc();
        return Err(Problem::new(RATE_LIMITED, "too many codes were sent, ask again later"));
    }
    let code = format!("{:06}", rand::random_range(0..1_000_000));
    let hash = hash(caller.user_id, &code);
    let letter = Letter::PhoneCode { token: code };
    phones::ask(&mut tx, asked, (&letter, &hash, LIFETIME)).await?;
    tx.commit().await?;
    state.wake.wake();
    Ok((StatusCode::ACCEPTED, Json(PhoneView { number: to.number, verified: false })))
}

/// Shows the code that was sent.
#[utoipa::path(
    post, path = "/api/v1/notifications/phone/verify", tag = "live", security(("bearer" = [])),
    request_body = ShowCode,
    responses(
        (status = 204, description = "Messages go there from now on"),
        (status = 401, description = "unauthenticated", body = Body),
        (status = 422, description = "invalid-phone-code", body = Body),
    )
)]
pub(crate) async fn verify_phone(
    Shared(state): Shared<State>,
    caller: Caller,
    extract::Json(ShowCode { code }): extract::Json<ShowCode>,
) -> Result<StatusCode> {
    let wrong =
        || Problem::new(WRONG_CODE, "ask for another one if it is lost or older than ten minutes");
    let mut tx = state.pool.begin().await?;
    let asked = phones::asked(&mut tx, caller.user_id).await?;
    let asked = asked.filter(|asked| asked.good && asked.tries < TRIES).ok_or_else(wrong)?;
    if !bool::from(asked.code_hash.ct_eq(&hash(caller.user_id, &code))) {
        phones::missed(&mut tx, caller.user_id).await?;
        tx.commit().await?;
        return Err(wrong());
    }
    phones::verify(&mut tx, caller.user_id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets the caller's number: no messages go there any more.
#[utoipa::path(
    delete, path = "/api/v1/notifications/phone", tag = "live", security(("bearer" = [])),
    responses(
        (status = 204, description = "Forgotten"),
        (status = 401, description = "unauthenticated", body = Body),
    )
)]
pub(crate) async fn forget_phone(
    Shared(state): Shared<State>,
    caller: Caller,
) -> Result<StatusCode> {
    let mut tx = state.pool.begin().await?;
    phones::forget(&mut tx, caller.user_id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Counts {
    /// The limit that one more would exceed. Countries that the operator has named have none of their own, nor has their shop.
    fn reached(&self) -> Option<&'static str> {
        let limits = [
            ("account", self.user_in_hour >= PER_USER || self.user >= PER_USER_AND_DAY),
            ("number", self.number >= PER_NUMBER),
            ("network", self.network >= PER_NETWORK || self.site >= PER_SITE),
            ("country", self.country >= PER_COUNTRY),
            ("shop", self.shop >= PER_SHOP),
        ];
        limits.into_iter().find_map(|(limit, reached)| reached.then_some(limit))
    }
}

/// What is stored of a code. It is good for minutes and for one person, so a plain hash will do.
fn hash(user: UserId, code: &str) -> Vec<u8> {
    Sha256::new().chain_update(user.uuid().as_bytes()).chain_update(code).finalize().to_vec()
}
