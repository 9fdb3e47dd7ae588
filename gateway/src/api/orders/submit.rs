//! Taking an order in, once, however often it is sent.

use axum::{Json as Answer, extract::State};
use carriers::{SeId, route::RouteQuery};
use http::StatusCode;
use order::OrderState;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    OrderView,
    personalization::{self, Expected},
};
use crate::{
    App,
    audit::{Entry, Kind},
    code::Word,
    custody::PayloadError,
    digest::Digest,
    principal::{Caller, Principal},
    server::{body::JsonText, problem::Problem},
    store::{Change, CommitError, Conflict, OrderRecord},
};

/// Longest id of a caller.
const CALLER_ID_MAX: usize = 64;
/// My Number has 12 digits (Act No. 27 of 2013, art. 2): an id that looks like one is refused before it is stored anywhere.
const MY_NUMBER_DIGITS: usize = 12;
/// Letters of an enquiry id: none that are mistaken for another over the telephone (Crockford's base 32).
const ENQUIRY_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 80 random bits: nobody guesses another's.
const ENQUIRY_LETTERS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    id: String,
    tenant: String,
    service: String,
    operation: Operation,
    se: SeName,
    personalization: String,
}

/// What this node delivers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Issue,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Issue => "issue",
        }
    }
}

/// An SE by exactly one of its numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum SeName {
    /// ICCID.
    Iccid(String),
    /// EID.
    Eid(String),
}

impl SeName {
    /// The number, if it is one.
    pub(in crate::api) fn check(&self) -> Result<SeId, Problem> {
        let se = match self {
            SeName::Iccid(digits) => SeId::iccid(digits),
            SeName::Eid(digits) => SeId::eid(digits),
        };
        se.map_err(|why| Problem::new(Word::BadRequest, format!("/se: {why}")))
    }

    fn member(&self) -> &'static str {
        match self {
            SeName::Iccid(_) => "iccid",
            SeName::Eid(_) => "eid",
        }
    }
}

pub(super) async fn submit(
    State(app): State<App>,
    Caller(principal): Caller,
    body: JsonText,
) -> Result<(StatusCode, Answer<OrderView>), Problem> {
    let submission: Submission = body.read()?;
    let se = check(&submission, &principal)?;
    let canonical = canonical(&submission, &se);
    if let Some(known) = app.store.order_by_caller_id(&submission.tenant, &submission.id).await? {
        return same(&known, &canonical);
    }
    let mut order = accept(&app, &submission, &se, &canonical).await?;
    order.body_sha256 = Digest::of(&[&body.0]);
    let entry =
        Entry::new(Kind::OrderAccepted, order.created_ms).order(order.id).se(&order.se).detail(
            json!({ "tenant": order.tenant, "caller_id": order.caller_id, "by": principal.name }),
        );
    match app.store.commit(vec![Change::InsertOrder(order.clone())], vec![entry]).await {
        Ok(_) => {
            tracing::info!(enquiry_id = order.enquiry_id, order = %order.id, "order accepted");
            app.engine.wake(order.id);
            let stored = app.store.order(order.id).await?.unwrap_or(order);
            Ok((StatusCode::CREATED, Answer(OrderView::from(&stored))))
        }
        Err(CommitError::Conflict { what: Conflict::OrderExists }) => {
            forget(&app, order.payload).await;
            let known = app.store.order_by_caller_id(&submission.tenant, &submission.id).await?;
            same(
                &known.ok_or_else(|| Problem::internal("an order that exists is not there"))?,
                &canonical,
            )
        }
        Err(CommitError::UnknownOutcome) => Err(CommitError::UnknownOutcome.into()),
        Err(cause) => {
            forget(&app, order.payload).await;
            Err(cause.into())
        }
    }
}

