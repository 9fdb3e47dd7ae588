//! Signed receipts, and the key they are checked with.

use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    routing::get,
};
use serde::Serialize;

use super::orders;
use crate::{App, code::Word, principal::Caller, receipt::ReceiptKey, server::problem::Problem};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/receipts/key", get(key)).route("/v1/receipts/{order}", get(receipt))
}

async fn key(State(app): State<App>) -> Answer<ReceiptKey> {
    Answer(app.receipts.key().clone())
}

#[derive(Serialize)]
struct Receipt {
    receipt: String,
}

async fn receipt(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Answer<Receipt>, Problem> {
    let order = orders::find(&app, &principal, &id).await?;
    let none = || {
        let detail =
            format!("the order is {}; a receipt is issued at Confirmed", order.state.word());
        Problem::new(Word::NotFound, detail).enquiry(&order.enquiry_id)
    };
    Ok(Answer(Receipt { receipt: order.receipt.clone().ok_or_else(none)? }))
}
