//! The one thread that writes.
//!
//! Commits that wait together share one transaction and so one flush of the disk; within it each
//! stands or falls by itself, and none is answered before all of them are durable. After a failed
//! write nothing more is written: what the disk holds then is unknown.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension, params};

use super::change;
use super::fault::{Fault, Outcome};
use super::queue::{Held, Jobs, Message, Queue, Reply};
use crate::store::{Answer, Change, Fence, StoreError};

/// Commits that may wait or be worked on; more wait outside.
const MAX_WAITING: usize = 64;
/// Free pages that are given back to the disk after each [`Change::Forget`]: enough to shrink a
/// store within days, few enough to delay nobody.
const PAGES_GIVEN_BACK: u32 = 1_024;

/// Something to be written.
pub(super) enum Job {
    /// Takes a tenant over.
    Fence { tenant: Arc<str>, reply: Reply<Fence> },
    /// Makes changes.
    Commit { fence: Fence, changes: Vec<Change>, reply: Reply<()> },
    /// Whatever a test wants of the connection.
    #[cfg(test)]
    With { run: Box<dyn Fn(&Connection) + Send>, reply: Reply<()> },
}

impl Job {
    /// Makes the changes within the transaction that is open; the fence that holds afterwards.
    fn apply(&self, connection: &Connection) -> Outcome<Fence> {
        match self {
            Self::Fence { tenant, .. } => fence(connection, tenant),
            Self::Commit { fence, changes, .. } => {
                check(connection, fence)?;
                change::apply(connection, &fence.tenant, changes)?;
                Ok(fence.clone())
            }
            #[cfg(test)]
            Self::With { .. } => Ok(Fence { tenant: "".into(), epoch: 0 }),
        }
    }

    fn answer(self, result: Result<Fence, StoreError>) {
        // Whoever asked may be gone; what was done stays done.
        match self {
            Self::Fence { reply, .. } => drop(reply.send(result)),
            Self::Commit { reply, .. } => drop(reply.send(result.map(|_| ()))),
            #[cfg(test)]
            Self::With { reply, .. } => drop(reply.send(result.map(|_| ()))),
        }
    }

    fn forgets(&self) -> bool {
        matches!(self, Self::Commit { changes, .. } if changes.iter().any(|change| matches!(change, Change::Forget { .. })))
    }
}

/// The writer as others see it.
pub(super) struct Writer {
    queue: Queue<Job>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Writes through `connection` from a thread of its own.
    pub(super) fn start(connection: Connection) -> Outcome<Self> {
        let (queue, jobs) = Queue::new(MAX_WAITING);
        let thread = super::spawn("store-write", move || Writing::of(connection).run(&jobs))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Hands in a job.
    pub(super) fn ask<T: Send + 'static>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Answer<T> {
        self.queue.ask(job)
    }
}

/// Writes what was handed in already, then ends.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close(1);
        if let Some(thread) = self.thread.take() {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }
}

/// The thread's own.
pub(super) struct Writing {
    connection: Connection,
    /// Why nothing is written any more.
    refusing: Option<StoreError>,
}

impl Writing {
    pub(super) fn of(connection: Connection) -> Self {
        Self { connection, refusing: None }
    }

    fn run(mut self, jobs: &Jobs<Job>) {
        let mut stopped = false;
        while !stopped {
            let Ok(Message::Job(first)) = jobs.recv() else { return };
            let mut group = vec![first];
            // The queue holds no more than `MAX_WAITING`, and those done keep their places until answered.
            stopped = loop {
                match jobs.try_recv() {
                    Ok(Message::Job(next)) => group.push(next),
                    Ok(Message::Stop) => break true,
                    Err(mpsc::TryRecvError::Empty | mpsc::TryRecvError::Disconnected) => break false,
                }
            };
            self.write(group);
        }
    }

    fn write(&mut self, group: Vec<Held<Job>>) {
        #[cfg(test)]
        for held in &group {
            if let Job::With { run, .. } = &held.job {
                run(&self.connection);
            }
        }
        let forgets = group.iter().any(|held| held.job.forgets());
        let jobs: Vec<&Job> = group.iter().map(|held| &held.job).collect();
        let results = self.together(&jobs);
        for (held, result) in group.into_iter().zip(results) {
            held.job.answer(result);
        }
        if forgets && self.refusing.is_none() {
            // Room that could not be given back now is given back later.
            let _ = give_back(&self.connection).map_err(|fault| self.note(fault));
        }
    }

