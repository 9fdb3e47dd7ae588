//! The one thread that opens keys. Requests run in groups, each in a savepoint; nobody is answered before the group is durable.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::{CustodyError, vault::Vault};

/// Requests that may wait; more wait outside.
const QUEUE_MAX: usize = 1_024;
/// Requests made durable by one flush.
const GROUP_MAX: usize = 64;

/// Work, and what to do once it is known whether it is durable.
type Work = Box<dyn FnOnce(&Vault) -> Outcome + Send>;

/// Answers the asker, told whether the group is durable.
type Finish = Box<dyn FnOnce(Result<(), CustodyError>) + Send>;

struct Outcome {
    /// Whether what it wrote is to stay.
    keep: bool,
    finish: Finish,
}

/// The thread's queue. Dropping it lets the thread finish what it has and waits for it.
pub(super) struct Handle {
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    pub(super) fn start(vault: Vault) -> Result<Handle, CustodyError> {
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("custody".to_owned())
            .spawn(move || run(&vault, work))
            .map_err(|error| CustodyError::Unavailable { detail: error.kind().to_string() })?;
        Ok(Handle { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` on the thread. An error takes back whatever it wrote.
    pub(super) async fn call<T, E>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CustodyError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |vault| {
            let result = work(vault);
            let keep = result.is_ok();
            let finish = move |durable: Result<(), CustodyError>| {
                let result = result.and_then(|value| durable.map(|()| value).map_err(E::from));
                // The asker went away: what was written stands all the same.
                let _ = answer.send(result);
            };
            Outcome { keep, finish: Box::new(finish) }
        });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(work).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    pub(super) fn is_running(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_closed())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has answered nobody wrongly: every waiting asker gets an error.
            let _ = thread.join();
        }
    }
}

fn run(vault: &Vault, mut queue: mpsc::Receiver<Work>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        if let Err(error) = run_group(vault, group) {
            tracing::error!(%error, "custody failed at a commit and stops");
            return;
        }
    }
}

/// Fails when what is on the disk is not known any more.
fn run_group(vault: &Vault, group: Vec<Work>) -> Result<(), CustodyError> {
    let mut finishes = Vec::with_capacity(group.len());
    let durable = write_group(vault, group, &mut finishes);
    for finish in finishes {
        finish(durable.clone());
    }
    if durable.is_err() && !vault.db.is_autocommit() {
        vault.db.execute_batch("ROLLBACK")?;
        return Ok(());
    }
    durable
}

fn write_group(
    vault: &Vault,
    group: Vec<Work>,
    finishes: &mut Vec<Finish>,
) -> Result<(), CustodyError> {
    let execute = |statement| vault.db.prepare_cached(statement)?.execute([]).map(drop);
    execute("BEGIN IMMEDIATE")?;
    for work in group {
        execute("SAVEPOINT request")?;
        let Outcome { keep, finish } = work(vault);
        finishes.push(finish);
        if !keep {
            execute("ROLLBACK TO request")?;
        }
        execute("RELEASE request")?;
    }
    Ok(execute("COMMIT")?)
}

fn stopped() -> CustodyError {
    CustodyError::Unavailable { detail: "its thread has stopped".to_owned() }
}
