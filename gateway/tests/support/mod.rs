//! A node as a process of its own, with certificates made for the test, and a client that speaks bytes.
#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use gateway::{
    digest::Digest,
    store::{Change, OrderRecord, Store},
};
use order::OrderState;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sandbox::pki::{Identity, Pki, Usage};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

/// The program under test.
pub(crate) const MADOGUCHI: &str = env!("CARGO_BIN_EXE_madoguchi");
/// Every role, as the configuration names it.
pub(crate) const ROLES: [&str; 6] = ["sp", "counter", "carrier", "officer", "auditor", "enquiry"];
/// Enquiry ids of the two orders in the store, the first of our tenant.
pub(crate) const OWN: &str = "0000000000000OWN";
pub(crate) const FOREIGN: &str = "0000000000FOREIGN";
/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A node, its certificates and its directory; ends with the test.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) pki: Pki,
    pub(crate) address: SocketAddr,
    pub(crate) own_order: Uuid,
    pub(crate) foreign_order: Uuid,
    child: Child,
}

impl Desk {
    /// Starts a node whose principals serve tenant `carrier-a`; one order of it and one of another tenant are in its store.
    pub(crate) fn start() -> Desk {
        Desk::start_with("")
    }

    /// The same with more settings of the section `server`.
    pub(crate) fn start_with(server: &str) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path()).unwrap();
        pki.identity("node", Usage::Server).unwrap();
        let principals: Vec<Identity> =
            ROLES.iter().map(|role| pki.identity(role, Usage::Client).unwrap()).collect();
        pki.identity("unknown", Usage::Client).unwrap();
        write_private(&dir.path().join("kek"), &"5A".repeat(32));
        std::fs::write(
            dir.path().join("node.toml"),
            configuration(dir.path(), server, &principals),
        )
        .unwrap();
        let (own_order, foreign_order) = store_orders(dir.path());
        let child = spawn(dir.path());
        let mut desk = Desk {
            dir,
            pki,
            address: "127.0.0.1:1".parse().unwrap(),
            own_order,
            foreign_order,
            child,
        };
        desk.address = desk.wait_for_address();
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("node.log")).unwrap_or_default()
    }

    fn wait_for_address(&mut self) -> SocketAddr {
        let begun = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(self.path("address")) {
                return text.trim().parse().unwrap();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no node: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the node's own end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the node did not end: {}", self.log());
    }

    /// Arguments of a client verb in the name of `who`.
    pub(crate) fn client_arguments(&self, who: &str) -> Vec<String> {
        let file = |name: &str| self.path(name).display().to_string();
        [
            ("--server", format!("https://{}", self.address)),
            ("--cert", file(&format!("{who}.pem"))),
            ("--key", file(&format!("{who}.key"))),
            ("--ca", file("ca.pem")),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// A TLS connection in the name of `who`, or without a certificate.
    pub(crate) fn connect(
        &self,
        who: Option<&str>,
        alpn: &[&[u8]],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        connect(self.address, Arc::new(self.tls(who, alpn)))
    }

    pub(crate) fn tls(&self, who: Option<&str>, alpn: &[&[u8]]) -> ClientConfig {
        use gateway::server::tls;
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(Arc::new(tls::roots(&self.path("ca.pem")).unwrap()));
        let mut config = match who {
            None => config.with_no_client_auth(),
            Some(who) => config
                .with_client_auth_cert(
                    tls::certificates(&self.path(&format!("{who}.pem"))).unwrap(),
                    tls::private_key(&self.path(&format!("{who}.key"))).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// One request on a connection of its own: status and body.
    pub(crate) fn request(&self, who: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = self.connect(Some(who), &[b"http/1.1"]);
        stream.write_all(head.as_bytes()).unwrap();
        answer(&mut stream)
    }

    pub(crate) fn get(&self, who: &str, path: &str) -> (u16, Value) {
        self.request(who, "GET", path, "")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The node may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn connect(
    address: SocketAddr,
    tls: Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let session = ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
    StreamOwned::new(session, socket)
}

/// The status of an answer and its JSON body, or its text.
pub(crate) fn answer(stream: &mut impl Read) -> (u16, Value) {
    let mut bytes = Vec::new();
    // A peer that closes without close_notify has still answered.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let value = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    (status, value)
}

fn spawn(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("node.log")).unwrap();
    Command::new(MADOGUCHI)
        .args(["serve", "--json", "--config"])
        .arg(dir.join("node.toml"))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(dir.join("node.out")).unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn write_private(path: &Path, text: &str) {
    let options = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    options.unwrap().write_all(text.as_bytes()).unwrap();
}

fn configuration(dir: &Path, server: &str, principals: &[Identity]) -> String {
    let file = |name: &str| format!("{:?}", dir.join(name).display().to_string());
    let mut text = format!(
        r#"
[node]
id = "test-node"
data_dir = {data}
[server]
listen = "127.0.0.1:0"
address_file = {address}
certificate_file = {certificate}
key_file = {key}
client_ca_file = {ca}
client_crl_file = {crl}
first_byte_timeout_ms = 300
handshake_timeout_ms = 500
header_timeout_ms = 700
request_timeout_ms = 5000
drain_timeout_ms = 3000
{server}
[custody]
kek_file = {kek}
[authority]
audience = "urn:test"
skew_s = 30
lifetime_max_s = 900
issuers = []
[authority.policy]
version = "1"
methods = ["face_to_face"]
level_min = 2
calendars = ["day"]
access_code_mode = "required"
actions = {{ issue = ["municipal_counter"] }}
[[tenants]]
id = "carrier-a"
app_key_max_known_to = ["custody"]
[[tenants]]
id = "other"
app_key_max_known_to = ["custody"]
[[carriers]]
id = "carrier-a"
base_url = "https://127.0.0.1:1"
mode = "authorised"
ca_file = {ca}
certificate_file = {certificate}
key_file = {key}
[[routes]]
name = "sims"
tenant = "carrier-a"
carrier = "carrier-a"
iccid_prefix = "898110"
profile = "uicc-scp03-i70"
security_domain = "A000000151535001"
"#,
        data = file("data"),
        address = file("address"),
        certificate = file("node.pem"),
        key = file("node.key"),
        ca = file("ca.pem"),
        crl = file("crl.pem"),
        kek = file("kek"),
    );
    for identity in principals {
        let extra = match identity.name.as_str() {
            "carrier" => "carrier = \"carrier-a\"\n",
            "counter" => "terminal = \"terminal-1\"\n",
            _ => "",
        };
        text += &format!(
            "[[principals]]\nname = {name:?}\nrole = {name:?}\ntenants = [\"carrier-a\"]\n\
             certificate_sha256 = \"{digest}\"\n{extra}",
            name = identity.name,
            digest = hex::encode_upper(identity.sha256()),
        );
    }
    text
}

/// Two orders that wait for nobody the engine knows.
fn store_orders(dir: &Path) -> (Uuid, Uuid) {
    let data = dir.join("data");
    std::fs::create_dir(&data).unwrap();
    let store = Store::open(&data, "test-node").unwrap();
    let (own, foreign) = (order("carrier-a", OWN), order("other", FOREIGN));
    let ids = (own.id, foreign.id);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let changes = vec![Change::InsertOrder(own), Change::InsertOrder(foreign)];
    runtime.block_on(store.commit(changes, Vec::new())).unwrap();
    ids
}

fn order(tenant: &str, enquiry_id: &str) -> OrderRecord {
    OrderRecord {
        id: Uuid::now_v7(),
        caller_id: format!("order-of-{tenant}"),
        tenant: tenant.to_owned(),
        body_sha256: Digest::ZERO,
        request: "{}".to_owned(),
        service: "jpki-user-authentication".to_owned(),
        operation: "issue".to_owned(),
        se: "8981100000000000018".to_owned(),
        carrier: Some("carrier-a".to_owned()),
        profile: Some("uicc-scp03-i70".to_owned()),
        security_domain: None,
        state: OrderState::Prepared,
        code: None,
        authorization: None,
        payload: None,
        enquiry_id: enquiry_id.to_owned(),
        receipt: None,
        counter_receipt: None,
        opened: None,
        failures: 0,
        probes: 0,
        permits: 0,
        app_key_sha256: None,
        due_ms: None,
        created_ms: 1_000,
        updated_ms: 1_000,
        version: 0,
    }
}
