//! The durable executor: takes every order as far as it can go, and no further than its record allows.
//!
//! Recovery is the normal path: an order is read, one step is taken by its state, the result is stored, and so on. A step that could
//! not be taken is tried again after a growing wait, or the order is parked with a reason and an owner. Work for one SE never
//! interleaves; one bad order never stops the others.

mod finish;
mod grant;
pub(crate) mod plan;
mod prepare;
mod read;
mod resolve;
pub mod service;
mod session;
pub(crate) mod setback;
mod work;
mod write;

use std::{collections::HashMap, sync::Arc, time::Duration};

use order::{OrderEvent, OrderState, ParkReason, WriteState};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinSet},
};
use uuid::Uuid;

pub(crate) use self::work::needs_engine;
use self::{service::Services, setback::Setback, work::Work};
use crate::{app::App, audit::Kind};

/// Orders that may wait to be woken; more are found by the next look at the store.
const WAKES_MAX: usize = 4_096;
/// Orders asked for at a look: many more than are worked on at a time, so that those of a busy SE do not hide the others.
const DUE_MAX: u32 = 1_000;
/// How often the store is asked for orders that are due.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Wakes the engine. Losing a wake costs one look at the store, nothing else.
#[derive(Clone)]
pub struct Handle {
    wakes: mpsc::Sender<Uuid>,
}

/// The engine's end of [`Handle`].
pub struct Wakes(mpsc::Receiver<Uuid>);

/// A handle and the end that goes into [`Engine::new`].
pub fn channel() -> (Handle, Wakes) {
    let (sender, receiver) = mpsc::channel(WAKES_MAX);
    (Handle { wakes: sender }, Wakes(receiver))
}

impl Handle {
    /// Asks the engine to look at an order soon.
    pub fn wake(&self, order: Uuid) {
        // Full: the order is due and will be found by the next look.
        let _ = self.wakes.try_send(order);
    }
}

/// The executor of one node.
pub struct Engine {
    app: App,
    services: Arc<Services>,
    wakes: Wakes,
    /// Orders in hand, by their SE: one at a time.
    in_hand: HashMap<Uuid, String>,
    tasks: JoinSet<()>,
    /// Which task works on which order, so that a task that panicked gives its SE free.
    orders: HashMap<task::Id, Uuid>,
}

impl Engine {
    /// An engine that has not started.
    pub fn new(app: App, services: Arc<Services>, wakes: Wakes) -> Engine {
        Engine {
            app,
            services,
            wakes,
            in_hand: HashMap::new(),
            tasks: JoinSet::new(),
            orders: HashMap::new(),
        }
    }

    /// Works until `stop` turns true, then lets what is in hand come to its next durable state.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            tokio::select! {
                _ = stop.changed() => break,
                _ = look.tick() => self.take_due().await,
                Some(order) = self.wakes.0.recv() => self.take(order).await,
                Some(done) = self.tasks.join_next_with_id() => self.put_down(done),
            }
        }
        // Dropping a task between two commits is a crash, which recovery knows; waiting is kinder to the SEs.
        while let Some(done) = self.tasks.join_next_with_id().await {
            self.put_down(done);
        }
    }

    async fn take_due(&mut self) {
        if self.room() == 0 {
            return;
        }
        match self.app.store.due_orders(self.app.clock.now_ms(), DUE_MAX).await {
            Ok(due) => {
                for order in due {
                    self.take(order).await;
                }
            }
            Err(error) => tracing::error!(%error, "the store did not say which orders are due"),
        }
    }

    /// Takes an order in hand unless there is no room, or its SE is busy: then the next look finds it.
    async fn take(&mut self, id: Uuid) {
        if self.room() == 0 || self.in_hand.contains_key(&id) {
            return;
        }
        let se = match self.app.store.order(id).await {
            Ok(Some(order)) if order.due_ms.is_some_and(|due| due <= self.app.clock.now_ms()) => {
                order.se
            }
            // Not due: a wake does not shorten the wait after a failure.
            Ok(_) => return,
            Err(error) => return tracing::error!(%error, "an order could not be read"),
        };
        if self.in_hand.values().any(|busy| *busy == se) {
            return;
        }
        self.in_hand.insert(id, se);
        let (app, services) = (self.app.clone(), Arc::clone(&self.services));
        let task = self.tasks.spawn(async move { work_on(&app, &services, id).await });
        self.orders.insert(task.id(), id);
    }

    fn put_down(&mut self, done: Result<(task::Id, ()), task::JoinError>) {
        let task = match done {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "a step of the engine failed; the order is taken up again when it is due");
                error.id()
            }
        };
        if let Some(order) = self.orders.remove(&task) {
            self.in_hand.remove(&order);
        }
    }

    fn room(&self) -> usize {
        self.app.settings.engine.concurrency_max.saturating_sub(self.in_hand.len())
    }
}

