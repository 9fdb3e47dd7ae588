//! Logs and metrics. Neither ever holds a secret, a number of a SIM, or personal data; labels of metrics are fixed words.

use std::{io::IsTerminal, sync::OnceLock, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Variable with the log filter, for example `info,gateway::engine=debug`.
const FILTER_VARIABLE: &str = "MADOGUCHI_LOG";
/// Upper bounds of the request histogram, in seconds.
const REQUEST_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to write logs to stderr: JSON lines for a node, plain lines for a command on a terminal. The first call decides.
pub fn init_logs(json: bool) {
    let default = if json { "info" } else { "warn" };
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second subscriber is refused; the first stays, which is what is promised.
    let _ = if json {
        registry.with(stderr.json().flatten_event(true)).try_init()
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        registry.with(stderr.with_ansi(colours).without_time()).try_init()
    };
}

/// Begins to collect metrics in this process. Later calls change nothing.
pub fn init_metrics() {
    METRICS.get_or_init(|| {
        let buckets = Matcher::Full("madoguchi_request_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(buckets, &REQUEST_SECONDS);
        builder.ok()?.install_recorder().ok()
    });
}

/// The metrics in Prometheus' text format, version 0.0.4; empty before [`init_metrics`].
pub fn render_metrics() -> String {
    METRICS.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// Middleware: counts and times every request by its route's pattern, never by its path.
pub async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let elapsed_s = begun.elapsed().as_secs_f64();
    tracing::debug!(method, route, status, elapsed_s, "answered");
    metrics::counter!("madoguchi_requests_total", "route" => route.clone(), "method" => method, "status" => status)
        .increment(1);
    metrics::histogram!("madoguchi_request_seconds", "route" => route).record(elapsed_s);
    response
}

/// A peer may invent methods; a label may not.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        _ => "other",
    }
}
