//! What a durable commit costs: a page of rows with its cursor; and what reading the journal back costs.
//! Run with `cargo bench --bench commit`. The disk decides: its flushes are most of a commit.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use larum::engine::SourceId;
use larum::record::Timestamp;
use larum::store::sqlite::Sqlite;
use larum::store::{Change, Cursor, Entry, Event, Fence, Store};
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

/// Commits measured together, so that one slow flush does not stand for all.
const COMMITS: u64 = 50;

struct Place {
    _folder: tempfile::TempDir,
    runtime: Runtime,
    store: Sqlite,
    fence: Fence,
    next: u64,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("larum.db")).unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        let fence = runtime.block_on(store.fence(Arc::from("default"))).unwrap();
        Self { _folder: folder, runtime, store, fence, next: 1 }
    }

    fn page(&mut self, rows: u64) -> Vec<Change> {
        let lane = SourceId(1);
        let text: String = (0..rows).map(|row| line(self.next * 1_000 + row)).collect();
        let event = Event::Read { lane, rows: text, twins: Vec::new(), watermark: None };
        let entry = Entry { seq: self.next, at: Timestamp(0), event };
        let cursor = Cursor { lane, place: format!("{{\"page\":{}}}", self.next) };
        self.next += 1;
        vec![Change::Journal(entry), Change::Cursor(cursor)]
    }
}

fn line(number: u64) -> String {
    let (user, host) = (number % 977, number % 5_003);
    format!(
        "{{\"user_name\":\"user{user}\",\"computer_name\":\"desk-{host}\",\"public_ip\":\"198.51.100.{}\",\
         \"login_start_time\":\"2026-01-05T09:{:02}:{:02}Z\",\"network_rtt\":{},\"record_id\":\"{number:032x}\"}}\n",
        number % 256,
        number / 60 % 60,
        number % 60,
        number % 300
    )
}

/// One commit after the other: items are rows.
#[divan::bench(args = [1, 100, 1_000], sample_count = 10, sample_size = 1)]
fn pages(bencher: Bencher, rows: u64) {
    let mut place = Place::new();
    bencher.counter(ItemsCount::new(COMMITS * rows)).bench_local(|| {
        for _ in 0..COMMITS {
            let page = place.page(rows);
            place.runtime.block_on(place.store.commit(place.fence.clone(), page)).unwrap();
        }
    });
}

/// Small commits that wait together: items are commits.
#[divan::bench(args = [1, 16], sample_count = 10, sample_size = 1)]
fn at_once(bencher: Bencher, waiting: u64) {
    let place = Place::new();
    bencher.counter(ItemsCount::new(COMMITS * waiting)).bench_local(|| {
        for _ in 0..COMMITS {
            place.runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..waiting {
                    let count = Change::Count { name: "late".to_owned(), by: 1 };
                    tasks.spawn(place.store.commit(place.fence.clone(), vec![count]));
                }
                tasks.join_all().await.into_iter().for_each(|done| done.unwrap());
            });
        }
    });
}

/// The journal read back: items are rows.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn journal(bencher: Bencher) {
    let mut place = Place::new();
    for _ in 0..100 {
        let page = place.page(1_000);
        place.runtime.block_on(place.store.commit(place.fence.clone(), page)).unwrap();
    }
    bencher.counter(ItemsCount::new(100_000_u64)).bench_local(|| {
        let mut after = 0;
        loop {
            let tenant = Arc::clone(&place.fence.tenant);
            let chunk = place.runtime.block_on(place.store.journal(tenant, after, 4 << 20)).unwrap();
            let Some(last) = chunk.last() else { break after };
            after = last.seq;
        }
    });
}
