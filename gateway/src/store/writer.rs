//! The one thread that writes, in groups of requests.

use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};
use uuid::Uuid;

use super::{
    Change, CommitError, Committed, Conflict, StoreError, consume::Consumption, read, statements,
    statements::Refused,
};
use crate::audit;

/// Requests that may wait; more wait outside.
const QUEUE_MAX: usize = 1_024;
/// Requests made durable by one flush.
const GROUP_MAX: usize = 64;

/// What one commit asks for.
pub(super) struct Request {
    pub(super) changes: Vec<Change>,
    pub(super) consumption: Option<Consumption>,
    pub(super) audit: Vec<audit::Entry>,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// The writer's queue. Dropping it lets the writer finish what it has and waits for it.
pub(super) struct Handle {
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    pub(super) fn start(
        connection: Connection,
        node: &str,
        changed: broadcast::Sender<Uuid>,
    ) -> Result<Handle, StoreError> {
        let last = read::last_record(&connection)?;
        let writer =
            Writer { connection, chain: audit::Chain::after(node, last.as_ref()), changed };
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(requests))?;
        Ok(Handle { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) async fn send(&self, request: Request) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Unavailable)?;
        queue.send(request).await.map_err(|_| StoreError::Unavailable)
    }

    pub(super) fn is_running(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_closed())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has answered nobody wrongly: every waiting asker gets `UnknownOutcome`.
            let _ = thread.join();
        }
    }
}

struct Writer {
    connection: Connection,
    chain: audit::Chain,
    changed: broadcast::Sender<Uuid>,
}

/// What became of each request of a group, and where the trail stood after it.
type Outcomes = Vec<Result<Committed, Conflict>>;

/// A group that failed as a whole.
enum GroupError {
    /// Nothing of it happened.
    Nothing(rusqlite::Error),
    /// It may have happened.
    Unknown(rusqlite::Error),
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = requests.try_recv()
            {
                group.push(next);
            }
            if !self.commit(group) {
                requests.close();
                while let Ok(request) = requests.try_recv() {
                    answer(request, Err(StoreError::Unavailable.into()));
                }
                return;
            }
        }
    }

    /// Makes a group durable, then answers. False when the writer must stop: what is on the disk is not known any more.
    fn commit(&mut self, group: Vec<Request>) -> bool {
        let before = self.chain.clone();
        match self.write(&group) {
            Ok(outcomes) => {
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    if outcome.is_ok() {
                        self.announce(&request);
                    }
                    answer(request, outcome.map_err(CommitError::from));
                }
                true
            }
            Err(GroupError::Nothing(error)) => {
                self.chain = before;
                let error = StoreError::from(error);
                tracing::error!(%error, "the store refused a group of commits");
                group.into_iter().for_each(|request| answer(request, Err(error.clone().into())));
                true
            }
            Err(GroupError::Unknown(error)) => {
                let error = StoreError::from(error);
                tracing::error!(%error, "the store failed at a commit and stops");
                group
                    .into_iter()
                    .for_each(|request| answer(request, Err(CommitError::UnknownOutcome)));
                false
            }
        }
    }

    fn write(&mut self, group: &[Request]) -> Result<Outcomes, GroupError> {
        self.execute("BEGIN IMMEDIATE").map_err(GroupError::Nothing)?;
        let outcomes = group.iter().map(|request| self.attempt(request)).collect();
        let outcomes: Outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => return Err(self.roll_back(error)),
        };
        match self.execute("COMMIT") {
            Ok(()) => Ok(outcomes),
            // SQLite found no space before it wrote the commit's frame: the transaction is still open.
            Err(error) if !self.connection.is_autocommit() => Err(self.roll_back(error)),
            Err(error) => Err(GroupError::Unknown(error)),
        }
    }

    fn roll_back(&self, cause: rusqlite::Error) -> GroupError {
        // Some failures have rolled the transaction back by themselves.
        if self.connection.is_autocommit() || self.execute("ROLLBACK").is_ok() {
            return GroupError::Nothing(cause);
        }
        GroupError::Unknown(cause)
    }

    /// One request in its savepoint: a conflict takes back this one alone.
    fn attempt(&mut self, request: &Request) -> rusqlite::Result<Result<Committed, Conflict>> {
        let before = self.chain.clone();
        self.execute("SAVEPOINT request")?;
        let outcome = match self.apply(request) {
            Ok(()) => {
                Ok(Committed { audit_index: self.chain.index(), audit_head: self.chain.head() })
            }
            Err(Refused::Conflict(conflict)) => {
                self.chain = before;
                self.execute("ROLLBACK TO request")?;
                Err(conflict)
            }
            Err(Refused::Failed(error)) => return Err(error),
        };
        self.execute("RELEASE request")?;
        Ok(outcome)
    }

    fn apply(&mut self, request: &Request) -> Result<(), Refused> {
        for change in &request.changes {
            statements::apply(&self.connection, change)?;
        }
        if let Some(consumption) = &request.consumption {
            statements::consume(&self.connection, consumption)?;
        }
        for entry in &request.audit {
            let record = self.chain.append(entry);
            statements::append(&self.connection, &record)?;
        }
        Ok(())
    }

    fn announce(&self, request: &Request) {
        let changed = request.changes.iter().filter_map(|change| match change {
            Change::InsertOrder(order) | Change::UpdateOrder(order) => Some(order.id),
            Change::PutSe(_)
            | Change::RequireEpoch { .. }
            | Change::ReserveAttempt { .. }
            | Change::AccessCodeFailure { .. }
            | Change::BurnToken { .. }
            | Change::NoteNotification { .. } => None,
        });
        let consumed = request.consumption.as_ref().map(|consumption| consumption.order.id);
        for id in changed.chain(consumed) {
            // Nobody listens: nobody to tell.
            let _ = self.changed.send(id);
        }
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }
}

fn answer(request: Request, outcome: Result<Committed, CommitError>) {
    // The asker went away: the outcome stands all the same.
    let _ = request.answer.send(outcome);
}

#[cfg(test)]
mod tests {
    use super::super::{
        OrderRecord, migrations, sqlite,
        tests::{entry, order},
    };
    use super::*;

    fn request(order: OrderRecord) -> (Request, oneshot::Receiver<Result<Committed, CommitError>>) {
        let (answer, answered) = oneshot::channel();
        let audit = vec![entry(&order)];
        let changes = vec![Change::InsertOrder(order)];
        (Request { changes, consumption: None, audit, answer }, answered)
    }

    #[test]
    fn without_space_nothing_happens_and_the_next_commit_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let connection = sqlite::open(&dir.path().join("store.db"), &migrations::SCHEMA).unwrap();
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", pages + 1).unwrap();
        let (changed, mut heard) = broadcast::channel(8);
        let chain = audit::Chain::after("node-1", None);
        let mut writer = Writer { connection, chain, changed };

        let large = OrderRecord { request: "x".repeat(100_000), ..order("large") };
        let (small, mut small_answer) = request(order("beside"));
        let (large, mut large_answer) = request(large);
        assert!(writer.commit(vec![small, large]));
        let full = || Err(CommitError::Unavailable(StoreError::DiskFull));
        assert_eq!(small_answer.try_recv().unwrap(), full());
        assert_eq!(large_answer.try_recv().unwrap(), full());
        assert_eq!(writer.chain.index(), 0);
        assert!(heard.try_recv().is_err());

        let (small, mut small_answer) = request(order("after"));
        assert!(writer.commit(vec![small]));
        assert_eq!(small_answer.try_recv().unwrap().unwrap().audit_index, 1);
        assert!(heard.try_recv().is_ok());
    }
}
