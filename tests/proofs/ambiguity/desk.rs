//! A gateway node as a library: real store, custody, engine and routes; no TLS, and a carrier of the test's own.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use carriers::{Carrier, route};
use gateway::{
    api,
    app::{App, Parts, SystemClock},
    custody::Custody,
    engine::{self, Engine, service::Services},
    principal::{Peer, Principals},
    receipt::Receipts,
    settings::Settings,
    store::{Change, Store},
};
use http::{Request, StatusCode};
use order::OrderState;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{Hpke, HpkePublicKey},
};
use sandbox::{
    cap::{self, Applet},
    identity_key::{DGIS, IdentityKey},
    jws::Signer,
    token::{Municipality, TokenDesk, TokenRequest},
};
use scp::{Aid, ServiceProfile};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::liar::CARRIER;

/// The Issuer Security Domain stands for ours: to the gateway a Security Domain is an AID and a key set.
pub(crate) const SECURITY_DOMAIN: &str = "A000000151000000";
/// Key Version Number of every first key set.
pub(crate) const FIRST_KVN: u8 = 0x30;
/// The one tenant.
pub(crate) const TENANT: &str = "carrier-a";

const AUDIENCE: &str = "ambiguity";
const TERMINAL: &str = "terminal-1";
const READER: &str = "reader-1";
const MUNICIPALITY: &str = "urn:jp:lgcode:102016";
/// Certificate digests of the three peers.
const ISSUER_PEER: [u8; 32] = [1; 32];
const COUNTER_PEER: [u8; 32] = [2; 32];
const CARRIER_PEER: [u8; 32] = [3; 32];
const DAY_S: i64 = 86_400;
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Of a request that met a change of the same order.
const TRIES_MAX: usize = 100;

/// A kind of SE: its profile and how its key sets are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) name: &'static str,
    pub(crate) i: u8,
    pub(crate) level: &'static str,
    pub(crate) adds: bool,
}

impl Product {
    pub(crate) fn has_r_mac(&self) -> bool {
        self.i & 0x20 != 0
    }

    fn profile(&self) -> Value {
        json!({
            "name": self.name,
            "i": format!("{:02X}", self.i),
            "key_length": "aes-128",
            "level": self.level,
            "put_key_block": "length-prefixed",
            "takeover": if self.adds { "add-then-delete" } else { "renumber" },
            "no_r_mac": !self.has_r_mac(),
        })
    }
}

/// Every product: pseudo-random and random challenges, with and without R-ENCRYPTION and R-MAC, both ways of takeover.
pub(crate) const PRODUCTS: [Product; 8] = [
    Product { name: "i70", i: 0x70, level: "33", adds: false },
    Product { name: "i60", i: 0x60, level: "33", adds: false },
    Product { name: "i20", i: 0x20, level: "13", adds: false },
    Product { name: "i10", i: 0x10, level: "03", adds: false },
    Product { name: "i70 add", i: 0x70, level: "33", adds: true },
    Product { name: "i60 add", i: 0x60, level: "33", adds: true },
    Product { name: "i20 add", i: 0x20, level: "13", adds: true },
    Product { name: "i10 add", i: 0x10, level: "03", adds: true },
];

/// An ICCID of the product's range.
pub(crate) fn iccid(product: usize, number: usize) -> String {
    format!("{}{number:011}", prefix(product))
}

fn prefix(product: usize) -> String {
    format!("89811{product:02}")
}

/// The node and everybody who speaks to it.
pub(crate) struct Desk {
    pub(crate) app: App,
    pub(crate) identity: IdentityKey,
    service: ServiceProfile,
    router: Router,
    provider: Signer,
    counter: TokenDesk,
    seq: AtomicU64,
    engine: Option<Engine>,
    _directory: TempDir,
}

