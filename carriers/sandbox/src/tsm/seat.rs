//! One secure element in a TSM's hands: its Issuer Security Domain's keys, and the Security Domain it makes for us.

use carriers::Mode;
use scp::{
    Aid, KeyVersionNumber,
    content::{
        install,
        store_data::{self, KeyDescription},
    },
};
use se::SecureElement;
use thiserror::Error;

use super::{
    keys::{KeyError, StaticKeys},
    session::{Session, SessionError},
};

/// AID of the Issuer Security Domain (Card Specification 2.3.1, Annex H.1.3).
const ISSUER_SECURITY_DOMAIN: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];
/// The load file and module Security Domains are made of, as the SE has them built in.
const SECURITY_DOMAIN_FILE: [u8; 7] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x53, 0x50];
const SECURITY_DOMAIN_MODULE: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x53, 0x50, 0x41];
/// Key Version Number of the first key set in our Security Domain.
const FIRST_KVN: u8 = 0x30;
/// Clear data bytes of one STORE DATA or LOAD command.
pub(super) const BLOCK_MAX: u8 = 223;
/// Privilege Security Domain (Card Specification 2.3.1, Table 11-7).
const SECURITY_DOMAIN: u8 = 0x80;
/// Privilege Authorized Management (Card Specification 2.3.1, Table 11-8).
const AUTHORIZED_MANAGEMENT: u8 = 0x40;

/// An SE as its maker delivers it to a carrier.
#[derive(Debug)]
pub struct FleetSe {
    /// Its ICCID.
    pub iccid: String,
    /// The secure element.
    pub se: SecureElement,
    /// The keys of its Issuer Security Domain, which this TSM alone knows.
    pub isd_keys: [Vec<u8>; 3],
}

/// Why an SE could not be made ready.
#[derive(Debug, Error)]
pub enum DeployError {
    /// A name or number that is none.
    #[error("a number of the deployment is malformed: {0}")]
    Malformed(String),
    /// The keys do not serve.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The SE did not take it.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// An SE with our Security Domain on it.
pub(super) struct Seat {
    pub(super) iccid: String,
    pub(super) security_domain: Aid,
    pub(super) first_kvn: KeyVersionNumber,
    pub(super) first_keys: StaticKeys,
    pub(super) key_diversification_data: [u8; 10],
    pub(super) se: SecureElement,
    /// The one open conversation.
    pub(super) conversation: Option<u64>,
    issuer: Aid,
    issuer_keys: StaticKeys,
}

impl Seat {
    /// Makes our Security Domain with `first_keys` in it, then hands the SE over: its ledger begins.
    pub(super) fn deploy(
        FleetSe { iccid, se, isd_keys }: FleetSe,
        mode: Mode,
        security_domain: Aid,
        first_keys: StaticKeys,
    ) -> Result<Seat, DeployError> {
        let mut seat = Seat {
            iccid,
            security_domain,
            first_kvn: KeyVersionNumber::new(FIRST_KVN).map_err(malformed)?,
            first_keys,
            key_diversification_data: [0; 10],
            se,
            conversation: None,
            issuer: aid(&ISSUER_SECURITY_DOMAIN)?,
            issuer_keys: StaticKeys::new(isd_keys)?,
        };
        seat.make_security_domain(mode)?;
        seat.se.reset();
        seat.se.hand_over();
        Ok(seat)
    }

    /// A session with the Issuer Security Domain. It resets the SE: whatever conversation was open is over.
    pub(super) fn issuer_session(&mut self) -> Result<Session<'_>, SessionError> {
        self.conversation = None;
        Session::open(&mut self.se, self.issuer, &self.issuer_keys)
    }

    /// INSTALL, then the first key set by STORE DATA through the Issuer Security Domain and under its K-DEK
    /// (Card Specification 2.3.1, 11.11.4): a Security Domain without keys can open no session to take them.
    fn make_security_domain(&mut self, mode: Mode) -> Result<(), DeployError> {
        let privileges = match mode {
            Mode::Authorised => [SECURITY_DOMAIN, AUTHORIZED_MANAGEMENT, 0x00],
            Mode::Simple | Mode::Delegated => [SECURITY_DOMAIN, 0x00, 0x00],
        };
        let install = install::for_install_and_make_selectable(
            aid(&SECURITY_DOMAIN_FILE)?,
            aid(&SECURITY_DOMAIN_MODULE)?,
            self.security_domain,
            &privileges,
            &[],
        )
        .map_err(SessionError::from)?;
        let encrypted = self.issuer_keys.encrypt(&self.first_keys)?;
        let groupings = store_data::key_set(self.first_kvn, &encrypted, KeyDescription::Shared)
            .map_err(SessionError::from)?;
        let personalize =
            store_data::personalization(self.issuer, self.security_domain, &groupings, BLOCK_MAX)
                .map_err(SessionError::from)?;
        let session = self.issuer_session()?;
        let key_diversification_data = session.key_diversification_data();
        session.run(vec![install])?.run_key_script(personalize)?;
        self.key_diversification_data = key_diversification_data;
        Ok(())
    }
}

fn aid(bytes: &[u8]) -> Result<Aid, DeployError> {
    Aid::new(bytes).map_err(malformed)
}

fn malformed(error: impl ToString) -> DeployError {
    DeployError::Malformed(error.to_string())
}
