//! A store whose disk a test fills and empties.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    AlertId, AlertQuery, Answer, Arc, BTreeMap, Change, Checkpoint, Cursor, Delivery, DeliveryId,
    DeliveryQuery, Entry, Fence, Holdings, KeptAlert, Lane, PathBuf, Quarantined, ReceiverName, Sent,
    Silence, Store, StoreError, Timestamp, Try,
};
use crate::alert::Alert;

/// Any store, with no room for more while the test says so.
pub(crate) struct Filling {
    store: Box<dyn Store>,
    full: AtomicBool,
}

impl Filling {
    pub(crate) fn over(store: impl Store) -> Arc<Self> {
        Arc::new(Self { store: Box::new(store), full: AtomicBool::new(false) })
    }

    pub(crate) fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn write<T: Send + 'static>(&self, write: impl FnOnce(&dyn Store) -> Answer<T>) -> Answer<T> {
        if self.full.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(StoreError::Full)));
        }
        write(&*self.store)
    }
}

impl Store for Filling {
    fn fence(&self, tenant: Arc<str>) -> Answer<Fence> {
        self.write(|store| store.fence(tenant))
    }

    fn commit(&self, fence: Fence, changes: Vec<Change>) -> Answer<()> {
        self.write(|store| store.commit(fence, changes))
    }

    fn journal(&self, tenant: Arc<str>, after: u64, bytes: usize) -> Answer<Vec<Entry>> {
        self.store.journal(tenant, after, bytes)
    }

    fn entries(&self, tenant: Arc<str>, seqs: Vec<u64>) -> Answer<Vec<Entry>> {
        self.store.entries(tenant, seqs)
    }

    fn span(&self, tenant: Arc<str>) -> Answer<Option<(u64, u64)>> {
        self.store.span(tenant)
    }

    fn text(&self, digest: String) -> Answer<Option<String>> {
        self.store.text(digest)
    }

    fn tenants(&self) -> Answer<Vec<Arc<str>>> {
        self.store.tenants()
    }

    fn lanes(&self, tenant: Arc<str>) -> Answer<Vec<Lane>> {
        self.store.lanes(tenant)
    }

    fn cursors(&self, tenant: Arc<str>) -> Answer<Vec<Cursor>> {
        self.store.cursors(tenant)
    }

    fn checkpoint(&self, tenant: Arc<str>) -> Answer<Option<Checkpoint>> {
        self.store.checkpoint(tenant)
    }

    fn alerts(&self, query: AlertQuery) -> Answer<Vec<KeptAlert>> {
        self.store.alerts(query)
    }

    fn revisions(&self, tenant: Arc<str>, id: AlertId) -> Answer<Vec<Alert>> {
        self.store.revisions(tenant, id)
    }

    fn due(&self, receiver: ReceiverName, now: Timestamp, most: usize) -> Answer<Vec<Delivery>> {
        self.store.due(receiver, now, most)
    }

    fn next_due(&self, receiver: ReceiverName) -> Answer<Option<Timestamp>> {
        self.store.next_due(receiver)
    }

    fn sent(&self, receiver: ReceiverName, since: Timestamp) -> Answer<Vec<Sent>> {
        self.store.sent(receiver, since)
    }

    fn last_tried(&self, receiver: ReceiverName) -> Answer<Option<Delivery>> {
        self.store.last_tried(receiver)
    }

    fn group_told(&self, receiver: ReceiverName, key: String) -> Answer<Option<Timestamp>> {
        self.store.group_told(receiver, key)
    }

    fn mark(&self, tenant: Arc<str>, receiver: ReceiverName, alert: AlertId) -> Answer<Option<String>> {
        self.store.mark(tenant, receiver, alert)
    }

    fn deliveries(&self, query: DeliveryQuery) -> Answer<Vec<Delivery>> {
        self.store.deliveries(query)
    }

    fn tries(&self, delivery: DeliveryId) -> Answer<Vec<Try>> {
        self.store.tries(delivery)
    }

    fn silences(&self, now: Timestamp) -> Answer<Vec<Silence>> {
        self.store.silences(now)
    }

    fn quarantine(&self, tenant: Arc<str>, most: usize) -> Answer<Vec<Quarantined>> {
        self.store.quarantine(tenant, most)
    }

    fn counters(&self, tenant: Arc<str>) -> Answer<BTreeMap<String, u64>> {
        self.store.counters(tenant)
    }

    fn holdings(&self) -> Answer<Holdings> {
        self.store.holdings()
    }

    fn backup(&self, path: PathBuf) -> Answer<()> {
        self.write(|store| store.backup(path))
    }
}
