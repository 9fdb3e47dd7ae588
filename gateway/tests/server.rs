//! The listening side from outside: who gets in, how long anything may take, how much may be sent.

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway::{principal, settings::Role};
use rustls::{HandshakeKind, NamedGroup};
use serde_json::Value;
use support::{Desk, FOREIGN, OWN, PATIENCE, answer, connect};

fn role_name(role: Role) -> String {
    serde_json::to_value(role).unwrap().as_str().unwrap().to_owned()
}

/// How long the peer keeps a stream open on which nothing more is sent.
fn closed_after(stream: &mut impl Read, begun: Instant) -> Duration {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    begun.elapsed()
}

#[test]
fn every_wait_has_a_deadline() {
    let desk = Desk::start();
    let within = |elapsed: Duration, least_ms: u64| {
        let least = Duration::from_millis(least_ms);
        assert!(elapsed >= least && elapsed < least + Duration::from_secs(3), "{elapsed:?}");
    };

    let begun = Instant::now();
    let mut silent = TcpStream::connect(desk.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    within(closed_after(&mut silent, begun), 250);

    let begun = Instant::now();
    let mut half = TcpStream::connect(desk.address).unwrap();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    half.write_all(&[0x16]).unwrap();
    within(closed_after(&mut half, begun), 450);

    for alpn in [&b"http/1.1"[..], b"h2"] {
        let mut idle = desk.connect(Some("sp"), &[alpn]);
        idle.flush().unwrap();
        within(closed_after(&mut idle, Instant::now()), 600);
    }

    let mut slow = desk.connect(Some("sp"), &[b"http/1.1"]);
    slow.write_all(b"GET /healthz HTT").unwrap();
    within(closed_after(&mut slow, Instant::now()), 600);

    // A whole header and a body that never comes: the request's own deadline answers.
    let mut stuck = desk.connect(Some("sp"), &[b"http/1.1"]);
    let head = "POST /v1/orders HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stuck.write_all(head.as_bytes()).unwrap();
    let begun = Instant::now();
    let (status, problem) = answer(&mut stuck);
    assert_eq!((status, problem["code"].as_str()), (503, Some("too_slow")));
    within(begun.elapsed(), 4_900);
    assert_eq!(desk.get("sp", "/healthz").0, 200, "others were served meanwhile");
}

#[test]
fn beyond_the_cap_connections_wait_their_turn() {
    let desk = Desk::start_with("connections_max = 16");
    let silent: Vec<TcpStream> =
        (0..16).map(|_| TcpStream::connect(desk.address).unwrap()).collect();
    let begun = Instant::now();
    assert_eq!(desk.get("sp", "/healthz").0, 200, "served once a silent peer's time was up");
    assert!(begun.elapsed() > Duration::from_millis(200), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn a_large_body_is_refused_and_the_answer_is_seen() {
    let desk = Desk::start();
    let megabyte = vec![b' '; 1 << 20];
    for chunked in [false, true] {
        let mut stream = desk.connect(Some("sp"), &[b"http/1.1"]);
        let framing =
            if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 104857600" };
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
             Content-Type: application/json\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..100 {
            if chunked {
                stream.write_all(b"100000\r\n").unwrap();
                stream.write_all(&megabyte).unwrap();
                stream.write_all(b"\r\n").unwrap();
            } else {
                stream.write_all(&megabyte).unwrap();
            }
        }
        let (status, problem) = answer(&mut stream);
        assert_eq!(
            (status, problem["code"].as_str()),
            (413, Some("too_large")),
            "chunked: {chunked}"
        );
    }
    assert_eq!(desk.get("sp", "/readyz").0, 200);
}

#[test]
fn only_certificates_of_our_authority_get_in_and_nothing_is_resumed() {
    let desk = Desk::start();
    let mut nobody = desk.connect(None, &[b"http/1.1"]);
    let _ = nobody.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n");
    assert_eq!(answer(&mut nobody).0, 0, "no certificate, no answer");

    let tls = Arc::new(desk.tls(Some("sp"), &[b"http/1.1"]));
    for _ in 0..2 {
        let mut stream = connect(desk.address, Arc::clone(&tls));
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
            .unwrap();
        assert_eq!(answer(&mut stream).0, 200);
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
    }
}

#[test]
fn a_revoked_certificate_is_out_after_a_reload_even_on_an_open_connection() {
    let desk = Desk::start();
    let terminal = desk.pki.identity("terminal", sandbox::pki::Usage::Client).unwrap();
    let mut open = desk.connect(Some("terminal"), &[b"http/1.1"]);
    open.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    let mut first = [0; 12];
    open.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    desk.pki.revoke(&[&terminal]).unwrap();
    desk.signal("-HUP");
    let begun = Instant::now();
    while !desk.log().contains("reloaded") {
        assert!(begun.elapsed() < PATIENCE, "{}", desk.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest);
    let mut again = desk.connect(Some("terminal"), &[b"http/1.1"]);
    let _ = again.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n");
    assert_eq!(answer(&mut again).0, 0);
    assert_eq!(desk.get("sp", "/healthz").0, 200);
}

#[test]
fn every_route_admits_exactly_the_roles_named() {
    let desk = Desk::start();
    let absent = uuid::Uuid::now_v7().to_string();
    for route in principal::ROUTES {
        let path: String = route
            .path
            .split('/')
            .map(|part| if part.starts_with('{') { absent.as_str() } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for role in principal::ANY {
            let (status, body) = desk.request(&role_name(*role), route.method, &path, "{}");
            let refused = status == 403 && body["code"] == "not_allowed";
            assert_eq!(
                !refused,
                route.roles.contains(role),
                "{role:?} {} {path}: {status} {body}",
                route.method
            );
        }
        let (status, body) = desk.request("unknown", route.method, &path, "{}");
        assert_eq!((status, body["code"].as_str()), (403, Some("not_allowed")), "{path}");
        let (status, body) = desk.request("sp", "DELETE", &path, "");
        assert_eq!((status, body["code"].as_str()), (405, Some("method_not_allowed")), "{path}");
    }
    for open in ["/healthz", "/readyz", "/metrics", "/problems/T09"] {
        assert_eq!(desk.get("unknown", open).0, 200, "{open}");
        let (status, body) = desk.request("sp", "POST", open, "{}");
        assert_eq!((status, body["code"].as_str()), (405, Some("method_not_allowed")), "{open}");
    }
    assert_eq!(desk.get("unknown", "/v1/nothing").0, 403);
    assert_eq!(desk.get("sp", "/v1/nothing").0, 404);
}

#[test]
fn another_tenants_object_looks_like_none() {
    let desk = Desk::start();
    let (own, foreign) = (desk.own_order, desk.foreign_order);
    for (path, id, foreign_id) in [
        ("/v1/orders/", own.to_string(), foreign.to_string()),
        ("/v1/enquiries/", OWN.to_owned(), FOREIGN.to_owned()),
    ] {
        assert_eq!(desk.get("sp", &format!("{path}{id}")).0, 200);
        let (status, foreign) = desk.get("sp", &format!("{path}{foreign_id}"));
        let (absent_status, absent) = desk.get("sp", &format!("{path}{}", uuid::Uuid::now_v7()));
        assert_eq!(
            (status, &foreign["code"], &foreign["detail"]),
            (absent_status, &absent["code"], &absent["detail"])
        );
        assert_eq!(status, 404);
    }
    for (role, method, path) in [
        ("sp", "GET", format!("/v1/orders/{foreign}/events")),
        ("sp", "POST", format!("/v1/orders/{foreign}/cancel")),
        ("auditor", "GET", format!("/v1/receipts/{foreign}")),
        ("counter", "GET", format!("/v1/counter/status/{foreign}")),
        ("officer", "GET", "/v1/orders?tenant=other".to_owned()),
        ("sp", "POST", format!("/v1/orders/{foreign}/resume")),
        // The trail is one for all tenants.
        ("auditor", "GET", "/v1/audit".to_owned()),
    ] {
        assert_eq!(desk.request(role, method, &path, "{}").0, 404, "{path}");
    }
    let (_, list) = desk.get("auditor", "/v1/orders");
    let ids: Vec<&str> = list["orders"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|order| order["id"].as_str())
        .collect();
    assert_eq!(ids, [own.to_string()]);
}

#[test]
fn an_order_is_watched_cancelled_and_cannot_be_cancelled_twice() {
    let desk = Desk::start();
    let own = desk.own_order;
    let mut events = desk.connect(Some("sp"), &[b"http/1.1"]);
    let head =
        format!("GET /v1/orders/{own}/events HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    events.write_all(head.as_bytes()).unwrap();
    let mut begin = [0; 12];
    events.read_exact(&mut begin).unwrap();
    let (status, order) = desk.request("sp", "POST", &format!("/v1/orders/{own}/cancel"), "");
    assert_eq!((status, order["state"].as_str()), (200, Some("Cancelled")));
    // The stream ends by itself, with the state at its beginning and at its end.
    let mut seen = Vec::new();
    let _ = events.read_to_end(&mut seen);
    let seen = String::from_utf8(seen).unwrap();
    assert!(
        seen.contains("event: order")
            && seen.contains("\"Prepared\"")
            && seen.contains("\"Cancelled\""),
        "{seen}"
    );
    let (status, problem) = desk.request("sp", "POST", &format!("/v1/orders/{own}/cancel"), "");
    assert_eq!((status, problem["code"].as_str()), (409, Some("illegal_state")));
    assert_eq!(problem["enquiry_id"], OWN);
}

#[test]
fn problems_have_one_shape_and_their_type_explains_them() {
    let desk = Desk::start();
    let (status, problem) = desk.request("sp", "POST", "/v1/orders", r#"{"id":1}"#);
    assert_eq!(status, 400);
    for member in ["type", "title", "status", "detail", "code", "retry", "instance"] {
        assert!(!problem[member].is_null(), "{member} in {problem}");
    }
    assert_eq!(problem["type"], "/problems/bad_request");
    let (status, text) = desk.get("unknown", "/problems/bad_request");
    assert_eq!(status, 200);
    assert!(text.as_str().unwrap().contains(problem["title"].as_str().unwrap()));
    assert_eq!(desk.get("unknown", "/problems/nothing").0, 404);
    let (_, metrics) = desk.get("sp", "/metrics");
    let Value::String(metrics) = metrics else { panic!("{metrics}") };
    assert!(
        metrics.contains("madoguchi_requests_total{") && !metrics.contains("8981100000000000018")
    );
}

#[test]
fn a_drained_node_ends_in_order() {
    let mut desk = Desk::start();
    assert_eq!(desk.get("sp", "/readyz").0, 200);
    desk.signal("-TERM");
    assert_eq!(desk.wait(), Some(0));
    let out = std::fs::read_to_string(desk.path("node.out")).unwrap();
    let document: Value = serde_json::from_str(out.trim_end()).unwrap();
    assert_eq!(document["served"]["drained"], true);
    assert_eq!(out.lines().count(), 1);
}
