//! The configuration of a gateway node: shapes, defaults and bounds.
//!
//! `conf` loads it in layers (shipped < file < environment) and refuses unknown keys with their path; this module owns what the keys
//! mean. Every limit has a default, a least and a most, beside its field.

mod load;

use std::path::PathBuf;

use carriers::{json::JsonCarrierSettings, route::RouteRule};
use garde::Validate;
use scp::profile::{SeProfile, ServiceProfile};
use serde::{Deserialize, Serialize};

pub use load::{SettingsError, layers, load};

/// Everything a node needs to start.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who this node is and where it keeps its data.
    #[garde(dive)]
    pub node: Node,
    /// The listening side: TLS and deadlines.
    #[garde(dive)]
    pub server: Server,
    /// Where key sets and payloads are sealed.
    #[garde(dive)]
    pub custody: Custody,
    /// The durable executor's budgets.
    #[serde(default)]
    #[garde(dive)]
    pub engine: Engine,
    /// Issuers, terminals, clerks and the policy counter tokens are judged by.
    #[garde(skip)]
    pub authority: authority::Authority,
    /// Client certificates and what each may do.
    #[serde(default)]
    #[garde(length(max = 10_000), dive)]
    pub principals: Vec<PrincipalRule>,
    /// Subscriber bases.
    #[serde(default)]
    #[garde(length(max = 1_000), dive)]
    pub tenants: Vec<Tenant>,
    /// Legs to carriers' TSMs.
    #[serde(default)]
    #[garde(length(max = 1_000))]
    pub carriers: Vec<JsonCarrierSettings>,
    /// Which SE of which tenant goes to which carrier.
    #[serde(default)]
    #[garde(length(max = 100_000))]
    pub routes: Vec<RouteRule>,
    /// What each kind of SE is like; the shipped profiles are the first layer.
    #[serde(default)]
    #[garde(skip)]
    pub se_profiles: Vec<SeProfile>,
    /// The services delivered: AIDs, public values, the application probe.
    #[serde(default)]
    #[garde(skip)]
    pub services: Vec<Service>,
    /// Who may sign key material for a service.
    #[serde(default)]
    #[garde(length(max = 100), dive)]
    pub service_providers: Vec<ServiceProvider>,
    /// Set by `sandbox` alone: without it every entry marked `sandbox` is refused at start.
    #[serde(default)]
    #[garde(skip)]
    pub sandbox: bool,
}

impl Settings {
    /// The tenant of this name.
    pub fn tenant(&self, id: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == id)
    }

    /// The SE profile of this name.
    pub fn se_profile(&self, name: &str) -> Option<&SeProfile> {
        self.se_profiles.iter().find(|profile| profile.name == name)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.profile.name == name)
    }
}

/// Identity and data directory of a node.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name in logs, audit records and receipts.
    #[garde(length(min = 1, max = 64), pattern(r"^[0-9A-Za-z.-]+$"))]
    pub id: String,
    /// Directory of the store, the custody file and the receipt key.
    #[garde(skip)]
    pub data_dir: PathBuf,
}

/// The listening side.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    #[garde(skip)]
    pub listen: std::net::SocketAddr,
    /// Written with the bound address once the node is ready.
    #[serde(default)]
    #[garde(skip)]
    pub address_file: Option<PathBuf>,
    /// The node's certificate chain, PEM.
    #[garde(skip)]
    pub certificate_file: PathBuf,
    /// The node's private key, PEM.
    #[garde(skip)]
    pub key_file: PathBuf,
    /// The authorities client certificates chain to, PEM.
    #[garde(skip)]
    pub client_ca_file: PathBuf,
    /// Revocation lists for client certificates, PEM; read again on SIGHUP.
    #[serde(default)]
    #[garde(skip)]
    pub client_crl_file: Option<PathBuf>,
    /// From accept to the first byte.
    #[serde(default = "defaults::first_byte_timeout_ms")]
    #[garde(range(min = 100, max = 60_000))]
    pub first_byte_timeout_ms: u64,
    /// From the first byte to a finished TLS handshake.
    #[serde(default = "defaults::handshake_timeout_ms")]
    #[garde(range(min = 100, max = 60_000))]
    pub handshake_timeout_ms: u64,
    /// From a request's first byte to the end of its header.
    #[serde(default = "defaults::header_timeout_ms")]
    #[garde(range(min = 100, max = 60_000))]
    pub header_timeout_ms: u64,
    /// From the end of the header to the whole answer (streams apart).
    #[serde(default = "defaults::request_timeout_ms")]
    #[garde(range(min = 100, max = 300_000))]
    pub request_timeout_ms: u64,
    /// Largest request body.
    #[serde(default = "defaults::body_max_bytes")]
    #[garde(range(min = 1_024, max = 1_048_576))]
    pub body_max_bytes: usize,
    /// Connections at a time; more wait in the listen queue.
    #[serde(default = "defaults::connections_max")]
    #[garde(range(min = 16, max = 100_000))]
    pub connections_max: usize,
    /// Longest life of a connection, after which its certificate is checked anew.
    #[serde(default = "defaults::connection_age_max_s")]
    #[garde(range(min = 10, max = 86_400))]
    pub connection_age_max_s: u64,
    /// How long SIGTERM waits for open requests and running steps.
    #[serde(default = "defaults::drain_timeout_ms")]
    #[garde(range(min = 0, max = 600_000))]
    pub drain_timeout_ms: u64,
}

