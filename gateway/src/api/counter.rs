//! The counter's three calls: `open`, `authorize`, `status`.
//!
//! `open` answers exactly what the terminal is to show and sign. `authorize` compares what was signed with what was opened, and consumes
//! the token in one durable transaction. No call waits for an SE.

use authority::{AuthorizationDetails, Presented, Refusal, Requested, VerifiedToken, verify};
use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use order::{OrderEvent, OrderState, transition};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{Entry, Kind},
    code::{Code, Word},
    digest::Digest,
    engine::{plan, setback::Setback},
    principal::Caller,
    server::{body::Json, problem::Problem},
    store::{
        Change, Opened, OrderRecord, SeRecord,
        consume::{self, ConsumeError, Grant},
    },
};

/// The counter's routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/counter/open", post(open))
        .route("/v1/counter/authorize", post(authorize))
        .route("/v1/counter/status/{order}", get(status))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenBody {
    order: Uuid,
    se: ObservedSe,
    terminal: String,
    reader: String,
}

/// The SE at the reader.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObservedSe {
    iccid: String,
}

#[derive(Serialize)]
struct OpenAnswer {
    order: Uuid,
    enquiry_id: String,
    authorization_details: [AuthorizationDetails; 1],
    access_code: &'static str,
    audience: String,
    message: Message,
}

