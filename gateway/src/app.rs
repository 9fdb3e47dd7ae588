//! What every request and every step of the engine shares: one value, cheap to clone.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use arc_swap::ArcSwap;
use authority::Authority;
use carriers::{Carrier, route::Router};

use crate::{
    custody::Custody, engine, principal::Principals, receipt::Receipts, settings::Settings,
    store::Store,
};

/// A node's parts, shared. It dereferences to [`Parts`].
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of a node, each made once at start.
pub struct Parts {
    /// The configuration the node started with; authority and principals are read again on SIGHUP.
    pub settings: Settings,
    /// Orders, secure elements, consumed tokens and the audit chain.
    pub store: Store,
    /// Key sets and payloads under seal.
    pub custody: Custody,
    /// Legs to carriers' TSMs by their id.
    pub carriers: HashMap<String, Arc<dyn Carrier>>,
    /// Which SE of which tenant goes to which carrier.
    pub router: Router,
    /// Issuers, terminals, clerks, deny lists and policy; swapped whole on SIGHUP.
    pub authority: ArcSwap<Authority>,
    /// Client certificates and what each may do; swapped whole on SIGHUP.
    pub principals: ArcSwap<Principals>,
    /// The signing key of provisioning receipts.
    pub receipts: Receipts,
    /// Wakes the engine for an order.
    pub engine: engine::Handle,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl App {
    /// Shares the parts of a node.
    pub fn new(parts: Parts) -> App {
        App(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The time of day, injected so that tests decide it.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Seconds since the Unix epoch.
    fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}
