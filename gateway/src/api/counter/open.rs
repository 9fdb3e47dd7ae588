//! `open`: what the terminal is to show and sign, for the SE at its reader.

use authority::{AccessCodeMode, AuthorizationDetails};
use axum::{Json as Answer, extract::State};
use order::{OrderEvent, OrderState, transition};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Message, entry, find, message, planned::Planned};
use crate::{
    app::App,
    audit::Kind,
    code::Word,
    principal::Caller,
    server::{body::Json, problem::Problem},
    store::{Change, CommitError, Conflict, Opened, OrderRecord},
};

/// The engine may change the order at the same time; after so many tries the terminal tries again.
const TRIES_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenBody {
    order: Uuid,
    se: ObservedSe,
    terminal: String,
    reader: String,
}

/// The SE at the reader, by the number it is routed by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum ObservedSe {
    Iccid(String),
    Eid(String),
}

impl ObservedSe {
    fn number(&self) -> &str {
        match self {
            ObservedSe::Iccid(number) | ObservedSe::Eid(number) => number,
        }
    }
}

#[derive(Serialize)]
pub(super) struct OpenAnswer {
    order: Uuid,
    enquiry_id: String,
    authorization_details: [AuthorizationDetails; 1],
    access_code: &'static str,
    audience: String,
    message: Message,
}

/// Answers what the counter is to show and sign.
pub(super) async fn open(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<OpenBody>,
) -> Result<Answer<OpenAnswer>, Problem> {
    if caller.0.terminal.as_deref() != Some(body.terminal.as_str()) {
        return Err(Problem::new(Word::NotAllowed, "this certificate is another terminal's"));
    }
    for _ in 0..TRIES_MAX {
        let order = find(&app, &caller, body.order).await?;
        if body.se.number() != order.se {
            let detail = "the SE at the reader is not the one the order is for";
            return Err(Problem::new(authority::Code::T11, detail).enquiry(order.enquiry_id));
        }
        let details = Planned::of(&app, &order).await?.details(&order)?;
        let opened = Opened {
            terminal: body.terminal.clone(),
            reader: body.reader.clone(),
            details,
            at_ms: app.clock.now_ms(),
        };
        if let Some(answer) = record(&app, order, opened).await? {
            return Ok(Answer(answer));
        }
    }
    Err(Problem::new(Word::IllegalState, "the order is changing now; try again"))
}

/// Prepared or AwaitingCounter → AwaitingCounter, with what was shown; none when the order changed meanwhile.
async fn record(
    app: &App,
    order: OrderRecord,
    opened: Opened,
) -> Result<Option<OpenAnswer>, Problem> {
    let same = order.opened.as_ref().is_some_and(|before| {
        before.details == opened.details
            && before.terminal == opened.terminal
            && before.reader == opened.reader
    });
    let details = opened.details.clone();
    if same && matches!(order.state, OrderState::AwaitingCounter) {
        return Ok(Some(answer(app, &order, details)));
    }
    let state = transition(&order.state, &OrderEvent::CounterOpened).map_err(|_| {
        Problem::new(Word::IllegalState, format!("the order is {}", order.state.word()))
            .enquiry(&order.enquiry_id)
    })?;
    let entry = entry(app, &order, Kind::CounterOpened).detail(json!({
        "terminal": opened.terminal, "reader": opened.reader, "authorization_details": opened.details,
    }));
    let next = OrderRecord { state, updated_ms: opened.at_ms, opened: Some(opened), ..order };
    match app.store.commit(vec![Change::UpdateOrder(next.clone())], vec![entry]).await {
        Ok(_) => Ok(Some(answer(app, &next, details))),
        Err(CommitError::Conflict { what: Conflict::OrderChanged { .. } }) => Ok(None),
        Err(error) => Err(Problem::from(error).enquiry(next.enquiry_id)),
    }
}

fn answer(app: &App, order: &OrderRecord, details: AuthorizationDetails) -> OpenAnswer {
    let authority = app.authority.load();
    let access_code = match authority.policy.access_code_mode {
        AccessCodeMode::Required => "required",
        AccessCodeMode::OmittedTerminalBound | AccessCodeMode::OmittedEmbeddedAuth => "omitted",
    };
    OpenAnswer {
        order: order.id,
        enquiry_id: order.enquiry_id.clone(),
        authorization_details: [details],
        access_code,
        audience: authority.audience.clone(),
        message: message(&order.state),
    }
}
