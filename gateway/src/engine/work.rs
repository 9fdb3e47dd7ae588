//! One order in hand: its record, what it needs from the node, and the only way its state moves.

use std::sync::Arc;

use carriers::SeId;
use order::{OrderEvent, OrderState, ParkReason, WriteEvent, transition};
use scp::{Aid, SeProfile};
use serde_json::json;
use uuid::Uuid;

use super::{
    service::{LoadedService, Services},
    session::Peer,
    setback::Setback,
};
use crate::{
    app::App,
    audit::{Entry, Kind},
    store::{Change, LiveKeySet, OrderRecord, SeRecord},
};

/// An order being worked on, and the record of its SE.
pub(super) struct Work {
    pub(super) app: App,
    pub(super) services: Arc<Services>,
    pub(super) order: OrderRecord,
    pub(super) se: SeRecord,
}

impl Work {
    /// Reads an order and its SE; none when there is no such order.
    pub(super) async fn load(
        app: &App,
        services: &Arc<Services>,
        id: Uuid,
    ) -> Result<Option<Work>, Setback> {
        let Some(order) = app.store.order(id).await? else { return Ok(None) };
        let se = app
            .store
            .se(&order.tenant, &order.se)
            .await?
            .unwrap_or_else(|| SeRecord::unknown(&order.tenant, &order.se));
        Ok(Some(Work { app: app.clone(), services: Arc::clone(services), order, se }))
    }

    /// Moves the order's state, durably, together with its audit record.
    pub(super) async fn happen(&mut self, event: OrderEvent, entry: Entry) -> Result<(), Setback> {
        let next = self.after(&event)?;
        self.store(next, vec![entry], Vec::new()).await
    }

    /// Moves one key write of the order, with further changes in the same transaction.
    pub(super) async fn write_happens(
        &mut self,
        index: usize,
        event: WriteEvent,
        entry: Entry,
        changes: Vec<Change>,
    ) -> Result<(), Setback> {
        let next = self.after(&OrderEvent::Write { index, event })?;
        self.store(next, vec![entry], changes).await
    }

    /// The record as the event leaves it; nothing is stored yet.
    pub(super) fn after(&self, event: &OrderEvent) -> Result<OrderRecord, Setback> {
        let state = transition(&self.order.state, event)?;
        let mut next = self.order.clone();
        next.code = state.code().map(str::to_owned).or(next.code);
        next.due_ms = needs_engine(&state).then(|| self.now_ms());
        if is_progress(event) {
            next.failures = 0;
        }
        next.state = state;
        Ok(next)
    }

    /// Stores the record, its audit entries and further changes in one transaction.
    pub(super) async fn store(
        &mut self,
        mut next: OrderRecord,
        entries: Vec<Entry>,
        mut changes: Vec<Change>,
    ) -> Result<(), Setback> {
        next.updated_ms = self.now_ms();
        changes.push(Change::UpdateOrder(next.clone()));
        let se = changes.iter().find_map(|change| match change {
            Change::PutSe(se) => Some(se.clone()),
            _ => None,
        });
        self.app.store.commit(changes, entries).await?;
        next.version += 1;
        self.order = next;
        if let Some(mut se) = se {
            se.version += 1;
            self.se = se;
        }
        Ok(())
    }

    /// An audit entry about this order and its SE.
    pub(super) fn entry(&self, kind: Kind, detail: serde_json::Value) -> Entry {
        Entry::new(kind, self.now_ms()).order(self.order.id).se(&self.order.se).detail(detail)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.app.clock.now_ms()
    }

    /// The order's service.
    pub(super) fn service(&self) -> Result<Arc<LoadedService>, Setback> {
        self.services.get(&self.order.service).ok_or_else(|| {
            Setback::park(
                ParkReason::ContentInDoubt,
                format!("service {} is not configured on this node", self.order.service),
            )
        })
    }

    /// The SE's profile, by the name its route gave.
    pub(super) fn profile(&self) -> Result<SeProfile, Setback> {
        let name = self.order.profile.as_deref().unwrap_or_default();
        self.app
            .settings
            .se_profiles
            .iter()
            .find(|profile| profile.name == name)
            .cloned()
            .ok_or_else(|| {
                Setback::park(
                    ParkReason::ProfileMismatch,
                    format!("SE profile {name} is not configured on this node"),
                )
            })
    }

    /// Our Security Domain on the SE, by the order's route.
    pub(super) fn security_domain(&self) -> Result<Aid, Setback> {
        self.order
            .security_domain
            .ok_or_else(|| Setback::park(ParkReason::ContentInDoubt, "the order has no route"))
    }

    /// The key set our Security Domain answers under.
    pub(super) fn live(&self) -> Result<LiveKeySet, Setback> {
        let aid = self.security_domain()?;
        self.se
            .security_domain(&aid)
            .and_then(|domain| domain.live.clone())
            .ok_or_else(|| Setback::wait("the carrier has not handed over the first key set yet"))
    }

    /// Whom to reach and how.
    pub(super) fn peer(&self) -> Result<Peer, Setback> {
        let service = self.service()?;
        let carrier =
            self.order.carrier.as_deref().and_then(|id| self.app.carriers.get(id)).ok_or_else(
                || Setback::wait("the order's carrier is not configured on this node"),
            )?;
        Ok(Peer {
            carrier: Arc::clone(carrier),
            se: self.se_id()?,
            service: self.order.service.clone(),
            profile: self.profile()?,
            rules: service.profile.content_rules(),
            key_diversification_data: self.key_diversification_data(),
            validity_ms: self.app.settings.engine.script_validity_ms,
        })
    }

    /// How carriers name the SE.
    pub(super) fn se_id(&self) -> Result<SeId, Setback> {
        SeId::iccid(&self.order.se)
            .or_else(|_| SeId::eid(&self.order.se))
            .map_err(|error| Setback::refuse("bad_request", error.to_string()))
    }

    fn key_diversification_data(&self) -> Option<[u8; 10]> {
        let text = self.se.key_diversification_data.as_deref()?;
        hex::decode(text).ok()?.try_into().ok()
    }

    /// Sets the order aside with a reason and an owner.
    pub(super) async fn park(
        &mut self,
        reason: ParkReason,
        owner: order::Owner,
        detail: String,
    ) -> Result<(), Setback> {
        let entry = self.entry(
            Kind::Parked,
            json!({ "reason": reason.as_str(), "owner": owner, "detail": detail }),
        );
        self.happen(OrderEvent::Parked { reason, owner }, entry).await
    }
}

/// Whether the event ends a run of failures. Opening a channel and losing it again does not: a step that fails between the two would
/// otherwise be tried for ever.
fn is_progress(event: &OrderEvent) -> bool {
    !matches!(
        event,
        OrderEvent::Write { event: WriteEvent::ChannelOpened | WriteEvent::ChannelLost, .. }
    )
}

/// Whether the engine has something to do for an order in this state without being asked; with one that has ended, to put it away.
pub(crate) fn needs_engine(state: &OrderState) -> bool {
    !matches!(state, OrderState::Parked { .. })
}
