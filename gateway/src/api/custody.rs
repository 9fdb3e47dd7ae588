//! Custody's transport key, and the hand-over of the first key set of our Security Domain.

use axum::{
    Json as Answer, Router,
    extract::State,
    routing::{get, post},
};
use carriers::route::{RouteQuery, Routed};
use http::StatusCode;
use scp::{Aid, KeyCheckValues, KeyLength, KeyVersionNumber};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::orders::SeName;
use crate::{
    App,
    audit::{Entry, Kind},
    code::Word,
    custody::{Accepted, HandOver, HandOverError, TransportKey},
    principal::{Caller, Principal},
    server::{body::Json, problem::Problem},
    store::{Change, CommitError, Conflict, LiveKeySet, SeRecord},
};

/// The record of the SE may change at the same time; after so many tries the carrier tries again.
const TRIES_MAX: usize = 8;
/// Key Diversification Data in the answer to INITIALIZE UPDATE (Amendment D §7.1.1), in hexadecimal digits.
const KDD_DIGITS: usize = 20;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/custody/transport-key", get(transport_key))
        .route("/v1/key-sets", post(hand_over))
}

async fn transport_key(State(app): State<App>) -> Result<Answer<TransportKey>, Problem> {
    Ok(Answer(app.custody.transport_key().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    tenant: String,
    se: SeName,
    sd: Aid,
    kvn: KeyVersionNumber,
    key_length: u16,
    profile: String,
    kdd: Option<String>,
    wrapped: Wrapped,
    kcv: KeyCheckValues,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    enc: String,
    ciphertext: String,
}

#[derive(Serialize)]
struct Taken {
    key_set: Uuid,
}

async fn hand_over(
    State(app): State<App>,
    Caller(principal): Caller,
    Json(statement): Json<Statement>,
) -> Result<(StatusCode, Answer<Taken>), Problem> {
    let se = statement.se.check()?;
    if !principal.serves(&statement.tenant) {
        return Err(Problem::new(
            Word::NotAllowed,
            "/tenant: not one of this client certificate's",
        ));
    }
    let query = RouteQuery { tenant: statement.tenant.clone(), se: se.clone(), se_type: None };
    let routed =
        app.router.route(&query).map_err(|why| Problem::new(Word::NoRoute, why.to_string()))?;
    check_route(&app, &principal, &statement, &routed)?;
    let carrier = routed.carrier.clone();
    let request = custody_request(&statement, se.as_str(), &carrier)?;
    refuse_after_takeover(&app, &request).await?;
    match app.custody.accept_key_set(request.clone()).await {
        Ok(accepted) => {
            record_accepted(&app, &statement, &request, &accepted).await?;
            let status = if accepted.again { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, Answer(Taken { key_set: accepted.key_set })))
        }
        Err(HandOverError::Custody(cause)) => Err(cause.into()),
        Err(HandOverError::Shared) => {
            record_refused(&app, &request).await?;
            Err(Problem::new(Word::S02, HandOverError::Shared.to_string()))
        }
        Err(cause @ HandOverError::Differs) => {
            Err(Problem::new(Word::KeySetRefused, cause.to_string()))
        }
        Err(cause) => Err(Problem::new(Word::BadRequest, cause.to_string())),
    }
}

/// A carrier hands over only for SEs that its own route leads to, and only what that route expects.
fn check_route(
    app: &App,
    principal: &Principal,
    statement: &Statement,
    routed: &Routed,
) -> Result<(), Problem> {
    if principal.carrier.as_deref() != Some(routed.carrier.as_str()) {
        return Err(Problem::new(
            Word::NotAllowed,
            "/se: the route of this SE leads to another carrier",
        ));
    }
    if statement.sd != routed.security_domain {
        return Err(Problem::new(
            Word::BadRequest,
            "/sd: the route of this SE names another Security Domain",
        ));
    }
    if statement.profile != routed.profile {
        return Err(Problem::new(
            Word::BadRequest,
            "/profile: the route of this SE names another SE profile",
        ));
    }
    let profile = app
        .settings
        .se_profile(&routed.profile)
        .ok_or_else(|| Problem::internal("a route's profile is not there"))?;
    if Some(profile.key_length) != key_length(statement.key_length) {
        return Err(Problem::new(Word::BadRequest, "/key_length: the SE profile has another"));
    }
    Ok(())
}

fn key_length(bits: u16) -> Option<KeyLength> {
    match bits {
        128 => Some(KeyLength::Aes128),
        192 => Some(KeyLength::Aes192),
        256 => Some(KeyLength::Aes256),
        _ => None,
    }
}

fn custody_request(statement: &Statement, se: &str, carrier: &str) -> Result<HandOver, Problem> {
    let hexadecimal = |member: &str, text: &str| {
        hex::decode(text)
            .map_err(|_| Problem::new(Word::BadRequest, format!("{member}: not hexadecimal")))
    };
    let key_length = key_length(statement.key_length)
        .ok_or_else(|| Problem::new(Word::BadRequest, "/key_length: 128, 192 or 256"))?;
    if let Some(kdd) = &statement.kdd {
        let digits = hexadecimal("/kdd", kdd)?.len().saturating_mul(2);
        if digits != KDD_DIGITS {
            return Err(Problem::new(Word::BadRequest, "/kdd: 20 hexadecimal digits"));
        }
    }
    Ok(HandOver {
        tenant: statement.tenant.clone(),
        se: se.to_owned(),
        sd: statement.sd,
        kvn: statement.kvn,
        key_length,
        enc: hexadecimal("/wrapped/enc", &statement.wrapped.enc)?,
        ciphertext: hexadecimal("/wrapped/ciphertext", &statement.wrapped.ciphertext)?,
        kcv: statement.kcv,
        known_to: vec![format!("carrier:{carrier}")],
    })
}

/// Once our own key set is on the SE, a "first" one is no longer believed; the very same statement again is harmless.
async fn refuse_after_takeover(app: &App, request: &HandOver) -> Result<(), Problem> {
    let record = app.store.se(&request.tenant, &request.se).await?;
    let domain = record.as_ref().and_then(|record| record.security_domain(&request.sd));
    let Some(domain) = domain else { return Ok(()) };
    let known = domain.live.iter().chain(&domain.earlier).any(|set| set.kvn == request.kvn);
    if known || (domain.live.is_none() && domain.earlier.is_empty()) {
        return Ok(());
    }
    Err(Problem::new(
        Word::KeySetRefused,
        "this Security Domain already answers under another key set",
    ))
}

async fn record_accepted(
    app: &App,
    statement: &Statement,
    request: &HandOver,
    accepted: &Accepted,
) -> Result<(), Problem> {
    let detail = json!({ "sd": request.sd, "kvn": request.kvn, "kcv": accepted.kcv, "known_to": request.known_to });
    change_se(app, request, Kind::KeySetAccepted, &detail, |record| {
        let known = record.security_domain(&request.sd).is_some_and(|domain| domain.live.is_some());
        let kdd = statement.kdd.as_ref().map(|kdd| kdd.to_ascii_uppercase());
        if known && record.profile.is_some() {
            return false;
        }
        record.profile = Some(statement.profile.clone());
        record.key_diversification_data = kdd.or(record.key_diversification_data.take());
        record.hand_over_refused = None;
        let live = LiveKeySet {
            key_set: accepted.key_set,
            kvn: request.kvn,
            known_to: request.known_to.clone(),
        };
        record.set_live(request.sd, live);
        true
    })
    .await?;
    for order in app.store.open_orders_of_se(&request.tenant, &request.se).await? {
        app.engine.wake(order.id);
    }
    Ok(())
}

/// Orders for this SE are to end with S02; which they do when the engine reads this.
async fn record_refused(app: &App, request: &HandOver) -> Result<(), Problem> {
    let code = Word::S02.entry().id;
    let detail = json!({ "sd": request.sd, "kvn": request.kvn, "code": code });
    change_se(app, request, Kind::KeySetRefused, &detail, |record| {
        let news = record.hand_over_refused.as_deref() != Some(code);
        record.hand_over_refused = Some(code.to_owned());
        news
    })
    .await
}

/// Applies `change` to the SE's record and stores it with its audit record, unless `change` says there is nothing to store.
async fn change_se(
    app: &App,
    request: &HandOver,
    kind: Kind,
    detail: &serde_json::Value,
    change: impl Fn(&mut SeRecord) -> bool,
) -> Result<(), Problem> {
    for _ in 0..TRIES_MAX {
        let known = app.store.se(&request.tenant, &request.se).await?;
        let mut record = known.unwrap_or_else(|| SeRecord::unknown(&request.tenant, &request.se));
        if !change(&mut record) {
            return Ok(());
        }
        let entry = Entry::new(kind, app.clock.now_ms()).se(&request.se).detail(detail.clone());
        match app.store.commit(vec![Change::PutSe(record)], vec![entry]).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { what: Conflict::SeChanged }) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Err(Problem::new(Word::StoreUnavailable, "the SE's record is changing now; try again"))
}