fn check(submission: &Submission, principal: &Principal) -> Result<SeId, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let id = submission.id.as_bytes();
    if id.is_empty() || id.len() > CALLER_ID_MAX || !id.iter().copied().all(plain) {
        return Err(Problem::new(Word::BadRequest, "/id: 1 to 64 characters of 0-9A-Za-z._-"));
    }
    if id.len() == MY_NUMBER_DIGITS && id.iter().all(u8::is_ascii_digit) {
        return Err(Problem::new(
            Word::BadRequest,
            "/id: 12 bare digits may be a My Number and are not taken",
        ));
    }
    if !principal.serves(&submission.tenant) {
        return Err(Problem::new(
            Word::NotAllowed,
            "/tenant: not one of this client certificate's",
        ));
    }
    submission.se.check()
}

/// What two submissions of one order are compared by: the body, with the key material replaced by its digest.
fn canonical(submission: &Submission, se: &SeId) -> Value {
    json!({
        "id": submission.id,
        "tenant": submission.tenant,
        "service": submission.service,
        "operation": submission.operation.as_str(),
        "se": { submission.se.member(): se.as_str() },
        "personalization": Digest::of(&[submission.personalization.as_bytes()]).to_string(),
    })
}

/// The order was taken in before: the same answer for the same body, a refusal for another.
fn same(
    known: &OrderRecord,
    canonical: &Value,
) -> Result<(StatusCode, Answer<OrderView>), Problem> {
    let accepted: Value = serde_json::from_str(&known.request).map_err(Problem::internal)?;
    let mut differs = Vec::new();
    pointers_to_differences(&accepted, canonical, String::new(), &mut differs);
    if differs.is_empty() {
        return Ok((StatusCode::OK, Answer(OrderView::from(known))));
    }
    let problem = Problem::new(Word::OrderDiffers, "the order under this id has another body");
    Err(problem.enquiry(&known.enquiry_id).differs(differs))
}

/// JSON pointers (RFC 6901) to every member that is in one only, or not the same in both.
fn pointers_to_differences(left: &Value, right: &Value, at: String, differs: &mut Vec<String>) {
    let (Value::Object(left), Value::Object(right)) = (left, right) else {
        if left != right {
            differs.push(at);
        }
        return;
    };
    let only_right = right.keys().filter(|key| !left.contains_key(*key));
    for key in left.keys().chain(only_right) {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        let (one, other) =
            (left.get(key).unwrap_or(&Value::Null), right.get(key).unwrap_or(&Value::Null));
        pointers_to_differences(one, other, format!("{at}/{escaped}"), differs);
    }
}

/// Checks that the order can be carried out here, and takes its key material into custody.
async fn accept(
    app: &App,
    submission: &Submission,
    se: &SeId,
    canonical: &Value,
) -> Result<OrderRecord, Problem> {
    let service = app
        .settings
        .service(&submission.service)
        .ok_or_else(|| Problem::new(Word::BadRequest, "/service: this node does not deliver it"))?;
    let query = RouteQuery { tenant: submission.tenant.clone(), se: se.clone(), se_type: None };
    app.router.route(&query).map_err(|why| Problem::new(Word::NoRoute, why.to_string()))?;
    let expected = Expected {
        tenant: &submission.tenant,
        caller_id: &submission.id,
        se: se.as_str(),
        service: &service.profile,
        now_s: app.clock.now_s(),
    };
    let providers = &app.settings.service_providers;
    let payload = personalization::verify(&submission.personalization, providers, &expected)?;
    let payload = app.custody.accept_payload(payload).await.map_err(payload_refused)?;
    let now_ms = app.clock.now_ms();
    Ok(OrderRecord {
        id: Uuid::now_v7(),
        caller_id: submission.id.clone(),
        tenant: submission.tenant.clone(),
        body_sha256: Digest::ZERO,
        request: canonical.to_string(),
        service: submission.service.clone(),
        operation: submission.operation.as_str().to_owned(),
        se: se.as_str().to_owned(),
        carrier: None,
        profile: None,
        security_domain: None,
        state: OrderState::Accepted,
        code: None,
        authorization: None,
        payload: Some(payload),
        enquiry_id: enquiry_id()?,
        receipt: None,
        counter_receipt: None,
        opened: None,
        failures: 0,
        probes: 0,
        permits: 0,
        app_key_sha256: None,
        due_ms: Some(now_ms),
        created_ms: now_ms,
        updated_ms: now_ms,
        version: 0,
    })
}