impl Desk {
    /// A node whose engine does not run yet.
    pub(crate) async fn new(carrier: Arc<dyn Carrier>) -> Desk {
        let directory = tempfile::tempdir().expect("a folder");
        let text =
            fs::read_to_string(tests::root().join("conf/services/jpki-user-authentication.toml"));
        let service: ServiceProfile =
            toml::from_str(&text.expect("the service")).expect("a service");
        let provider = Signer::generate("sp-1").expect("a key");
        let municipality = Municipality {
            id: MUNICIPALITY.to_owned(),
            office: "office".to_owned(),
            clerk: "clerk-1".to_owned(),
            signer: Signer::generate("counter-1").expect("a key"),
            access_code_key: Zeroizing::new(vec![0x11; 16]),
        };
        let counter = TokenDesk {
            municipality: Arc::new(municipality),
            terminal: TERMINAL.to_owned(),
            reader: READER.to_owned(),
            certificate_sha256: COUNTER_PEER,
        };
        let settings = settings(directory.path(), &service, &provider, &counter);
        let services = Services::load(&settings.services).expect("the service's CAP file");
        let (app, wakes) = assemble(settings, carrier).await;
        Desk {
            identity: identity(),
            service,
            router: api::router(app.clone()),
            provider,
            counter,
            seq: AtomicU64::new(1),
            engine: Some(Engine::new(app.clone(), Arc::new(services), wakes)),
            app,
            _directory: directory,
        }
    }

    /// Lets the engine run until the sender says stop.
    pub(crate) fn start_engine(&mut self) -> (watch::Sender<bool>, JoinHandle<()>) {
        let (stop, stopped) = watch::channel(false);
        let engine = self.engine.take().expect("an engine that does not run yet");
        (stop, tokio::spawn(engine.run(stopped)))
    }

    /// The carrier hands the first key set over.
    pub(crate) async fn hand_over(&self, product: &Product, se: &str, keys: &[Vec<u8>; 3]) {
        let clear = keys.concat();
        let aad = format!("{TENANT}\n{se}\n{SECURITY_DOMAIN}\n{FIRST_KVN:02X}");
        let (enc, ciphertext) = self.seal("madoguchi key-set hand-over v1", &aad, &clear).await;
        let kcv: String = keys.iter().map(|key| check_value(key)).collect();
        let body = json!({
            "tenant": TENANT, "se": { "iccid": se }, "sd": SECURITY_DOMAIN, "kvn": format!("{FIRST_KVN:02X}"),
            "key_length": 128, "profile": product.name, "wrapped": { "enc": enc, "ciphertext": ciphertext },
            "kcv": kcv,
        });
        self.post(CARRIER_PEER, "/v1/key-sets", &body).await;
    }

    /// The service provider orders; the answer is the order's id.
    pub(crate) async fn submit(&self, se: &str) -> Uuid {
        let id = format!("order-{se}");
        let expires_s = now_s() + DAY_S;
        let dgis: Vec<String> = DGIS.iter().map(|dgi| format!("{dgi:04X}")).collect();
        let applet = self.service.applet.to_string();
        let aad = format!("{TENANT}\n{id}\n{se}\n{applet}\n{}\n{expires_s}", dgis.join(","));
        let clear: serde_json::Map<String, Value> = DGIS
            .iter()
            .filter_map(|dgi| {
                Some((
                    format!("{dgi:04X}"),
                    json!(hex::encode_upper(self.identity.data_grouping(*dgi)?)),
                ))
            })
            .collect();
        let clear = Value::Object(clear).to_string();
        let (enc, ciphertext) =
            self.seal("madoguchi personalization v1", &aad, clear.as_bytes()).await;
        let claims = json!({
            "tenant": TENANT, "order": id, "se": se, "applet": applet, "dgis": dgis, "expires_s": expires_s,
            "public_key_sha256": self.key_sha256(), "enc": enc, "ciphertext": ciphertext,
        });
        let header = self.provider.header("sp-personalization+jwt");
        let personalization = self.provider.sign(&header, &claims).expect("a signature");
        let body = json!({
            "id": id, "tenant": TENANT, "service": self.service.name, "operation": "issue",
            "se": { "iccid": se }, "personalization": personalization,
        });
        let order = self.post(ISSUER_PEER, "/v1/orders", &body).await;
        order["id"].as_str().and_then(|id| id.parse().ok()).expect("an order's id")
    }