/// Steps until the order rests.
async fn work_on(app: &App, services: &Arc<Services>, id: Uuid) {
    let mut work = match Work::load(app, services, id).await {
        Ok(Some(work)) => work,
        Ok(None) => return,
        Err(setback) => return tracing::error!(%setback, "an order could not be read"),
    };
    loop {
        let outcome = match step(&mut work).await {
            Ok(Step::Taken) => continue,
            Ok(Step::Rests) => return,
            Err(setback) => set_back(&mut work, setback).await,
        };
        if let Err(error) = outcome {
            tracing::error!(%error, enquiry = work.order.enquiry_id, "a setback could not be recorded");
        }
        return;
    }
}

enum Step {
    Taken,
    Rests,
}

async fn step(work: &mut Work) -> Result<Step, Setback> {
    match &work.order.state {
        OrderState::Accepted => prepare::find_eligible(work).await?,
        OrderState::Eligible => prepare::prepare(work).await?,
        OrderState::Authorized { .. } | OrderState::Writing { .. } => write::advance(work).await?,
        OrderState::Prepared | OrderState::AwaitingCounter => {
            if !finish::expire_or_rest(work).await? {
                return Ok(Step::Rests);
            }
        }
        OrderState::Confirmed { .. }
        | OrderState::Refused { .. }
        | OrderState::Cancelled
        | OrderState::Expired
            if work.order.due_ms.is_some() =>
        {
            finish::put_away(work).await?;
        }
        OrderState::Confirmed { .. }
        | OrderState::Refused { .. }
        | OrderState::Cancelled
        | OrderState::Expired
        | OrderState::Parked { .. } => return Ok(Step::Rests),
    }
    tracing::info!(
        enquiry = work.order.enquiry_id,
        state = work.order.state.word(),
        "an order moved"
    );
    Ok(Step::Taken)
}

/// Records what a setback means for the order.
async fn set_back(work: &mut Work, setback: Setback) -> Result<(), Setback> {
    tracing::warn!(%setback, enquiry = work.order.enquiry_id, state = work.order.state.word(), "a step was set back");
    match setback {
        Setback::Wait { why, at_least_ms } => wait(work, why, at_least_ms).await,
        Setback::Park { reason, owner, detail } => work.park(reason, owner, detail).await,
        Setback::Refuse { code, detail } => {
            if write::has_begun(&work.order.state) {
                let reason = ParkReason::Policy;
                return work.park(reason, reason.owner(), detail).await;
            }
            let entry = work.entry(Kind::Refused, json!({ "code": code, "detail": detail }));
            work.happen(OrderEvent::Refused { code }, entry).await
        }
        // The other one's commit stands; the order is due and will be read again.
        Setback::Overtaken(_) => Ok(()),
    }
}

/// Puts the order off, longer each time, until its budget is spent.
async fn wait(work: &mut Work, why: String, at_least_ms: u64) -> Result<(), Setback> {
    let settings = &work.app.settings.engine;
    let failures = work.order.failures.saturating_add(1);
    // What has ended cannot be parked; putting it away is tried for as long as it takes.
    if failures >= settings.failures_max && !work.order.state.is_terminal() {
        let reason = if is_unresolved(&work.order.state) {
            ParkReason::Unresolved
        } else {
            ParkReason::Unreachable
        };
        return work.park(reason, reason.owner(), why).await;
    }
    let doubled = settings.backoff_first_ms.saturating_mul(1 << (failures - 1).min(30));
    let wait_ms = doubled.max(at_least_ms).min(settings.backoff_max_ms);
    let mut next = work.order.clone();
    next.failures = failures;
    next.due_ms = Some(work.now_ms().saturating_add_unsigned(wait_ms));
    let entry = work.entry(Kind::Probed, json!({ "set_back": why, "again_in_ms": wait_ms }));
    work.store(next, vec![entry], Vec::new()).await
}

fn is_unresolved(state: &OrderState) -> bool {
    state.writes().iter().any(|write| matches!(write.state, WriteState::Unresolved { .. }))
}