/// One plain sentence for the clerk, in both languages.
#[derive(Serialize)]
struct Message {
    ja: &'static str,
    en: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorizeBody {
    order: Uuid,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_code: Option<String>,
}

#[derive(Serialize)]
struct AuthorizeAnswer {
    order: Uuid,
    state: &'static str,
    enquiry_id: String,
    message: Message,
}

#[derive(Serialize)]
struct StatusAnswer {
    order: Uuid,
    state: &'static str,
    code: Option<String>,
    message: Message,
    receipt: Option<String>,
    enquiry_id: String,
}

async fn open(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<OpenBody>,
) -> Result<axum::Json<OpenAnswer>, Problem> {
    if caller.0.terminal.as_deref() != Some(body.terminal.as_str()) {
        return Err(Problem::new(Word::NotAllowed, "this certificate is another terminal's"));
    }
    let order = find(&app, &caller, body.order).await?;
    if body.se.iccid != order.se {
        let detail = "the SE at the reader is not the one the order is for";
        return Err(Problem::new(authority::Code::T11, detail).enquiry(order.enquiry_id));
    }
    let details = details(&app, &order).await?;
    let opened = Opened {
        terminal: body.terminal,
        reader: body.reader,
        details: details.clone(),
        at_ms: app.clock.now_ms(),
    };
    let order = record_opened(&app, order, opened).await?;
    let authority = app.authority.load();
    let access_code = match authority.policy.access_code_mode {
        authority::AccessCodeMode::Required => "required",
        _ => "omitted",
    };
    Ok(axum::Json(OpenAnswer {
        order: order.id,
        enquiry_id: order.enquiry_id,
        authorization_details: [details],
        access_code,
        audience: authority.audience.clone(),
        message: message(&order.state),
    }))
}

/// What the counter is to sign, from the order, its SE and its service as they are now.
async fn details(app: &App, order: &OrderRecord) -> Result<AuthorizationDetails, Problem> {
    let (plan, parts) = planned(app, order).await?;
    plan::authorization_details(
        order,
        parts.security_domain,
        &plan,
        &parts.profile,
        &parts.service,
        &parts.carrier,
    )
    .ok_or_else(|| Problem::new(Word::BadRequest, "a counter cannot authorize this operation"))
}

struct Parts {
    security_domain: scp::Aid,
    profile: scp::SeProfile,
    service: scp::ServiceProfile,
    carrier: String,
    se: SeRecord,
}

async fn planned(app: &App, order: &OrderRecord) -> Result<(plan::IssuePlan, Parts), Problem> {
    let not_yet = |what: &str| {
        Problem::new(Word::IllegalState, format!("the order is {}: {what}", order.state.word()))
            .enquiry(&order.enquiry_id)
    };
    let security_domain = order.security_domain.ok_or_else(|| not_yet("it has no route yet"))?;
    let carrier = order.carrier.clone().ok_or_else(|| not_yet("it has no route yet"))?;
    let profile_name = order.profile.as_deref().unwrap_or_default();
    let profile = app.settings.se_profiles.iter().find(|profile| profile.name == profile_name);
    let profile = profile.cloned().ok_or_else(|| not_yet("its SE profile is not configured"))?;
    let service =
        app.settings.services.iter().find(|service| service.profile.name == order.service);
    let service = service.ok_or_else(|| not_yet("its service is not configured"))?.profile.clone();
    let se = app.store.se(&order.tenant, &order.se).await?;
    let se = se.ok_or_else(|| not_yet("its SE is not on record yet"))?;
    let attempts_max = app.settings.engine.attempts_max;
    let plan = plan::issue(&se, security_domain, &profile, &service, attempts_max)
        .map_err(|setback: Setback| not_yet(&setback.to_string()))?;
    Ok((plan, Parts { security_domain, profile, service, carrier, se }))
}

/// Prepared or AwaitingCounter → AwaitingCounter, with what was shown.
async fn record_opened(
    app: &App,
    order: OrderRecord,
    opened: Opened,
) -> Result<OrderRecord, Problem> {
    let same = order.opened.as_ref().is_some_and(|before| {
        before.details == opened.details
            && before.terminal == opened.terminal
            && before.reader == opened.reader
    });
    if same && matches!(order.state, OrderState::AwaitingCounter) {
        return Ok(order);
    }
    let state = transition(&order.state, &OrderEvent::CounterOpened).map_err(|_| {
        Problem::new(Word::IllegalState, format!("the order is {}", order.state.word()))
            .enquiry(&order.enquiry_id)
    })?;
    let entry = entry(app, &order, Kind::CounterOpened).detail(json!({
        "terminal": opened.terminal, "reader": opened.reader, "authorization_details": opened.details,
    }));
    let next = OrderRecord { state, updated_ms: opened.at_ms, opened: Some(opened), ..order };
    app.store.commit(vec![Change::UpdateOrder(next.clone())], vec![entry]).await?;
    Ok(OrderRecord { version: next.version + 1, ..next })
}

async fn authorize(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<AuthorizeBody>,
) -> Result<axum::Json<AuthorizeAnswer>, Problem> {
    let order = find(&app, &caller, body.order).await?;
    let opened = order.opened.clone().ok_or_else(|| {
        Problem::new(Word::IllegalState, "open the order first").enquiry(&order.enquiry_id)
    })?;
    let seen = SeenBefore::read(&app, body.token.as_deref().unwrap_or_default()).await?;
    let presented = Presented {
        token: body.token.as_deref(),
        peer_certificate_sha256: caller.0.certificate_sha256,
        access_code: body.access_code.as_deref(),
        now_s: app.clock.now_s(),
    };
    let requested =
        Requested { details: &opened.details, request_sha256: request_digest(order.id).0 };
    let verified = verify(&app.authority.load(), &presented, &requested, &seen);
    let token = match verified {
        Ok(token) => token,
        Err(refusal) => return Err(refuse(&app, order, refusal).await),
    };
    if token.replay_of_same() {
        return Ok(axum::Json(authorized(order)));
    }
    if let Some(refusal) = policy_refuses(&app, &order).await? {
        return Err(refuse(&app, order, refusal).await);
    }
    consume_for(&app, order, token).await
}

/// The application key would be written under a key set that parties outside the tenant's policy may know (design: `known_to`).
/// Asked before the token is consumed, so that the answer does not cost a new proofing.
async fn policy_refuses(app: &App, order: &OrderRecord) -> Result<Option<Refusal>, Problem> {
    let (_, parts) = planned(app, order).await?;
    let live =
        parts.se.security_domain(&parts.security_domain).and_then(|domain| domain.live.as_ref());
    let tenant = app.settings.tenants.iter().find(|tenant| tenant.id == order.tenant);
    let (Some(live), Some(tenant)) = (live, tenant) else { return Ok(None) };
    let outsider = live.known_to.iter().any(|party| !tenant.app_key_max_known_to.contains(party));
    Ok(outsider.then(|| Refusal {
        code: authority::Code::T13,
        detail: "the SE's key set may be known to a party the policy does not admit".into(),
        burns_token: false,
        wrong_access_code: None,
    }))
}

async fn consume_for(
    app: &App,
    order: OrderRecord,
    token: VerifiedToken,
) -> Result<axum::Json<AuthorizeAnswer>, Problem> {
    let (plan, _) = planned(app, &order).await?;
    let event = OrderEvent::Authorized { writes: plan.planned() };
    let state = transition(&order.state, &event).map_err(|_| {
        Problem::new(Word::IllegalState, format!("the order is {}", order.state.word()))
            .enquiry(&order.enquiry_id)
    })?;
    let now_ms = app.clock.now_ms();
    let execute_by_ms = now_ms.saturating_add_unsigned(app.settings.engine.execute_by_s * 1_000);
    let entry = entry(app, &order, Kind::TokenConsumed).detail(json!({
        "token_sha256": Digest::from(*token.token_sha256()), "issuer": token.iss(), "terminal": token.term(),
        "seq": token.seq(), "policy_version": token.policy_version(), "execute_by_ms": execute_by_ms,
    }));
    let next = OrderRecord {
        state,
        code: None,
        due_ms: Some(now_ms),
        updated_ms: now_ms,
        ..order.clone()
    };
    let grant = Grant { writes: plan.writes, consumed_ms: now_ms, execute_by_ms };
    match consume::consume(&app.store, token, next.clone(), grant, entry).await {
        Ok(_) => {
            app.engine.wake(next.id);
            Ok(axum::Json(authorized(next)))
        }
        Err(ConsumeError::Replayed) => Err(refuse(app, order, late(authority::Code::T09)).await),
        Err(ConsumeError::StaleSeq) => Err(refuse(app, order, late(authority::Code::T10)).await),
        Err(ConsumeError::Unavailable(error)) => Err(error.into()),
        Err(ConsumeError::UnknownOutcome) => Err(Problem::new(
            Word::OutcomeUnknown,
            "whether the token was consumed is not known; offer it again",
        )),
        Err(error @ (ConsumeError::Conflict | ConsumeError::Mismatch)) => {
            Err(Problem::new(Word::IllegalState, error.to_string()).enquiry(order.enquiry_id))
        }
    }
}

/// Another offer of the token, or of a later one, was first.
fn late(code: authority::Code) -> Refusal {
    Refusal {
        code,
        detail: "another offer was first".into(),
        burns_token: false,
        wrong_access_code: None,
    }
}

/// Records a refusal. A wrong access code is counted, the third spends the token: in a commit of its own, which nothing that happens to
/// the order at the same moment can undo.
async fn refuse(app: &App, order: OrderRecord, refusal: Refusal) -> Problem {
    let mut changes = Vec::new();
    let mut entries = vec![
        entry(app, &order, Kind::TokenRefused)
            .detail(json!({ "code": refusal.code.as_str(), "detail": refusal.detail })),
    ];
    if let Some(wrong) = &refusal.wrong_access_code {
        changes.push(Change::AccessCodeFailure { jti: wrong.jti.clone() });
        if refusal.burns_token {
            let token_sha256 = Digest::from(wrong.token_sha256);
            changes.push(Change::BurnToken { jti: wrong.jti.clone(), token_sha256 });
            entries.push(
                entry(app, &order, Kind::TokenBurned)
                    .detail(json!({ "token_sha256": token_sha256 })),
            );
        }
    }
    if let Err(error) = app.store.commit(changes, entries).await {
        return error.into();
    }
    let problem = Problem::new(refusal.code, refusal.detail.to_string()).enquiry(&order.enquiry_id);
    if matches!(order.state, OrderState::AwaitingCounter) {
        let code = Some(refusal.code.as_str().to_owned());
        let shown = vec![Change::UpdateOrder(OrderRecord { code, ..order })];
        if let Err(error) = app.store.commit(shown, Vec::new()).await {
            tracing::debug!(%error, "the order moved on; it keeps its own code");
        }
    }
    problem
}

async fn status(
    State(app): State<App>,
    caller: Caller,
    Path(order): Path<Uuid>,
) -> Result<axum::Json<StatusAnswer>, Problem> {
    let order = find(&app, &caller, order).await?;
    Ok(axum::Json(StatusAnswer {
        order: order.id,
        state: order.state.word(),
        message: message_of(&order),
        code: order.code,
        receipt: order.counter_receipt,
        enquiry_id: order.enquiry_id,
    }))
}

/// The order, if the caller serves its tenant; another tenant's looks like none.
async fn find(app: &App, caller: &Caller, id: Uuid) -> Result<OrderRecord, Problem> {
    let order = app.store.order(id).await?;
    order.filter(|order| caller.0.serves(&order.tenant)).ok_or_else(Problem::not_found)
}

fn authorized(order: OrderRecord) -> AuthorizeAnswer {
    AuthorizeAnswer {
        order: order.id,
        state: order.state.word(),
        message: message(&order.state),
        enquiry_id: order.enquiry_id,
    }
}

/// The code's own sentences where there is one, else the state's.
fn message_of(order: &OrderRecord) -> Message {
    match order.code.as_deref().and_then(Code::find) {
        Some(code) => Message { ja: code.entry().ja, en: code.entry().en },
        None => message(&order.state),
    }
}

fn message(state: &OrderState) -> Message {
    let (ja, en) = match state {
        OrderState::Accepted | OrderState::Eligible => {
            ("準備中です。しばらくお待ちください。", "Being prepared; please wait.")
        }
        OrderState::Prepared | OrderState::AwaitingCounter => {
            ("窓口で本人確認を行えます。", "Ready for identification at the counter.")
        }
        OrderState::Authorized { .. } | OrderState::Writing { .. } => (
            "受け付けました。書込みは自動で進みます。窓口での手続は終わりです。",
            "Accepted. Writing goes on by itself; the visit is over.",
        ),
        OrderState::Confirmed { .. } => ("搭載が完了しました。", "Done: the key is on the device."),
        OrderState::Parked { .. } => (
            "担当者の対応が必要です。問い合わせ番号をお伝えください。",
            "Somebody has to act; give the enquiry id.",
        ),
        OrderState::Refused { .. } => {
            ("この申込みは受け付けられません。", "This order was refused.")
        }
        OrderState::Cancelled => ("この申込みは取り消されました。", "This order was cancelled."),
        OrderState::Expired => ("この申込みは期限切れです。", "This order has expired."),
    };
    Message { ja, en }
}

fn entry(app: &App, order: &OrderRecord, kind: Kind) -> Entry {
    Entry::new(kind, app.clock.now_ms()).order(order.id).se(&order.se)
}

/// The request a token is offered with: this order. The same token for the same order is answered again.
fn request_digest(order: Uuid) -> Digest {
    Digest::of(&[b"authorize", order.as_bytes()])
}

/// What the store knows about the token at hand, read before it is verified.
struct SeenBefore {
    consumed: Option<authority::ConsumedRef>,
    seq_high_water: Option<u64>,
    access_code_failures: u32,
}

/// The members of an unverified token by which the store is asked. Whatever they say, it only decides what is read.
#[derive(Deserialize)]
struct Unverified {
    iss: String,
    jti: String,
    ctr: UnverifiedCounter,
}

#[derive(Deserialize)]
struct UnverifiedCounter {
    term: String,
}

impl SeenBefore {
    async fn read(app: &App, token: &str) -> Result<SeenBefore, Problem> {
        let Some(claims) = unverified(token) else {
            return Ok(SeenBefore {
                consumed: None,
                seq_high_water: None,
                access_code_failures: 0,
            });
        };
        let used = app.store.jti(&claims.jti).await?;
        Ok(SeenBefore {
            consumed: used.map(|used| authority::ConsumedRef {
                token_sha256: used.token_sha256.0,
                // A burned token belongs to no order, so no request is the same again.
                request_sha256: used.order.map_or([0; 32], |order| request_digest(order).0),
            }),
            seq_high_water: app.store.seq_high_water(&claims.iss, &claims.ctr.term).await?,
            access_code_failures: app.store.access_code_failures(&claims.jti).await?,
        })
    }
}

fn unverified(token: &str) -> Option<Unverified> {
    if token.len() > authority::TOKEN_BYTES_MOST {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

impl authority::Seen for SeenBefore {
    fn jti_seen(&self, _jti: &str) -> Option<authority::ConsumedRef> {
        self.consumed
    }

    fn seq_high_water(&self, _iss: &str, _term: &str) -> Option<u64> {
        self.seq_high_water
    }

    fn denied(&self, _kind: authority::DenyKind, _id: &str) -> bool {
        // Deny lists are part of the registry for now: issuers, terminals and clerks carry their own mark.
        false
    }

    fn access_code_failures(&self, _jti: &str) -> u32 {
        self.access_code_failures
    }
}
