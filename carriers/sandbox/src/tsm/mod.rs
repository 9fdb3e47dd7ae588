//! A carrier's TSM for the desk: it owns secure elements, speaks the JSON binding, and can be made to misbehave.
//!
//! Promised: it knows the Issuer Security Domains' keys and nobody else does; it makes our Security Domain with a random first key set
//! on each SE; it logs every script received before doing anything with it; one conversation is open for each SE.
//!
//! Not promised: honesty. See [`Fault`].

mod content;
mod fault;
mod hand_over;
mod keys;
mod platform;
mod script_log;
mod seat;
mod server;
mod session;
mod terminal;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use carriers::Mode;
use scp::{Aid, KeyLength};
use se::SecureElement;
use thiserror::Error;
use tokio::{net::TcpListener, task::JoinHandle};

use self::{
    keys::StaticKeys,
    platform::{Platform, lock},
    script_log::ScriptLog,
    seat::Seat,
};

pub use self::{
    fault::{Fault, On, Script},
    hand_over::{HandOver, INFO, SeNumber, SealError, Wrapped, associated_data},
    keys::KeyError,
    script_log::{CommandRecord, ScriptRecord, TsmStats},
    seat::{DeployError, FleetSe},
    session::SessionError,
};

/// What a TSM is started with.
pub struct TsmSettings {
    /// The carrier's id.
    pub id: String,
    /// Who manages content on its SEs.
    pub mode: Mode,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its certificate, and the authority of its clients'.
    pub tls: Arc<rustls::ServerConfig>,
    /// New file for the log of scripts, JSON lines.
    pub log_path: Option<PathBuf>,
    /// Our Security Domain on each of its SEs.
    pub security_domain: SecurityDomainSettings,
}

/// Our Security Domain, as a carrier makes it.
#[derive(Debug, Clone, Copy)]
pub struct SecurityDomainSettings {
    /// Its AID.
    pub aid: Aid,
    /// Gives the first two SEs one and the same first key set, as a careless carrier would.
    pub shared_key_set: bool,
}

/// Why a TSM did not start.
#[derive(Debug, Error)]
pub enum TsmError {
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The log cannot be created.
    #[error("the log of scripts: {0}")]
    Log(io::Error),
    /// No keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// An SE could not be made ready.
    #[error("SE {iccid}: {source}")]
    Deploy {
        /// The SE.
        iccid: String,
        /// Why.
        source: DeployError,
    },
}

/// A running TSM; it ends with its value.
pub struct Tsm {
    id: String,
    mode: Mode,
    address: SocketAddr,
    platform: Arc<Platform>,
    serving: JoinHandle<()>,
}

impl Tsm {
    /// Makes our Security Domain on every SE, hands the SEs over (their ledgers begin) and listens.
    ///
    /// # Errors
    /// The first SE that could not be made ready; no address, no log.
    pub async fn start(settings: TsmSettings, fleet: Vec<FleetSe>) -> Result<Tsm, TsmError> {
        let TsmSettings { id, mode, listen, tls, log_path, security_domain } = settings;
        let log = ScriptLog::open(log_path.as_deref()).map_err(TsmError::Log)?;
        let seats = deploy(fleet, mode, security_domain)?;
        let refused = |source| TsmError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let platform = Arc::new(Platform::new(mode, seats, log));
        let serving = tokio::spawn(server::serve(listener, tls, platform.clone()));
        Ok(Tsm { id, mode, address, platform, serving })
    }

    /// The carrier's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who manages content on its SEs.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a leg is configured with.
    pub fn base_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Sums over every script received.
    pub fn stats(&self) -> TsmStats {
        lock(&self.platform.log).total()
    }

    /// Sums over the scripts received for one SE.
    pub fn stats_of(&self, iccid: &str) -> TsmStats {
        lock(&self.platform.log).of(iccid)
    }

    /// Arms a fault for one SE.
    pub fn arm(&self, iccid: &str, fault: Fault) {
        lock(&self.platform.faults).arm(iccid, fault);
    }

    /// Takes back every fault armed for one SE.
    pub fn clear(&self, iccid: &str) {
        lock(&self.platform.faults).clear(iccid);
    }

    /// The ICCIDs of its SEs, sorted.
    pub fn ses(&self) -> Vec<String> {
        let mut iccids: Vec<String> = self.platform.iccids().map(str::to_owned).collect();
        iccids.sort();
        iccids
    }

    /// Looks into one SE, or puts it into a reader; `None` if it is not of this platform. No script reaches it meanwhile.
    pub fn with_se<R>(&self, iccid: &str, look: impl FnOnce(&mut SecureElement) -> R) -> Option<R> {
        self.platform.seat(iccid).map(|mut seat| look(&mut seat.se))
    }

    /// The first key set of one SE, sealed to custody's transport key (hexadecimal): the body of `POST /v1/key-sets`.
    ///
    /// # Errors
    /// [`SealError`] for an SE of another platform, or a key that is none of the suite.
    pub fn sealed_hand_over(
        &self,
        iccid: &str,
        tenant: &str,
        profile: &str,
        transport_key: &str,
    ) -> Result<HandOver, SealError> {
        let unknown = || SealError::UnknownSe { iccid: iccid.to_owned() };
        let seat = self.platform.seat(iccid).ok_or_else(unknown)?;
        HandOver::seal(&seat, tenant, profile, transport_key)
    }
}

impl Drop for Tsm {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn deploy(
    fleet: Vec<FleetSe>,
    mode: Mode,
    SecurityDomainSettings { aid, shared_key_set }: SecurityDomainSettings,
) -> Result<Vec<Seat>, TsmError> {
    let mut seats: Vec<Seat> = Vec::with_capacity(fleet.len());
    for fleet_se in fleet {
        let iccid = fleet_se.iccid.clone();
        let failed = |source| TsmError::Deploy { iccid, source };
        let keys = match seats.as_slice() {
            [first] if shared_key_set => first.first_keys.clone(),
            _ => first_key_set(&fleet_se)?,
        };
        seats.push(Seat::deploy(fleet_se, mode, aid, keys).map_err(failed)?);
    }
    Ok(seats)
}

/// Random keys, as long as those of the Issuer Security Domain.
fn first_key_set(fleet_se: &FleetSe) -> Result<StaticKeys, KeyError> {
    let [enc, _, _] = &fleet_se.isd_keys;
    StaticKeys::random(KeyLength::from_bytes(enc.len()).ok_or(KeyError::Length)?)
}

#[cfg(test)]
mod tests;
