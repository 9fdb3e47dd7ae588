//! An order as a stream of server-sent events (WHATWG HTML §9.2): at once, at every change, until it ends.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::{OrderView, find};
use crate::{
    App,
    principal::Caller,
    server::{Ending, problem::Problem},
};

/// Events that may wait for a slow reader; then the order is read when there is room again.
const EVENTS_MAX: usize = 4;
/// A comment this often keeps middleboxes from closing the stream.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub(super) async fn watch(
    State(app): State<App>,
    Caller(principal): Caller,
    Extension(ending): Extension<Ending>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let order = find(&app, &principal, &id).await?;
    let (events, stream) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(follow(app, order.id, events, ending));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_INTERVAL);
    Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(keep_alive).into_response())
}

async fn follow(
    app: App,
    id: Uuid,
    events: mpsc::Sender<Result<Event, Infallible>>,
    mut ending: Ending,
) {
    // Subscribed before the first read: no change falls between the two.
    let mut changed = app.store.subscribe();
    let mut shown = None;
    loop {
        let Ok(Some(order)) = app.store.order(id).await else { return };
        if shown != Some(order.version) {
            shown = Some(order.version);
            let Ok(event) = Event::default().event("order").json_data(OrderView::from(&order))
            else {
                return;
            };
            if events.send(Ok(event)).await.is_err() {
                return;
            }
        }
        if order.state.is_terminal() {
            return;
        }
        let stop = tokio::select! {
            stop = next_change(&mut changed, id) => stop,
            () = ending.wait() => true,
            () = events.closed() => true,
        };
        if stop {
            return;
        }
    }
}

/// Waits until the order may have changed; `true` when it never will.
async fn next_change(changed: &mut tokio::sync::broadcast::Receiver<Uuid>, id: Uuid) -> bool {
    loop {
        match changed.recv().await {
            Ok(other) if other != id => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return false,
            Err(RecvError::Closed) => return true,
        }
    }
}