    /// Says of an order that it is prepared: without R-MAC the engine believes no registry it reads.
    pub(crate) async fn say_prepared(&self, product: &Product, order: Uuid) {
        let mut record = self.app.store.order(order).await.expect("the store").expect("the order");
        record.state = OrderState::Prepared;
        record.carrier = Some(CARRIER.to_owned());
        record.profile = Some(product.name.to_owned());
        record.security_domain = Some(security_domain());
        record.due_ms = None;
        self.app.store.commit(vec![Change::UpdateOrder(record)], Vec::new()).await.expect("stored");
    }

    /// The applicant at the counter: open, sign, authorize.
    pub(crate) async fn authorize(&self, order: Uuid, se: &str) {
        let body = json!({ "order": order, "se": { "iccid": se }, "terminal": TERMINAL, "reader": READER });
        let opened = self.post(COUNTER_PEER, "/v1/counter/open", &body).await;
        let request = TokenRequest {
            details: &opened["authorization_details"][0],
            audience: AUDIENCE,
            access_code: None,
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            now_s: now_s(),
            defect: None,
        };
        let token = self.counter.sign(&request).expect("a token");
        self.post(
            COUNTER_PEER,
            "/v1/counter/authorize",
            &json!({ "order": order, "token": token }),
        )
        .await;
    }

    /// SHA-256 of the public key every order brings, upper-case hex.
    pub(crate) fn key_sha256(&self) -> String {
        sandbox::issuer::sha256_hex(&self.identity.public_key)
    }

    async fn seal(&self, info: &str, aad: &str, clear: &[u8]) -> (String, String) {
        let key = self.app.custody.transport_key().await.expect("custody").public_key;
        let key = HpkePublicKey(hex::decode(key).expect("a key"));
        let (enc, ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
            .seal(info.as_bytes(), aad.as_bytes(), clear, &key)
            .expect("sealed");
        (hex::encode_upper(enc.0), hex::encode_upper(ciphertext))
    }

    /// Asks until nothing else changes the order at the same moment.
    async fn post(&self, peer: [u8; 32], path: &str, body: &Value) -> Value {
        for _ in 0..TRIES_MAX {
            let (status, bytes) = self.try_post(peer, path, body).await;
            if status.is_success() {
                return serde_json::from_slice(&bytes).expect("JSON");
            }
            let text = String::from_utf8_lossy(&bytes);
            assert!(status == StatusCode::CONFLICT, "{path}: {status} {text}");
            tokio::task::yield_now().await;
        }
        panic!("{path}: the order never stands still");
    }

    async fn try_post(&self, peer: [u8; 32], path: &str, body: &Value) -> (StatusCode, Bytes) {
        let mut request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        request.extensions_mut().insert(Peer { certificate_sha256: peer, address });
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status();
        (status, to_bytes(response.into_body(), ANSWER_MAX_BYTES).await.expect("an answer"))
    }
}

/// The Security Domain's AID.
pub(crate) fn security_domain() -> Aid {
    SECURITY_DOMAIN.parse().expect("an AID")
}

async fn assemble(settings: Settings, carrier: Arc<dyn Carrier>) -> (App, engine::Wakes) {
    let data_dir = &settings.node.data_dir;
    let custody = Custody::open(data_dir, &settings.custody.kek_file).expect("custody");
    let store = Store::open(data_dir, &settings.node.id).expect("the store");
    let (handle, wakes) = engine::channel();
    let app = App::new(Parts {
        receipts: Receipts::open(&custody, &settings.node.id).await.expect("a receipt key"),
        store,
        custody,
        carriers: HashMap::from([(CARRIER.to_owned(), carrier)]),
        router: route::Router::new(settings.routes.clone()).expect("routes"),
        authority: ArcSwap::from_pointee(settings.authority.clone()),
        principals: ArcSwap::from_pointee(
            Principals::new(&settings.principals).expect("principals"),
        ),
        settings,
        engine: handle,
        clock: Arc::new(SystemClock),
    });
    (app, wakes)
}

fn settings(
    directory: &Path,
    service: &ServiceProfile,
    provider: &Signer,
    counter: &TokenDesk,
) -> Settings {
    let data = directory.join("data");
    fs::create_dir(&data).expect("a folder");
    let kek = directory.join("kek");
    fs::write(&kek, "5A".repeat(32)).expect("a file");
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).expect("a mode");
    let cap_file = directory.join("applet.cap");
    let applet = Applet { package: service.load_file, module: service.module };
    fs::write(&cap_file, cap::assemble(&applet).expect("a CAP file")).expect("a file");
    let routes: Vec<Value> = PRODUCTS.iter().enumerate().map(route).collect();
    let principal = |name: &str, role: &str, digest: [u8; 32]| json!({ "name": name, "role": role, "tenants": [TENANT], "certificate_sha256": hex::encode_upper(digest) });
    let mut principals = [
        principal("issuer", "sp", ISSUER_PEER),
        principal("terminal", "counter", COUNTER_PEER),
        principal("tsm", "carrier", CARRIER_PEER),
    ];
    principals[1]["terminal"] = json!(TERMINAL);
    principals[2]["carrier"] = json!(CARRIER);
    let settings = json!({
        "sandbox": true,
        "node": { "id": "ambiguity", "data_dir": data },
        "server": { "listen": "127.0.0.1:0", "certificate_file": "none", "key_file": "none", "client_ca_file": "none" },
        "custody": { "kek_file": kek },
        "engine": {
            "concurrency_max": 4_096, "attempts_max": 2, "backoff_first_ms": 10, "backoff_max_ms": 40,
            "failures_max": 20, "probes_max": 20,
        },
        "authority": authority(counter),
        "principals": principals,
        "tenants": [{ "id": TENANT, "app_key_max_known_to": ["custody", format!("carrier:{CARRIER}")] }],
        "routes": routes,
        "se_profiles": PRODUCTS.iter().map(Product::profile).collect::<Vec<_>>(),
        "services": [{ "profile": service, "cap_file": cap_file }],
        "service_providers": [{
            "kid": provider.kid(), "public_key": URL_SAFE_NO_PAD.encode(provider.public_key()), "tenants": [TENANT],
        }],
    });
    serde_json::from_value(settings).expect("settings")
}

