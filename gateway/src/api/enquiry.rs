//! What an enquiry desk may know of an order: where it stands, whose turn it is, why. Nothing about the applicant.

use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    routing::get,
};
use jiff::Timestamp;
use order::{OrderState, Owner};
use serde::Serialize;

use super::orders::timestamp;
use crate::{
    App,
    code::Code,
    principal::{Caller, Principal},
    server::problem::Problem,
    settings::Role,
    store::OrderRecord,
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/enquiries/{enquiry_id}", get(show))
}

#[derive(Debug, Serialize)]
struct Enquiry {
    enquiry_id: String,
    state: &'static str,
    code: Option<String>,
    whose_turn: Turn,
    reason: Reason,
    since: Timestamp,
}

/// Who acts next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Turn {
    /// The node goes on by itself.
    Gateway,
    /// The municipal counter.
    Counter,
    /// The service provider.
    ServiceProvider,
    /// The carrier.
    Carrier,
    /// Whoever runs the node.
    Operator,
    /// Two security officers.
    Officers,
    /// It has ended.
    Nobody,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Reason {
    ja: &'static str,
    en: &'static str,
}

async fn show(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(enquiry_id): Path<String>,
) -> Result<Answer<Enquiry>, Problem> {
    let order = app.store.order_by_enquiry(&enquiry_id).await?;
    let order = order.filter(|order| concerns(&principal, order)).ok_or_else(Problem::not_found)?;
    Ok(Answer(of(&order)))
}

/// A carrier asks about its own leg only, everybody about their own tenants only.
fn concerns(principal: &Principal, order: &OrderRecord) -> bool {
    let own_leg = principal.role != Role::Carrier || order.carrier == principal.carrier;
    principal.serves(&order.tenant) && own_leg
}

fn of(order: &OrderRecord) -> Enquiry {
    let (whose_turn, reason) = standing(&order.state);
    Enquiry {
        enquiry_id: order.enquiry_id.clone(),
        state: order.state.word(),
        code: order.code.clone(),
        whose_turn,
        reason,
        since: timestamp(order.updated_ms),
    }
}

fn standing(state: &OrderState) -> (Turn, Reason) {
    let (turn, ja, en) = match state {
        OrderState::Accepted => (
            Turn::Gateway,
            "申込みを受け付け、SEの対応状況を確認しています。",
            "The order was taken in; the SE is being checked.",
        ),
        OrderState::Eligible => {
            (Turn::Gateway, "アプレットを搭載しています。", "The applet is being put in place.")
        }
        OrderState::Prepared | OrderState::AwaitingCounter => (
            Turn::Counter,
            "窓口での認可を待っています。",
            "It waits for the authorization at a counter.",
        ),
        OrderState::Authorized { .. } | OrderState::Writing { .. } => {
            (Turn::Gateway, "鍵を書き込んでいます。", "The keys are being written.")
        }
        OrderState::Confirmed { .. } => (Turn::Nobody, "完了しました。", "It is done."),
        OrderState::Parked { reason, owner, .. } => (turn(*owner), reason.ja(), reason.en()),
        OrderState::Refused { code } => match Code::find(code).map(Code::entry) {
            Some(entry) => (Turn::Nobody, entry.ja, entry.en),
            None => (Turn::Nobody, "受け付けられませんでした。", "It was refused."),
        },
        OrderState::Cancelled => (Turn::Nobody, "取り消されました。", "It was cancelled."),
        OrderState::Expired => (Turn::Nobody, "期限が切れました。", "Its time ran out."),
    };
    (turn, Reason { ja, en })
}

fn turn(owner: Owner) -> Turn {
    match owner {
        Owner::ServiceProvider => Turn::ServiceProvider,
        Owner::Counter => Turn::Counter,
        Owner::Carrier => Turn::Carrier,
        Owner::Operator => Turn::Operator,
        Owner::Officers => Turn::Officers,
    }
}
