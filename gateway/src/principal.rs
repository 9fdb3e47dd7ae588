//! Who a peer is and which routes it may take: one client certificate is one principal.
//!
//! # Security
//! A certificate that chains to a client authority says only that somebody vouches for the peer. What the peer may do is decided here,
//! by the digest of its very certificate. A route that [`ROUTES`] does not name is taken by nobody.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, request::Parts};

use crate::{
    app::App,
    code::Word,
    server::problem::Problem,
    settings::{PrincipalRule, Role},
};

/// The peer of a connection, as TLS saw it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// SHA-256 of its certificate's DER.
    pub certificate_sha256: [u8; 32],
    /// Where it connected from.
    pub address: SocketAddr,
}

/// A registered peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name in logs and audit records.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The subscriber bases it may speak for.
    pub tenants: HashSet<String>,
    /// The carrier it is; always there for role `carrier`.
    pub carrier: Option<String>,
    /// The terminal it is; always there for role `counter`.
    pub terminal: Option<String>,
    /// SHA-256 of its certificate's DER.
    pub certificate_sha256: [u8; 32],
}

impl Principal {
    /// Whether it may speak for the tenant.
    pub fn serves(&self, tenant: &str) -> bool {
        self.tenants.contains(tenant)
    }
}

/// Every registered peer, by the digest of its certificate.
#[derive(Debug, Default)]
pub struct Principals(HashMap<[u8; 32], Arc<Principal>>);

/// A rule whose digest is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("principals `{name}`: certificate_sha256 is written as 64 hexadecimal digits")]
pub struct PrincipalError {
    name: String,
}

impl Principals {
    /// Registers every rule.
    ///
    /// # Errors
    /// [`PrincipalError`] for a digest that is none.
    pub fn new(rules: &[PrincipalRule]) -> Result<Principals, PrincipalError> {
        let mut principals = HashMap::with_capacity(rules.len());
        for rule in rules {
            let mut certificate_sha256 = [0; 32];
            hex::decode_to_slice(&rule.certificate_sha256, &mut certificate_sha256)
                .map_err(|_| PrincipalError { name: rule.name.clone() })?;
            let principal = Principal {
                name: rule.name.clone(),
                role: rule.role,
                tenants: rule.tenants.iter().cloned().collect(),
                carrier: rule.carrier.clone(),
                terminal: rule.terminal.clone(),
                certificate_sha256,
            };
            principals.insert(certificate_sha256, Arc::new(principal));
        }
        Ok(Principals(principals))
    }

    /// The principal of a certificate.
    pub fn of(&self, certificate_sha256: &[u8; 32]) -> Option<Arc<Principal>> {
        self.0.get(certificate_sha256).cloned()
    }
}

/// A route and who may take it.
#[derive(Debug, Clone, Copy)]
pub struct RouteRoles {
    /// GET or POST.
    pub method: &'static str,
    /// The route's pattern.
    pub path: &'static str,
    /// The roles it admits; [`ANY`] admits every registered principal.
    pub roles: &'static [Role],
}

/// Every role.
pub const ANY: &[Role] =
    &[Role::Sp, Role::Counter, Role::Carrier, Role::Officer, Role::Auditor, Role::Enquiry];

const fn route(method: &'static str, path: &'static str, roles: &'static [Role]) -> RouteRoles {
    RouteRoles { method, path, roles }
}

/// Every route of the node with the roles it admits.
pub const ROUTES: &[RouteRoles] = &[
    route("POST", "/v1/orders", &[Role::Sp]),
    route("GET", "/v1/orders", &[Role::Sp, Role::Officer, Role::Auditor]),
    route("GET", "/v1/orders/{id}", &[Role::Sp, Role::Officer, Role::Auditor]),
    route("GET", "/v1/orders/{id}/events", &[Role::Sp, Role::Officer, Role::Auditor]),
    route("POST", "/v1/orders/{id}/cancel", &[Role::Sp]),
    route("POST", "/v1/orders/{id}/resume", &[Role::Sp, Role::Officer]),
    route("GET", "/v1/custody/transport-key", &[Role::Sp, Role::Carrier]),
    route("POST", "/v1/key-sets", &[Role::Carrier]),
    route("POST", "/v1/carriers/notifications/{function}", &[Role::Carrier]),
    route("POST", "/v1/counter/open", &[Role::Counter]),
    route("POST", "/v1/counter/authorize", &[Role::Counter]),
    route("GET", "/v1/counter/status/{order}", &[Role::Counter]),
    route("GET", "/v1/receipts/key", ANY),
    route("GET", "/v1/receipts/{order}", &[Role::Sp, Role::Auditor, Role::Officer]),
    route(
        "GET",
        "/v1/enquiries/{enquiry_id}",
        &[Role::Enquiry, Role::Counter, Role::Sp, Role::Carrier, Role::Officer],
    ),
    route("GET", "/v1/audit", &[Role::Auditor, Role::Officer]),
];

/// Routes open to every peer with a valid client certificate, registered or not.
pub const OPEN: &[&str] = &["/healthz", "/readyz", "/metrics", "/problems/{code}"];

/// Middleware of every request: an unregistered certificate gets nothing but the [`OPEN`] routes, not even the knowledge of a route.
pub async fn identify(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let open =
        request.extensions().get::<MatchedPath>().is_some_and(|path| OPEN.contains(&path.as_str()));
    let peer = request
        .extensions()
        .get::<Peer>()
        .ok_or_else(|| Problem::internal("a request without a peer"))?;
    match app.principals.load().of(&peer.certificate_sha256) {
        Some(principal) => {
            request.extensions_mut().insert(Caller(principal));
        }
        None if open => {}
        None => {
            return Err(Problem::new(
                Word::NotAllowed,
                "this client certificate is not registered",
            ));
        }
    }
    if !open {
        admit(&request)?;
    }
    Ok(next.run(request).await)
}

/// Whether the caller's role is named for the route. A path that is no route is left to the fallback.
fn admit(request: &Request) -> Result<(), Problem> {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
    let Some(Caller(principal)) = request.extensions().get::<Caller>() else {
        return Err(Problem::internal("a request without a principal"));
    };
    // HEAD is answered by the GET route, without the body (RFC 9110 §9.3.2).
    let method = if request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
    let Some(route) =
        ROUTES.iter().find(|route| route.path == path.as_str() && route.method == method)
    else {
        let known = ROUTES.iter().any(|route| route.path == path.as_str());
        let word = if known { Word::MethodNotAllowed } else { Word::NotAllowed };
        return Err(Problem::new(word, "no role may send this method to this route"));
    };
    if route.roles.contains(&principal.role) {
        return Ok(());
    }
    Err(Problem::new(
        Word::NotAllowed,
        "the role of this client certificate is not named for this route",
    ))
}

/// The caller of a request, registered and admitted.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Caller, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Problem::internal("a request without a principal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_named_twice_and_none_is_open_and_guarded() {
        let mut seen = HashSet::new();
        for route in ROUTES {
            assert!(seen.insert((route.method, route.path)));
            assert!(!OPEN.contains(&route.path) && !route.roles.is_empty());
        }
    }
}
