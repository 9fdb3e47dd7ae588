//! Everything a rehearsal needs, running: carriers' TSMs with their SEs, the gateway as a child process, issuer, counters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use carriers::Mode;
use conf::shipped::Shipped;
use scp::{
    Aid,
    profile::{SeProfile, ServiceProfile},
};
use se::SecureElement;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    api::{Audit, AuditRecord, TransportKey},
    cap::{self, Applet},
    client::{CallError, Client},
    config::{KnownTo, Leg, Plan, Principal, Role, SE_PROFILE},
    counter::{Counter, TerminalFile},
    document::{AuditHead, SeLedger, TsmCounts},
    error::SandboxError,
    fleet::{self, CARRIER_A, CARRIER_B, MVNO, Subscriber},
    gateway::{Gateway, GatewayFiles},
    issuer::IssuerDesk,
    jws::Signer,
    pki::{Identity, Pki, PkiError, Usage},
    progress::Progress,
    random, reader,
    token::{Municipality, TokenDesk},
    tsm::{FleetSe, SecurityDomainSettings, Tsm, TsmSettings},
};

/// The service rehearsed, one of those that ship.
const SERVICE: &str = "jpki-user-authentication";
/// AID of our Security Domain on every SE.
const SECURITY_DOMAIN: &str = "A000000151535001";
/// Key Version Number of every first key set, the Issuer Security Domains' and ours.
pub const FIRST_KVN: u8 = 0x30;
/// Model of the counters' readers.
const READER: &str = "reader-1";

/// How a platform is to be set up.
#[derive(Debug, Clone)]
pub struct PlatformOptions {
    /// Where everything goes; it exists and is empty.
    pub directory: PathBuf,
    /// The program that has `serve`.
    pub executable: PathBuf,
    /// SEs of each subscriber base.
    pub subscribers_per_base: u32,
    /// Whether the SEs live in files.
    pub ses_in_files: bool,
    /// Who may know the key set an application key is written under.
    pub known_to: KnownTo,
    /// Whether carrier A gives its first two SEs one and the same first key set.
    pub shared_key_set: bool,
}