fn payload_refused(cause: PayloadError) -> Problem {
    match cause {
        PayloadError::Custody(cause) => cause.into(),
        cause => Problem::new(Word::PersonalizationRefused, format!("/personalization: {cause}")),
    }
}

/// Key material of an order that was not taken in is of no use.
async fn forget(app: &App, payload: Option<Uuid>) {
    let Some(payload) = payload else { return };
    if let Err(cause) = app.custody.erase_payload(payload).await {
        tracing::warn!(%cause, %payload, "a payload without an order is still sealed in custody");
    }
}

fn enquiry_id() -> Result<String, Problem> {
    let mut random = [0_u8; ENQUIRY_LETTERS];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Problem::internal("no random numbers"))?;
    let letter = |byte: u8| ENQUIRY_ALPHABET.get(usize::from(byte % 32)).copied().map(char::from);
    Ok(random.into_iter().filter_map(letter).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::settings::Role;

    fn principal() -> Principal {
        Principal {
            name: "issuer".into(),
            role: Role::Sp,
            tenants: HashSet::from(["carrier-a".to_owned()]),
            carrier: None,
            terminal: None,
            certificate_sha256: [0; 32],
        }
    }

    fn submission(id: &str, tenant: &str, iccid: &str) -> Submission {
        serde_json::from_value(json!({
            "id": id, "tenant": tenant, "service": "s", "operation": "issue",
            "se": {"iccid": iccid}, "personalization": "a.b.c",
        }))
        .unwrap()
    }

    #[test]
    fn ids_that_may_be_a_persons_number_are_refused() {
        let code = |id: &str| {
            check(&submission(id, "carrier-a", "8981100000000000018"), &principal()).err()
        };
        for taken in
            ["o-1", "1", "12345678901", "1234567890123", "a12345678901", "A.b_c-9", &"x".repeat(64)]
        {
            assert!(code(taken).is_none(), "{taken}");
        }
        for refused in ["", "123456789012", "a b", "a/b", "é", &"x".repeat(65)] {
            assert_eq!(code(refused).unwrap().code(), Word::BadRequest.into(), "{refused}");
        }
    }

    #[test]
    fn another_tenant_and_no_iccid_are_refused() {
        let refused = check(&submission("o", "carrier-b", "8981100000000000018"), &principal());
        assert_eq!(refused.unwrap_err().code(), Word::NotAllowed.into());
        let refused = check(&submission("o", "carrier-a", "89811"), &principal());
        assert_eq!(refused.unwrap_err().code(), Word::BadRequest.into());
        let two = json!({"iccid": "8981100000000000018", "eid": "1".repeat(32)});
        assert!(serde_json::from_value::<SeName>(two).is_err());
    }

    #[test]
    fn differences_are_named_by_pointer() {
        let mut differs = Vec::new();
        let left = json!({"a": 1, "se": {"iccid": "1"}, "x/y~": 1});
        let right = json!({"a": 1, "se": {"eid": "2"}, "x/y~": 2, "n": {}});
        pointers_to_differences(&left, &right, String::new(), &mut differs);
        differs.sort();
        assert_eq!(differs, ["/n", "/se/eid", "/se/iccid", "/x~1y~0"]);
    }

    #[test]
    fn enquiry_ids_are_plain_and_differ() {
        let (one, other) = (enquiry_id().unwrap(), enquiry_id().unwrap());
        assert_eq!(one.len(), ENQUIRY_LETTERS);
        assert!(one != other && one.bytes().all(|byte| ENQUIRY_ALPHABET.contains(&byte)));
    }
}
