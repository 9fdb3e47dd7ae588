//! Whether the node lives and is ready, its metrics, and the texts behind each problem's `type`.

use axum::{
    Extension, Json as Answer, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use serde_json::{Value, json};

use crate::{
    App,
    code::{self, Explained, Word},
    server::{Ending, problem::Problem},
    telemetry,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(|| async { Answer(json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/problems/{code}", get(problem))
}

async fn ready(
    State(app): State<App>,
    Extension(ending): Extension<Ending>,
) -> Result<Answer<Value>, Problem> {
    if ending.is_draining() {
        return Err(Problem::new(Word::Draining, "this node takes no more work"));
    }
    if !app.store.is_ready() {
        return Err(Problem::new(Word::StoreUnavailable, "the store takes no more work"));
    }
    if !app.custody.is_ready() {
        return Err(Problem::new(Word::CustodyUnavailable, "custody takes no more work"));
    }
    Ok(Answer(json!({ "status": "ready" })))
}

async fn metrics() -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        telemetry::render_metrics(),
    )
        .into_response()
}

async fn problem(Path(code): Path<String>) -> Result<Response, Problem> {
    let explained = code::explain(&code).ok_or_else(Problem::not_found)?;
    let text = text(&explained);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

fn text(explained: &Explained) -> String {
    format!("{explained}\n")
}