    /// Writes all jobs in one transaction, or, where that fails as a whole, each in its own.
    fn together(&mut self, jobs: &[&Job]) -> Vec<Result<Fence, StoreError>> {
        match self.transaction(jobs) {
            Ok(results) => results,
            Err(error) if jobs.len() == 1 => vec![Err(error)],
            Err(_) => jobs.iter().map(|job| self.alone(job)).collect(),
        }
    }

    fn alone(&mut self, job: &Job) -> Result<Fence, StoreError> {
        self.transaction(&[job])?.pop().unwrap_or(Err(StoreError::Closed))
    }

    /// One transaction: what each job came to once all is durable, or why nothing was changed.
    pub(super) fn transaction(
        &mut self,
        jobs: &[&Job],
    ) -> Result<Vec<Result<Fence, StoreError>>, StoreError> {
        if let Some(error) = &self.refusing {
            return Err(error.clone());
        }
        let results = self.attempt(jobs);
        if results.is_err() && !self.connection.is_autocommit() {
            // Where this fails too, the transaction that stays open lets no other begin.
            let _ = self.connection.execute_batch("ROLLBACK").map_err(|error| self.note(Fault::Sql(error)));
        }
        results
    }

    fn attempt(&mut self, jobs: &[&Job]) -> Result<Vec<Result<Fence, StoreError>>, StoreError> {
        self.run_sql("BEGIN IMMEDIATE")?;
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            self.run_sql("SAVEPOINT job")?;
            match job.apply(&self.connection) {
                Ok(fence) => {
                    self.run_sql("RELEASE job")?;
                    results.push(Ok(fence));
                }
                Err(fault) => {
                    let error = self.note(fault);
                    // SQLite takes the whole transaction back by itself after some errors.
                    if self.refusing.is_some() || self.connection.is_autocommit() {
                        return Err(error);
                    }
                    self.run_sql("ROLLBACK TO job; RELEASE job")?;
                    results.push(Err(error));
                }
            }
        }
        self.run_sql("COMMIT")?;
        Ok(results)
    }

    fn run_sql(&mut self, sql: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(sql).map_err(|error| self.note(Fault::Sql(error)))
    }

    /// Tells a fault, and refuses all that comes after where it is final.
    pub(super) fn note(&mut self, fault: Fault) -> StoreError {
        let is_final = fault.is_final();
        let error = StoreError::from(fault);
        if is_final && self.refusing.is_none() {
            self.refusing = Some(match &error {
                StoreError::Failed(words) => StoreError::Failed(format!(
                    "{words}; nothing more is written until Larum has been started again"
                )),
                StoreError::Taken { .. }
                | StoreError::Fenced { .. }
                | StoreError::Full
                | StoreError::Busy
                | StoreError::Corrupt(_)
                | StoreError::TooNew { .. }
                | StoreError::Closed => error.clone(),
            });
        }
        self.refusing.clone().filter(|_| is_final).unwrap_or(error)
    }
}

/// Gives free pages back to the disk.
fn give_back(connection: &Connection) -> Outcome<()> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})"))?;
    let mut pages = statement.query([])?;
    // Each step gives back one page.
    while pages.next()?.is_some() {}
    Ok(())
}

fn fence(connection: &Connection, tenant: &Arc<str>) -> Outcome<Fence> {
    let sql = "INSERT INTO tenants (tenant, epoch) VALUES (?1, 1)
               ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch";
    let epoch = connection.query_row(sql, [&**tenant], |row| row.get(0))?;
    Ok(Fence { tenant: Arc::clone(tenant), epoch })
}

fn check(connection: &Connection, fence: &Fence) -> Outcome<()> {
    let sql = "SELECT epoch FROM tenants WHERE tenant = ?1";
    let now: Option<u64> = connection.query_row(sql, params![&*fence.tenant], |row| row.get(0)).optional()?;
    match now {
        Some(now) if now == fence.epoch => Ok(()),
        Some(_) | None => Err(StoreError::Fenced {
            tenant: Arc::clone(&fence.tenant),
            ours: fence.epoch,
            now: now.unwrap_or(0),
        }
        .into()),
    }
}
