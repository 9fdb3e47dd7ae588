//! The counter's three calls: `open`, `authorize`, `status`.
//!
//! `open` answers exactly what the terminal is to show and sign. `authorize` compares what was signed with what was opened, and consumes
//! the token in one durable transaction. No call waits for an SE.

mod authorize;
mod open;
mod planned;
mod seen;

use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    routing::{get, post},
};
use order::OrderState;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{Entry, Kind},
    code::Code,
    principal::Caller,
    server::problem::Problem,
    store::OrderRecord,
};

/// The counter's routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/counter/open", post(open::open))
        .route("/v1/counter/authorize", post(authorize::authorize))
        .route("/v1/counter/status/{order}", get(status))
}

/// One plain sentence for the clerk, in both languages.
#[derive(Serialize)]
struct Message {
    ja: &'static str,
    en: &'static str,
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

async fn status(
    State(app): State<App>,
    caller: Caller,
    Path(order): Path<Uuid>,
) -> Result<Answer<StatusAnswer>, Problem> {
    let order = find(&app, &caller, order).await?;
    Ok(Answer(StatusAnswer {
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
