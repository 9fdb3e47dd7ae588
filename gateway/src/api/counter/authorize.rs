//! `authorize`: the token is compared with what was opened, field by field, and consumed in one durable transaction.

use authority::{Presented, Refusal, Requested, VerifiedToken, verify};
use axum::{Json as Answer, extract::State};
use order::{OrderEvent, OrderState, transition};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Message, entry, find, message,
    planned::Planned,
    seen::{SeenBefore, request_digest},
};
use crate::{
    app::App,
    audit::Kind,
    code::Word,
    digest::Digest,
    engine::plan::IssuePlan,
    principal::Caller,
    server::{body::Json, problem::Problem},
    store::{
        Change, OrderRecord,
        consume::{self, ConsumeError, Grant},
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizeBody {
    order: Uuid,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_code: Option<String>,
}

#[derive(Serialize)]
pub(super) struct AuthorizeAnswer {
    order: Uuid,
    state: &'static str,
    enquiry_id: String,
    message: Message,
}

/// Verifies a token against what was opened, and consumes it.
pub(super) async fn authorize(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<AuthorizeBody>,
) -> Result<Answer<AuthorizeAnswer>, Problem> {
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
        return Ok(Answer(authorized(order)));
    }
    let planned = Planned::of(&app, &order).await?;
    if planned.details(&order)? != opened.details {
        let refusal = refusal(
            authority::Code::T11,
            "the SE or its route changed since the order was opened; open it again",
        );
        return Err(refuse(&app, order, refusal).await);
    }
    if !planned.policy_admits(&app, &order) {
        let refusal = refusal(
            authority::Code::T13,
            "the SE's key set may be known to a party the policy does not admit",
        );
        return Err(refuse(&app, order, refusal).await);
    }
    consume_for(&app, order, planned.plan, token).await
}

async fn consume_for(
    app: &App,
    order: OrderRecord,
    plan: IssuePlan,
    token: VerifiedToken,
) -> Result<Answer<AuthorizeAnswer>, Problem> {
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
    let jti = token.jti().to_owned();
    match consume::consume(&app.store, token, next.clone(), grant, entry).await {
        Ok(_) => {
            app.engine.wake(next.id);
            Ok(Answer(authorized(next)))
        }
        Err(ConsumeError::Replayed) => Err(refuse(app, order, replayed(app, &jti).await?).await),
        Err(ConsumeError::StaleSeq) => {
            Err(refuse(app, order, refusal(authority::Code::T10, "another offer was first")).await)
        }
        Err(ConsumeError::Unavailable(error)) => Err(error.into()),
        Err(ConsumeError::UnknownOutcome) => Err(Problem::new(
            Word::OutcomeUnknown,
            "whether the token was consumed is not known; offer it again",
        )),
        Err(error @ (ConsumeError::Conflict | ConsumeError::Mismatch | ConsumeError::SeBusy)) => {
            Err(Problem::new(Word::IllegalState, error.to_string()).enquiry(order.enquiry_id))
        }
    }
}

/// A token that was spent while this offer was judged. Spent by wrong access codes, it is answered as those were: whoever guesses at the
/// same moment must not learn which guess was right.
async fn replayed(app: &App, jti: &str) -> Result<Refusal, Problem> {
    let spent = app.store.jti(jti).await?;
    let consumed = spent.is_some_and(|used| used.order.is_some());
    Ok(if consumed {
        refusal(authority::Code::T09, "another offer was first")
    } else {
        refusal(authority::Code::T12, "the access code is wrong")
    })
}

fn refusal(code: authority::Code, detail: &'static str) -> Refusal {
    Refusal { code, detail: detail.into(), burns_token: false, wrong_access_code: None }
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

fn authorized(order: OrderRecord) -> AuthorizeAnswer {
    AuthorizeAnswer {
        order: order.id,
        state: order.state.word(),
        message: message(&order.state),
        enquiry_id: order.enquiry_id,
    }
}