/// Parties' certificates.
struct Parties {
    gateway: Identity,
    towards_tsms: Identity,
    issuer: Identity,
    terminals: [Identity; 3],
    tsms: [(&'static str, Identity, Identity); 2],
    officer: Identity,
    auditor: Identity,
    enquiry: Identity,
}

/// A running platform.
pub struct Platform {
    /// Where everything is.
    pub directory: PathBuf,
    /// Every SE's subscriber.
    pub subscribers: Vec<Subscriber>,
    /// The gateway.
    pub gateway: Gateway,
    /// The issuer.
    pub issuer: IssuerDesk,
    /// A counter in good standing.
    pub counter: Counter,
    /// Another, with another certificate.
    pub other_counter: Counter,
    /// One whose terminal was withdrawn.
    pub revoked_counter: Counter,
    /// The service.
    pub service: ServiceProfile,
    /// Our Security Domain on every SE.
    pub security_domain: Aid,
    /// Codes of refused hand-overs, by ICCID.
    pub refused_hand_overs: BTreeMap<String, String>,
    auditor: Client,
    tsms: BTreeMap<String, Tsm>,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Platform {
    /// Makes certificates and SEs, starts the TSMs and the gateway, hands the first key sets over.
    ///
    /// # Errors
    /// [`SandboxError`] by what could not be made or started.
    pub async fn start(
        options: &PlatformOptions,
        progress: &Progress,
    ) -> Result<Platform, SandboxError> {
        let directory = options.directory.as_path();
        for name in ["pki", "se", "tsm", "store", "receipts", "tokens", "counter"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(SandboxError::file(&path))?;
        }
        progress.step("making certificates for every party");
        let pki = Pki::create(&directory.join("pki"))?;
        let parties = Parties::create(&pki)?;
        let service = shipped_service()?;
        let security_domain = aid(SECURITY_DOMAIN)?;
        let municipality = municipality(directory)?;
        let desks = parties.terminals.each_ref().map(|identity| TokenDesk {
            municipality: Arc::clone(&municipality),
            terminal: identity.name.clone(),
            reader: READER.to_owned(),
            certificate_sha256: identity.sha256(),
        });
        write_terminal_file(directory, &desks[0], &parties.terminals[0])?;

        let subscribers = fleet::subscribers(options.subscribers_per_base);
        progress.step("starting the carriers' TSMs, each with its secure elements");
        let tsms = start_tsms(options, &pki, &parties, &subscribers, security_domain).await?;
        let legs: Vec<Leg> = tsms
            .iter()
            .map(|(id, tsm)| Leg { id: id.clone(), mode: mode(id), base_url: tsm.base_url() })
            .collect();

        let service_provider = Signer::generate("sandbox-sp-1")?;
        let plan = Plan {
            directory,
            pki: &pki,
            server: &parties.gateway,
            towards_tsms: &parties.towards_tsms,
            principals: parties.principals(),
            legs: &legs,
            municipality: &municipality,
            terminals: desks.iter().collect(),
            revoked_terminals: vec![&desks[2].terminal],
            service_provider: &service_provider,
            service: &service,
            cap_file: write_cap(directory, &service)?,
            security_domain,
            known_to: options.known_to,
            kek_file: write_secret(directory, "custody.kek", &random::bytes::<32>())?,
            access_code_key_file: access_code_key_file(directory),
        };
        progress.step("starting the gateway as a process of its own");
        let gateway = start_gateway(&plan, &options.executable).await?;
        let base_url = gateway.base_url();
        let client = |identity: &Identity| -> Result<Client, PkiError> {
            Ok(Client::new(&base_url, pki.client_tls(identity)?))
        };
        let [counter, other_counter, revoked_counter] = {
            let [first, second, third] = desks;
            let [one, two, three] = parties.terminals.each_ref();
            [
                Counter::new(client(one)?, first),
                Counter::new(client(two)?, second),
                Counter::new(client(three)?, third),
            ]
        };
        let mut platform = Platform {
            directory: directory.to_owned(),
            issuer: IssuerDesk::new(
                client(&parties.issuer)?,
                service_provider,
                &service.name,
                service.applet,
            )?,
            auditor: client(&parties.auditor)?,
            subscribers,
            gateway,
            counter,
            other_counter,
            revoked_counter,
            service,
            security_domain,
            refused_hand_overs: BTreeMap::new(),
            tsms,
        };
        progress.step("handing the first key sets over, sealed to custody");
        for (id, _, identity) in &parties.tsms {
            platform.hand_over(id, &client(identity)?, options.shared_key_set).await?;
        }
        Ok(platform)
    }

    /// Ends the gateway in good order, then everything else.
    pub async fn stop(self) {
        self.gateway.stop().await;
    }

    /// The TSM of a carrier.
    ///
    /// # Errors
    /// [`SandboxError::Platform`] if there is none.
    pub fn tsm(&self, carrier: &str) -> Result<&Tsm, SandboxError> {
        self.tsms.get(carrier).ok_or_else(|| SandboxError::Platform {
            carrier: carrier.to_owned(),
            reason: "there is no such platform".to_owned(),
        })
    }

    /// Holds a subscriber's SE in the hand: what a reader at the counter or a phone does.
    ///
    /// # Errors
    /// [`SandboxError::Platform`] if the TSM does not know the SE.
    pub fn with_se<T>(
        &self,
        subscriber: &Subscriber,
        act: impl FnOnce(&mut SecureElement) -> T,
    ) -> Result<T, SandboxError> {
        let tsm = self.tsm(&subscriber.carrier)?;
        tsm.with_se(&subscriber.iccid, act).ok_or_else(|| SandboxError::Platform {
            carrier: subscriber.carrier.clone(),
            reason: format!("it has no SE {}", subscriber.iccid),
        })
    }

    /// Every SE's own account.
    ///
    /// # Errors
    /// [`SandboxError::Platform`] if an SE is gone.
    pub fn ledgers(&self) -> Result<BTreeMap<String, SeLedger>, SandboxError> {
        let ledger = |subscriber: &Subscriber| {
            let ledger = self.with_se(subscriber, |se| SeLedger::of(se))?;
            Ok((subscriber.iccid.clone(), ledger))
        };
        self.subscribers.iter().map(ledger).collect()
    }

    /// Every TSM's counts.
    #[must_use]
    pub fn tsm_counts(&self) -> BTreeMap<String, TsmCounts> {
        let counts = |(id, tsm): (&String, &Tsm)| {
            let stats = tsm.stats();
            let counts = TsmCounts {
                scripts: stats.scripts,
                key_write_scripts: stats.key_write_scripts,
                duplicates: stats.duplicates,
            };
            (id.clone(), counts)
        };
        self.tsms.iter().map(counts).collect()
    }

    /// The log of every script a TSM received.
    #[must_use]
    pub fn tsm_log(&self, carrier: &str) -> PathBuf {
        tsm_log(&self.directory, carrier)
    }

    /// Where the gateway's audit chain stands.
    ///
    /// # Errors
    /// [`SandboxError::Call`] by blame.
    pub async fn audit_head(&self) -> Result<AuditHead, SandboxError> {
        let audit: Audit = self.auditor.get("/v1/audit?limit=1").await?;
        Ok(AuditHead { records: audit.size, head: audit.head })
    }

    /// What the gateway answers an auditor's GET, as text.
    ///
    /// # Errors
    /// [`SandboxError::Call`] if there is no answer.
    pub async fn shown(&self, path: &str) -> Result<String, SandboxError> {
        Ok(self.auditor.text(path).await?)
    }

    /// ICCIDs of the SEs on which some key write was Unresolved for a time, by the audit chain.
    ///
    /// # Errors
    /// [`SandboxError::Call`] by blame.
    pub async fn doubted_ses(&self) -> Result<BTreeSet<String>, SandboxError> {
        let is_doubt = |record: &AuditRecord| {
            record.kind == "verdict" && record.detail["verdict"] == "Unresolved"
        };
        let mut doubted = BTreeSet::new();
        let mut next = 1;
        loop {
            let page: Audit = self.auditor.get(&format!("/v1/audit?from={next}")).await?;
            let Some(last) = page.records.last() else { return Ok(doubted) };
            next = last.index + 1;
            doubted.extend(page.records.into_iter().filter(is_doubt).filter_map(|it| it.se));
        }
    }

    /// Hands a carrier's first key sets over. Where the gateway is to refuse some of them, refusals are kept, not errors.
    async fn hand_over(
        &mut self,
        carrier: &str,
        client: &Client,
        may_be_refused: bool,
    ) -> Result<(), SandboxError> {
        let key: TransportKey = client.get("/v1/custody/transport-key").await?;
        let mut refused = BTreeMap::new();
        for subscriber in self.subscribers.iter().filter(|it| it.carrier == carrier) {
            let Subscriber { tenant, iccid, .. } = subscriber;
            let body = self
                .tsm(carrier)?
                .sealed_hand_over(iccid, tenant, SE_PROFILE, &key.public_key)
                .map_err(|error| platform_error(carrier, &error))?;
            match client.post::<Value>("/v1/key-sets", &body).await {
                Ok(_) => {}
                Err(CallError::Refused { problem, .. }) if may_be_refused => {
                    refused.insert(iccid.clone(), problem.code);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.refused_hand_overs.append(&mut refused);
        Ok(())
    }
}

impl Parties {
    fn create(pki: &Pki) -> Result<Parties, PkiError> {
        let client = |name: &str| pki.identity(name, Usage::Client);
        let server = |name: &str| pki.identity(name, Usage::Server);
        Ok(Parties {
            gateway: server("gateway")?,
            towards_tsms: client("gateway-towards-tsms")?,
            issuer: client("issuer")?,
            terminals: [client("terminal-1")?, client("terminal-2")?, client("terminal-3")?],
            tsms: [
                (CARRIER_A, server("tsm-carrier-a")?, client("carrier-a")?),
                (CARRIER_B, server("tsm-carrier-b")?, client("carrier-b")?),
            ],
            officer: client("officer")?,
            auditor: client("auditor")?,
            enquiry: client("enquiry-desk")?,
        })
    }

    fn principals(&self) -> Vec<Principal<'_>> {
        let everybody = || vec![CARRIER_A, CARRIER_B, MVNO];
        let desk = |identity, role| Principal { identity, role, tenants: everybody() };
        let mut principals = vec![
            desk(&self.issuer, Role::Sp),
            desk(&self.officer, Role::Officer),
            desk(&self.auditor, Role::Auditor),
            desk(&self.enquiry, Role::Enquiry),
        ];
        principals.extend(
            self.terminals.iter().map(|terminal| desk(terminal, Role::Counter(&terminal.name))),
        );
        principals.extend(self.tsms.iter().map(|(carrier, _, identity)| Principal {
            identity,
            role: Role::Carrier(carrier),
            tenants: fleet::tenants_of(carrier),
        }));
        principals
    }
}

async fn start_tsms(
    options: &PlatformOptions,
    pki: &Pki,
    parties: &Parties,
    subscribers: &[Subscriber],
    security_domain: Aid,
) -> Result<BTreeMap<String, Tsm>, SandboxError> {
    let profile = shipped_profile()?;
    let mut tsms = BTreeMap::new();
    for (carrier, server, _) in &parties.tsms {
        let fleet = subscribers
            .iter()
            .filter(|subscriber| subscriber.carrier == *carrier)
            .map(|subscriber| new_se(options, &profile, subscriber))
            .collect::<Result<Vec<_>, _>>()?;
        let settings = TsmSettings {
            id: (*carrier).to_owned(),
            mode: mode(carrier),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: pki.server_tls(server)?,
            log_path: Some(tsm_log(&options.directory, carrier)),
            security_domain: SecurityDomainSettings {
                aid: security_domain,
                shared_key_set: options.shared_key_set && *carrier == CARRIER_A,
            },
        };
        let tsm =
            Tsm::start(settings, fleet).await.map_err(|error| platform_error(carrier, &error))?;
        tsms.insert((*carrier).to_owned(), tsm);
    }
    Ok(tsms)
}

/// An SE as its maker delivers it: random keys in the Issuer Security Domain, which go to the carrier's TSM alone.
fn new_se(
    options: &PlatformOptions,
    profile: &SeProfile,
    subscriber: &Subscriber,
) -> Result<FleetSe, SandboxError> {
    let iccid = &subscriber.iccid;
    let unusable = |reason: &dyn fmt::Display| SandboxError::Platform {
        carrier: subscriber.carrier.clone(),
        reason: format!("SE {iccid}: {reason}"),
    };
    let isd_keys: [Vec<u8>; 3] = std::array::from_fn(|_| random::bytes::<16>().to_vec());
    let (iin, cin) = reader::identification(iccid).ok_or_else(|| unusable(&"no ICCID"))?;
    let factory = se::Factory {
        isd_keys: isd_keys.clone(),
        kvn: FIRST_KVN,
        i: profile.i,
        iin,
        cin,
        kdd: random::bytes(),
    };
    let se = if options.ses_in_files {
        let path = options.directory.join("se").join(format!("{iccid}.se"));
        SecureElement::create(&path, factory).map_err(|error| unusable(&error))?
    } else {
        SecureElement::new(factory).map_err(|error| unusable(&error))?
    };
    Ok(FleetSe { iccid: iccid.clone(), se, isd_keys })
}

/// Starts the gateway on a free port, then fixes that port so that a restarted gateway is found again.
async fn start_gateway(plan: &Plan<'_>, executable: &Path) -> Result<Gateway, SandboxError> {
    plan.write(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let files = GatewayFiles {
        executable: executable.to_owned(),
        config: plan.file(),
        address: plan.address_file(),
        log: plan.directory.join("gateway.log"),
    };
    let gateway = Gateway::start(files).await?;
    let bound = gateway.address().parse().map_err(|_| SandboxError::GatewayStart {
        reason: format!("its address file says {:?}", gateway.address()),
        log: String::new(),
    })?;
    plan.write(bound)?;
    Ok(gateway)
}

fn mode(carrier: &str) -> Mode {
    if carrier == CARRIER_B { Mode::Simple } else { Mode::Authorised }
}

fn municipality(directory: &Path) -> Result<Arc<Municipality>, SandboxError> {
    let signer = Signer::generate("sandbox-counter-1")?;
    let pem = Zeroizing::new(signer.to_pem()?);
    write_private(&signing_key_file(directory), pem.as_bytes())?;
    let access_code_key = Zeroizing::new(random::bytes::<16>().to_vec());
    write_secret(directory, "counter/access-code.key", &access_code_key)?;
    Ok(Arc::new(Municipality {
        id: "urn:jp:lgcode:102016".to_owned(),
        office: "sandbox-main-office".to_owned(),
        clerk: "sandbox-clerk-1".to_owned(),
        signer,
        access_code_key,
    }))
}

fn write_terminal_file(
    directory: &Path,
    desk: &TokenDesk,
    identity: &Identity,
) -> Result<(), SandboxError> {
    let file = TerminalFile {
        issuer: desk.municipality.id.clone(),
        office: desk.municipality.office.clone(),
        clerk: desk.municipality.clerk.clone(),
        terminal: desk.terminal.clone(),
        reader: desk.reader.clone(),
        kid: desk.municipality.signer.kid().to_owned(),
        key_file: signing_key_file(directory),
        access_code_key_file: access_code_key_file(directory),
        certificate_file: identity.certificate_file.clone(),
    };
    let path = directory.join("counter").join(format!("{}.json", desk.terminal));
    let json = serde_json::to_vec_pretty(&file).map_err(std::io::Error::from);
    json.and_then(|json| fs::write(&path, json)).map_err(SandboxError::file(&path))
}

fn write_cap(directory: &Path, service: &ServiceProfile) -> Result<PathBuf, SandboxError> {
    let applet = Applet { package: service.load_file, module: service.module };
    let path = directory.join("user-authentication.cap");
    fs::write(&path, cap::assemble(&applet)?).map_err(SandboxError::file(&path))?;
    Ok(path)
}

fn write_secret(directory: &Path, name: &str, secret: &[u8]) -> Result<PathBuf, SandboxError> {
    let path = directory.join(name);
    let text = Zeroizing::new(hex::encode_upper(secret));
    write_private(&path, text.as_bytes())?;
    Ok(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(SandboxError::file(path))
}

fn shipped_service() -> Result<ServiceProfile, SandboxError> {
    shipped(conf::shipped::SERVICES, SERVICE)
}

fn shipped_profile() -> Result<SeProfile, SandboxError> {
    shipped(conf::shipped::SE_PROFILES, SE_PROFILE)
}

fn shipped<T: DeserializeOwned>(files: &[Shipped], name: &str) -> Result<T, SandboxError> {
    let file = files.iter().find(|file| file.name == name);
    let text =
        file.ok_or_else(|| SandboxError::proof(name, "the program ships no such file"))?.text;
    toml::from_str(text).map_err(|error| SandboxError::proof(name, error))
}

fn aid(text: &str) -> Result<Aid, SandboxError> {
    text.parse().map_err(|error| SandboxError::proof(text, error))
}

fn tsm_log(directory: &Path, carrier: &str) -> PathBuf {
    directory.join("tsm").join(format!("{carrier}.jsonl"))
}

fn signing_key_file(directory: &Path) -> PathBuf {
    directory.join("counter/signing.key")
}

fn access_code_key_file(directory: &Path) -> PathBuf {
    directory.join("counter/access-code.key")
}

fn platform_error(carrier: &str, error: &dyn fmt::Display) -> SandboxError {
    SandboxError::Platform { carrier: carrier.to_owned(), reason: error.to_string() }
}