/// Sealed custody: AES-256-GCM per key under a key-encryption key from a file.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Custody {
    /// File with the key-encryption key, 64 hexadecimal digits, mode 0600 or stricter.
    #[garde(skip)]
    pub kek_file: PathBuf,
}

/// Budgets of the durable executor.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Orders worked on at a time.
    #[garde(range(min = 1, max = 4_096))]
    pub concurrency_max: usize,
    /// Attempts of one key write, each with its own permit and candidate.
    #[garde(range(min = 1, max = order::ATTEMPTS_MOST))]
    pub attempts_max: u32,
    /// Life of an authorization from its consumption.
    #[garde(range(min = 60, max = 2_592_000))]
    pub execute_by_s: u64,
    /// First wait after a carrier could not be reached; doubled up to the longest.
    #[garde(range(min = 10, max = 3_600_000))]
    pub backoff_first_ms: u64,
    /// Longest wait between two tries.
    #[garde(range(min = 10, max = 86_400_000))]
    pub backoff_max_ms: u64,
    /// Steps of one order that may fail in a row before it is parked.
    #[garde(range(min = 1, max = 1_000))]
    pub failures_max: u32,
    /// Probe sessions for one unresolved write before it is quarantined.
    #[garde(range(min = 1, max = 100))]
    pub probes_max: u32,
    /// ValidityPeriod given to the carrier with each script.
    #[garde(range(min = 1_000, max = 86_400_000))]
    pub script_validity_ms: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Engine {
            concurrency_max: 64,
            attempts_max: 2,
            execute_by_s: 72 * 3600,
            backoff_first_ms: 1_000,
            backoff_max_ms: 3_600_000,
            failures_max: 100,
            probes_max: 5,
            script_validity_ms: 60_000,
        }
    }
}

/// One client certificate is one principal.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRule {
    /// Name in logs and audit records.
    #[garde(length(min = 1, max = 128))]
    pub name: String,
    /// SHA-256 of the certificate's DER, 64 hexadecimal digits.
    #[garde(pattern(r"^[0-9A-Fa-f]{64}$"))]
    pub certificate_sha256: String,
    /// What it is allowed to be.
    #[garde(skip)]
    pub role: Role,
    /// The subscriber bases it may speak for.
    #[garde(length(max = 1_000))]
    pub tenants: Vec<String>,
    /// The carrier it is, for role `carrier`.
    #[serde(default)]
    #[garde(skip)]
    pub carrier: Option<String>,
    /// The terminal it is, for role `counter`.
    #[serde(default)]
    #[garde(skip)]
    pub terminal: Option<String>,
    /// Made by a sandbox; refused outside it.
    #[serde(default)]
    #[garde(skip)]
    pub sandbox: bool,
}

/// Roles; every route names those it admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The service provider: orders, key material, receipts.
    Sp,
    /// A municipal counter terminal.
    Counter,
    /// A carrier's TSM.
    Carrier,
    /// A security officer.
    Officer,
    /// Reads audit and evidence.
    Auditor,
    /// An enquiry desk.
    Enquiry,
}

/// A subscriber base: a carrier's or an MVNO's.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Lower-case name.
    #[garde(length(min = 1, max = 64), pattern(r"^[0-9a-z-]+$"))]
    pub id: String,
    /// Parties that may know the key set an application key is written under (`custody`, `carrier:<id>`, `vendor:<id>`).
    #[garde(length(max = 16))]
    pub app_key_max_known_to: Vec<String>,
    /// Made by a sandbox; refused outside it.
    #[serde(default)]
    #[garde(skip)]
    pub sandbox: bool,
}

/// A service and the load file it is installed from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// AIDs, public values and probe.
    pub profile: ServiceProfile,
    /// The CAP file LOADed to an SE that lacks it.
    pub cap_file: PathBuf,
}

/// A party whose signature on key material is accepted.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ServiceProvider {
    /// `kid` of its signatures.
    #[garde(length(min = 1, max = 128))]
    pub kid: String,
    /// ES256 public key: uncompressed P-256 point, base64url.
    #[garde(length(min = 80, max = 96))]
    pub public_key: String,
    /// The subscriber bases it serves.
    #[garde(length(max = 1_000))]
    pub tenants: Vec<String>,
    /// Made by a sandbox; refused outside it.
    #[serde(default)]
    #[garde(skip)]
    pub sandbox: bool,
}

mod defaults {
    pub(super) fn first_byte_timeout_ms() -> u64 {
        5_000
    }
    pub(super) fn handshake_timeout_ms() -> u64 {
        10_000
    }
    pub(super) fn header_timeout_ms() -> u64 {
        10_000
    }
    pub(super) fn request_timeout_ms() -> u64 {
        30_000
    }
    pub(super) fn body_max_bytes() -> usize {
        65_536
    }
    pub(super) fn connections_max() -> usize {
        4_096
    }
    pub(super) fn connection_age_max_s() -> u64 {
        3_600
    }
    pub(super) fn drain_timeout_ms() -> u64 {
        10_000
    }
}