fn route((at, product): (usize, &Product)) -> Value {
    json!({
        "name": product.name, "tenant": TENANT, "carrier": CARRIER, "iccid_prefix": prefix(at),
        "profile": product.name, "security_domain": SECURITY_DOMAIN,
    })
}

fn authority(counter: &TokenDesk) -> Value {
    let signer = &counter.municipality.signer;
    json!({
        "audience": AUDIENCE, "skew_s": 30, "lifetime_max_s": 900,
        "policy": {
            "version": "1", "methods": ["face_to_face"], "level_min": 2, "calendars": ["day"],
            "access_code_mode": "omitted_terminal_bound", "actions": { "issue": ["municipal_counter"] },
        },
        "issuers": [{
            "id": MUNICIPALITY, "class": "municipal_counter", "status": "active", "algorithms": ["ES256"],
            "keys": { "pinned": [{
                "kid": signer.kid(), "alg": "ES256", "public_key": URL_SAFE_NO_PAD.encode(signer.public_key()),
            }] },
            "terminals": [{
                "id": TERMINAL, "certificate_sha256": hex::encode_upper(COUNTER_PEER), "readers": [READER],
            }],
            "clerks": [{ "id": "clerk-1" }],
        }],
    })
}

fn identity() -> IdentityKey {
    let params = CertificateParams::new(Vec::new()).expect("parameters");
    let authority = Issuer::new(params, KeyPair::generate().expect("a key"));
    IdentityKey::generate(&authority, "pseudonym", "4711".to_owned()).expect("an identity")
}

/// Three bytes of a block of 01 encrypted (AmdD §7.2.2).
fn check_value(key: &[u8]) -> String {
    let key = UnboundCipherKey::new(&AES_128, key).expect("an AES key");
    let mut block = vec![0x01; 16];
    let zero = EncryptionContext::Iv128(FixedLength::from(&[0_u8; 16]));
    let key = EncryptingKey::cbc(key).expect("a cipher");
    key.less_safe_encrypt(&mut block, zero).expect("a block");
    hex::encode_upper(&block[..3])
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_secs()).expect("a clock of this age")
}
