//! What a logical channel holds between commands; all of it is gone after a reset (CS 6.3).

use crate::aid::Aid;
use crate::load::Loading;
use crate::session::Session;
use crate::status::Sw;
use crate::store_data::Blocks;

/// The most logical channels: 0 to 19 (ISO/IEC 7816-4).
pub(crate) const CHANNELS: usize = 20;

/// One open logical channel.
pub(crate) struct Channel {
    pub(crate) selected: Aid,
    pub(crate) session: Session,
    /// A load file under way.
    pub(crate) loading: Option<Loading>,
    /// Where INSTALL [for personalization] directs STORE DATA.
    pub(crate) personalizes: Option<Aid>,
    pub(crate) blocks: Blocks,
    /// The GET STATUS whose answer goes on.
    pub(crate) status_page: Option<StatusPage>,
    /// The rest of an answer waiting for GET RESPONSE.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) pin_verified: bool,
    /// MANAGE CHANNEL closed it from within.
    pub(crate) closed: bool,
}

/// Where a paged GET STATUS stands.
pub(crate) struct StatusPage {
    /// P1 and the criteria: a continuation must repeat them.
    pub(crate) query: (u8, Vec<u8>),
    /// How many matches were given.
    pub(crate) given: usize,
}

/// Bytes to be fetched, and the status word behind the last of them.
pub(crate) struct Waiting {
    pub(crate) data: Vec<u8>,
    pub(crate) sw: Sw,
}

impl Channel {
    /// A channel on which `selected` has just been selected.
    pub(crate) fn new(selected: Aid) -> Self {
        Self {
            selected,
            session: Session::default(),
            loading: None,
            personalizes: None,
            blocks: Blocks::default(),
            status_page: None,
            waiting: None,
            pin_verified: false,
            closed: false,
        }
    }

    /// Terminates the secure channel session and what hangs on it (CS 10.2.3, 11.11.1).
    pub(crate) fn end_session(&mut self) {
        self.session = Session::Closed;
        self.loading = None;
        self.personalizes = None;
        self.blocks = Blocks::default();
        self.status_page = None;
    }
}
