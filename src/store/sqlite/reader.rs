//! Threads that read, each on a read-only connection of its own. They see what is durable, and hold
//! up nobody who writes.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::fault::Outcome;
use super::queue::{Jobs, Message, Queue};
use crate::store::{Answer, StoreError};

/// Questions that may wait or be worked on; more wait outside.
const MAX_WAITING: usize = 64;

/// A question, which answers by itself.
type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Readers that share one queue.
pub(super) struct Readers {
    queue: Queue<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// One thread for each connection.
    pub(super) fn start(connections: Vec<Connection>) -> Outcome<Self> {
        let (queue, jobs) = Queue::new(MAX_WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut readers = Self { queue, threads: Vec::with_capacity(connections.len()) };
        for connection in connections {
            let jobs = Arc::clone(&jobs);
            readers.threads.push(super::spawn("store-read", move || run(&connection, &jobs))?);
        }
        Ok(readers)
    }

    /// Asks something of one state of the store: nothing that is written meanwhile is seen.
    pub(super) fn ask<T, F>(&self, read: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        self.queue.ask(|reply| {
            Box::new(move |connection: &Connection| {
                if reply.is_closed() {
                    return;
                }
                let answer = within_one_state(connection, read).map_err(StoreError::from);
                // Whoever asked may be gone.
                let _ = reply.send(answer);
            })
        })
    }
}

/// Answers what is asked already, then ends.
impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close(self.threads.len());
        for thread in self.threads.drain(..) {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }
}

fn within_one_state<T>(connection: &Connection, read: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    let state = connection.unchecked_transaction()?;
    let answer = read(&state)?;
    state.finish()?;
    Ok(answer)
}

fn run(connection: &Connection, jobs: &Mutex<Jobs<Job>>) {
    loop {
        let next: Result<_, mpsc::RecvError> = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(Message::Job(held)) => (held.job)(connection),
            Ok(Message::Stop) | Err(mpsc::RecvError) => return,
        }
    }
}
