//! Work on its way to a thread: a bounded queue whose senders wait without blocking one.
//!
//! Room is counted apart from the channel, so that the store can be closed while answers that
//! nobody awaits any more are still held by somebody.

use std::sync::{Arc, mpsc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::store::{Answer, StoreError};

/// The sending end.
pub(super) struct Queue<J> {
    room: Arc<Semaphore>,
    jobs: mpsc::Sender<Message<J>>,
}

/// The receiving end.
pub(super) type Jobs<J> = mpsc::Receiver<Message<J>>;

/// What comes out of the queue.
pub(super) enum Message<J> {
    /// Something to do. Its place in the queue is free again when it is dropped.
    Job(Held<J>),
    /// Nothing comes after this.
    Stop,
}

/// A job and the place it takes.
pub(super) struct Held<J> {
    pub(super) job: J,
    _place: OwnedSemaphorePermit,
}

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

impl<J: Send + 'static> Queue<J> {
    /// A queue for at most `most` jobs that wait or are being done.
    pub(super) fn new(most: usize) -> (Self, Jobs<J>) {
        let (jobs, taken) = mpsc::channel();
        (Self { room: Arc::new(Semaphore::new(most)), jobs }, taken)
    }

    /// Hands in a job once the answer is first polled, and waits for what it comes to.
    pub(super) fn ask<T: Send + 'static>(&self, job: impl FnOnce(Reply<T>) -> J) -> Answer<T> {
        let (reply, answered) = oneshot::channel();
        let (room, jobs, job) = (Arc::clone(&self.room), self.jobs.clone(), job(reply));
        Box::pin(async move {
            let place = room.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            jobs.send(Message::Job(Held { job, _place: place })).map_err(|_| StoreError::Closed)?;
            answered.await.map_err(|_| StoreError::Closed)?
        })
    }

    /// Takes no more jobs, and tells `threads` threads to end after those that are there.
    pub(super) fn close(&self, threads: usize) {
        self.room.close();
        for _ in 0..threads {
            // A thread that is gone already needs no telling.
            let _ = self.jobs.send(Message::Stop);
        }
    }
}
