//! What carriers' TSMs tell us, idempotent by FunctionCallIdentifier.

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use carriers::{
    SeId,
    notification::{Event, Notification, NotificationError, acknowledgement},
};
use http::header;
use serde_json::json;

use crate::{
    App,
    audit::{Entry, Kind},
    code::Word,
    principal::{Caller, Principal},
    server::{body, problem::Problem},
    store::{Change, CommitError, Conflict},
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/carriers/notifications/{function}", post(notify))
}

async fn notify(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(function): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let carrier =
        principal.carrier.clone().ok_or_else(|| Problem::internal("a carrier without a name"))?;
    let notification =
        Notification::parse(&function, &body::read(request).await?).map_err(refused)?;
    let note = Change::NoteNotification {
        carrier: carrier.clone(),
        call_id: notification.call.as_str().to_owned(),
        function: notification.function().to_owned(),
    };
    let mut entry = Entry::new(Kind::Notified, app.clock.now_ms())
        .detail(json!({ "carrier": carrier, "function": notification.function() }));
    let concerned = secure_element(&notification.event);
    if let Some(se) = concerned {
        entry = entry.se(se.as_str());
    }
    match app.store.commit(vec![note], vec![entry]).await {
        Ok(_) => wake_orders(&app, &principal, concerned).await?,
        // The same call again is the same notification, and gets the same answer.
        Err(CommitError::Conflict { what: Conflict::NotificationKnown }) => {}
        Err(cause) => return Err(cause.into()),
    }
    let answer = acknowledgement().map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

fn refused(cause: NotificationError) -> Problem {
    let word = match cause {
        NotificationError::UnknownFunction => Word::NotFound,
        NotificationError::TooLarge => Word::TooLarge,
        NotificationError::Form { .. } => Word::BadRequest,
    };
    Problem::new(word, cause.to_string())
}

/// The secure element a notification is about, the one before in a renewal.
fn secure_element(event: &Event) -> Option<&SeId> {
    match event {
        Event::SeRenewal(renewal) => Some(&renewal.old_secure_element),
        Event::SeDeviceChanged(change) => Some(&change.secure_element),
        Event::SeStatusChange(change) => Some(&change.secure_element),
        Event::MobileSubscriptionStatusChange(_) => None,
    }
}

/// An order that waits for its SE looks again.
async fn wake_orders(app: &App, principal: &Principal, se: Option<&SeId>) -> Result<(), Problem> {
    let Some(se) = se else { return Ok(()) };
    for tenant in &principal.tenants {
        for order in app.store.open_orders_of_se(tenant, se.as_str()).await? {
            app.engine.wake(order.id);
        }
    }
    Ok(())
}
