//! Files read side by side, and judged in one order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use super::super::Failure;
use super::super::progress::Progress;
use super::archive::beginning_of;
use super::{MAX_AHEAD, Watcher};
use crate::engine::{Engine, Fresh, Generation, Guess, Hit, Scratch, SourceId};
use crate::record::batch::{BadRow, Mapped, Timed};
use crate::record::scan::{Fault, Scanner};
use crate::record::{Batch, Locator, Millis, Phase, RowId, Timestamp};
use crate::source::now::MAX_HELD;
use crate::source::{Block, Blocks, Input, NowGuard};

/// Blocks of a round. Fixed, so that the order in which several files are
/// read does not depend on the number of threads.
const BLOCKS_AT_A_TIME: usize = 8;

/// What the engine hears of: all files together.
const FILES: SourceId = SourceId(0);

/// A file whose next block is read and scanned by whichever thread comes first.
pub(super) struct Ahead<'a> {
    base: Locator,
    front: Mutex<Front<'a>>,
}

/// How far a file is, and its number.
type Turn = (Option<Timestamp>, usize);

/// How far a file has been read.
struct Front<'a> {
    input: &'a Input,
    /// None: it is opened when it is its turn.
    blocks: Option<Blocks>,
    /// Blocks that were read and are not taken yet, in their order.
    coming: VecDeque<mpsc::Receiver<Scanned>>,
    /// The file is at its end; with why, if it broke off.
    ended: bool,
    broken: Option<Failure>,
}

/// What is known of a file from the rows that were judged.
pub(super) struct Judged {
    guard: NowGuard,
    /// Newest start among the rows that were taken in; before the first, where it begins, if somebody looked.
    newest: Option<Timestamp>,
    /// Its newest row, as the others know it.
    known: Option<(Timestamp, RowId)>,
    /// It was read to its end, and this is the first of the rows that are ahead of all it shows.
    waits: Option<Timestamp>,
    done: bool,
    /// Blocks that threads were asked to read ahead and that are not taken yet.
    asked: usize,
}

impl Judged {
    /// Nothing yet; where it begins, if somebody looked.
    pub(super) fn new(guard: NowGuard, begins: Option<Timestamp>) -> Self {
        Self { guard, newest: begins, known: None, waits: None, done: false, asked: 0 }
    }

    /// How far it is.
    fn place(&self) -> Option<Timestamp> {
        self.newest.max(self.waits)
    }
}

/// A block that was scanned, and what it may bring.
struct Scanned {
    batch: Batch,
    guess: Option<Guess>,
    /// Bytes of the file.
    bytes: u64,
}

/// What every thread works with.
pub(super) struct Shared {
    scanner: Scanner,
    generation: Arc<Generation>,
    /// One a thread that has scanned.
    scratches: Mutex<Vec<Scratch>>,
}

/// Everything that goes on, in order, while files are read.
pub(super) struct Reader<'a> {
    pub(super) engine: Engine,
    shared: &'a Shared,
    settle: Millis,
    /// Of the other files that are not at their end the least of [`Judged::place`].
    others: Option<Timestamp>,
    /// One of them has not been read to its end.
    others_are_read: bool,
    /// Rows that may confirm those of other files: the newest of each, and those that wait.
    beside: BTreeSet<(Timestamp, RowId)>,
    /// The newest time that the rows of a file have confirmed.
    confirmed: Option<Timestamp>,
    watcher: &'a mut dyn Watcher,
    pub(super) read: u64,
    pub(super) timed: Timed,
    pub(super) mapped: Vec<Mapped>,
    /// The earliest and the latest time of rows that were set aside as ahead of now.
    pub(super) ahead: Option<[Timestamp; 2]>,
    pub(super) quarantined: BTreeMap<String, (u64, BadRow)>,
    pub(super) disordered: u64,
    pub(super) broken: Vec<Failure>,
}

impl Shared {
    /// What lines are scanned by, and what is looked for.
    pub(super) fn new(scanner: Scanner, generation: Arc<Generation>) -> Self {
        Self { scanner, generation, scratches: Mutex::default() }
    }

    fn scanned(&self, block: Block, base: Locator, ahead: bool) -> Scanned {
        let bytes = block.bytes.len() as u64;
        let batch = block.scan(&self.scanner, base);
        let guess = ahead.then(|| self.with_scratch(|scratch| self.generation.guess(&batch, scratch)));
        Scanned { batch, guess, bytes }
    }

    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = lock(&self.scratches).pop().unwrap_or_default();
        let done = work(&mut scratch);
        lock(&self.scratches).push(scratch);
        done
    }
}

impl<'a> Ahead<'a> {
    /// The file of this number; it is opened already, or when it is its turn.
    pub(super) fn new(number: usize, input: &'a Input, blocks: Option<Blocks>) -> Self {
        let front = Front { input, blocks, coming: VecDeque::new(), ended: false, broken: None };
        Self { base: beginning_of(number), front: Mutex::new(front) }
    }

    /// Reads and scans the next block, if there is one: it comes after those that were read before.
    fn read(&self, shared: &Shared) {
        let (done, coming) = mpsc::sync_channel(1);
        let block = {
            let mut front = lock(&self.front);
            let block = front.next();
            front.coming.extend(block.as_ref().map(|_| coming));
            block
        };
        if let Some(block) = block {
            // If nobody waits for it, nobody wants it.
            let _ = done.send(shared.scanned(block, self.base, true));
        }
    }
}

impl Front<'_> {
    fn next(&mut self) -> Option<Block> {
        if self.ended {
            return None;
        }
        let opened = self.blocks.take().map_or_else(|| self.input.blocks(), Ok);
        let next = opened.map(|opened| self.blocks.insert(opened).next());
        match next {
            Ok(Some(Ok(block))) => return Some(block),
            Ok(Some(Err(error))) | Err(error) => self.broken = Some(error.into()),
            Ok(None) => {}
        }
        // It is closed: of many files only those are open that are being read.
        (self.ended, self.blocks) = (true, None);
        None
    }

    /// Takes back the bytes of a block that is done with.
    fn recycle(&mut self, bytes: Vec<u8>) {
        if let Some(blocks) = &mut self.blocks {
            blocks.recycle(bytes);
        }
    }
}

impl<'a> Reader<'a> {
    /// Nothing read yet.
    pub(super) fn new(
        engine: Engine,
        shared: &'a Shared,
        settle: Millis,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        Self {
            engine,
            shared,
            settle,
            others: None,
            others_are_read: false,
            beside: BTreeSet::new(),
            confirmed: None,
            watcher,
            read: 0,
            timed: Timed::default(),
            mapped: Vec::new(),
            ahead: None,
            quarantined: BTreeMap::new(),
            disordered: 0,
            broken: Vec::new(),
        }
    }

    /// Reads and judges all files to their ends.
    pub(super) fn run<'scope, 'files: 'scope>(
        &mut self,
        readings: &'scope [Ahead<'files>],
        files: &mut [Judged],
        scope: &rayon::ScopeFifo<'scope>,
        progress: &mut Progress,
    ) where
        Self: 'scope,
    {
        self.engine.add_source(FILES, None);
        let (alone, ahead) = (rayon::current_num_threads() == 1, files.len() <= MAX_AHEAD);
        let mut going: BTreeSet<Turn> =
            (0..files.len()).map(|number| (files[number].place(), number)).collect();
        let mut waiting: BTreeSet<Turn> = BTreeSet::new();
        while let Some(turn) = self.next(files, &going, &waiting) {
            let _ = going.remove(&turn) || waiting.remove(&turn);
            let others = going.first().into_iter().chain(waiting.first()).map(|(place, _)| *place).min();
            self.others = others.unwrap_or(Some(Timestamp::MAX));
            self.others_are_read = !going.is_empty();
            let (file, reading) = (&mut files[turn.1], &readings[turn.1]);
            let mut ended = false;
            for left in (1..=BLOCKS_AT_A_TIME).rev() {
                let scanned = if alone {
                    // A block at a time, which stays in the caches of the one thread.
                    let block = lock(&reading.front).next();
                    block.map(|block| self.shared.scanned(block, reading.base, false))
                } else {
                    let most = if ahead { BLOCKS_AT_A_TIME } else { left };
                    self.next_block(file, reading, scope, most)
                };
                let Some(scanned) = scanned else {
                    self.broken.extend(lock(&reading.front).broken.take());
                    ended = true;
                    break;
                };
                progress.read(scanned.bytes, self.read);
                for bytes in self.take(file, scanned).into_iter().flatten() {
                    lock(&reading.front).recycle(bytes);
                }
            }
            if let Some(before) = std::mem::replace(&mut file.known, file.guard.newest_row()) {
                self.beside.remove(&before);
            }
            self.beside.extend(file.known);
            self.confirmed = self.confirmed.max(file.guard.confirmed());
            if !ended {
                going.insert((file.place(), turn.1));
            } else if self.waits(file) {
                waiting.insert((file.place(), turn.1));
            } else {
                self.end(file);
            }
            self.progress(file);
        }
        self.finish(files);
    }

    /// The file that goes on: the one that is furthest behind, and the first one of those. One that waits does so
    /// when another has confirmed what is ahead in it, or none can any more.
    fn next(&self, files: &[Judged], going: &BTreeSet<Turn>, waiting: &BTreeSet<Turn>) -> Option<Turn> {
        let first = going.first();
        let behind = waiting.iter().take_while(|(place, _)| first.is_none_or(|(other, _)| place <= other));
        let mut confirmed =
            behind.filter(|(_, number)| files[*number].guard.confirms(self.confirmed, &self.beside));
        confirmed.next().or(first).or(waiting.first()).copied()
    }

    /// Every file is at its end. An end that is far ahead of the starts in its own file may be near to one in
    /// another, as if all stood in one.
    fn finish(&mut self, files: &[Judged]) {
        let newest = files.iter().filter_map(|file| file.guard.newest()).max().unwrap_or(Timestamp::MIN);
        let last = files.iter().filter_map(|file| file.guard.last_beside(newest)).max();
        let outcome = self.engine.finish(FILES, last.unwrap_or(newest));
        self.watcher.outcome(outcome);
    }

    /// A file's next block. Others read at most so many ahead of it; while it is not there yet, this
    /// thread does as they do.
    fn next_block<'scope, 'files: 'scope>(
        &self,
        file: &mut Judged,
        reading: &'scope Ahead<'files>,
        scope: &rayon::ScopeFifo<'scope>,
        most: usize,
    ) -> Option<Scanned>
    where
        Self: 'scope,
    {
        let shared = self.shared;
        loop {
            let (coming, ended) = {
                let mut front = lock(&reading.front);
                (front.coming.pop_front(), front.ended)
            };
            while !ended && file.asked < most {
                file.asked += 1;
                scope.spawn_fifo(move |_| reading.read(shared));
            }
            let Some(coming) = coming else {
                if ended {
                    return None;
                }
                rayon::yield_now();
                continue;
            };
            file.asked -= 1;
            loop {
                match coming.try_recv() {
                    Ok(scanned) => return Some(scanned),
                    Err(mpsc::TryRecvError::Disconnected) => return None,
                    Err(mpsc::TryRecvError::Empty) => {}
                }
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    // Some other thread is at it.
                    return coming.recv().ok();
                }
            }
        }
    }

    /// Takes in and judges what was read. Gives the buffers of blocks that are done with.
    fn take(&mut self, file: &mut Judged, scanned: Scanned) -> [Option<Vec<u8>>; 2] {
        let Scanned { mut batch, guess, .. } = scanned;
        let released = file.guard.admit(&mut batch);
        self.count(&batch);
        let released = released.map(|released| self.judge(file, released, None));
        [released, Some(self.judge(file, batch, guess))]
    }

    /// Takes in and judges a batch; the room of its text.
    fn judge(&mut self, file: &mut Judged, batch: Batch, guess: Option<Guess>) -> Vec<u8> {
        let fresh = self.engine.take_in(&batch);
        let scan =
            |some: &[Fresh]| self.shared.with_scratch(|scratch| self.engine.scan(&batch, some, scratch));
        let hits = match guess {
            Some(guess) => guess.settled(&fresh, scan),
            None => scan(&fresh),
        };
        self.watcher.batch(&batch, &fresh);
        self.advance(file, &batch, &fresh, hits);
        self.shared.scanner.recycle(batch)
    }

    /// A row that is further behind than `settle` comes after the watermark that the rows before it
    /// made, wherever blocks happen to end.
    fn advance(&mut self, file: &mut Judged, batch: &Batch, fresh: &[Fresh], mut hits: Vec<Hit>) {
        // Ends come with their rows, and a row that came again unchanged is nothing.
        for one in fresh.iter().filter(|one| one.phase != Phase::End) {
            let start = batch.rows[one.row].start;
            if file.newest.is_some_and(|newest| start <= newest - self.settle) {
                self.disordered += u64::from(one.phase != Phase::Amended);
                let rest = hits.split_off(hits.partition_point(|hit| hit.row < one.row));
                let before = std::mem::replace(&mut hits, rest);
                let outcome = self.engine.advance(batch, before);
                self.watcher.outcome(outcome);
                self.progress(file);
            }
            file.newest = file.newest.max(Some(start));
        }
        let outcome = self.engine.advance(batch, hits);
        self.watcher.outcome(outcome);
    }

    /// All files are complete up to where the last of them is, which is this one or another.
    fn progress(&mut self, file: &Judged) {
        // Where none is read any more, what waits may all be wrong dates; that all are at their end is the watermark.
        let is_read = !file.done && file.waits.is_none();
        let newest = if file.done { self.others } else { file.place().min(self.others) };
        if let Some(newest) = newest.filter(|_| is_read || self.others_are_read) {
            let watermark = newest - self.settle;
            let outcome = self.engine.progress(FILES, watermark, watermark);
            self.watcher.outcome(outcome);
        }
    }

    /// Whether a file that was read to its end goes on: rows that are ahead of all it shows wait until the others
    /// have come there, which may confirm them, as if all stood in one.
    fn waits(&mut self, file: &mut Judged) -> bool {
        match file.waits.take() {
            None if self.others < Some(Timestamp::MAX) => {
                let room = MAX_HELD.saturating_sub(self.beside.len());
                self.beside.extend(file.guard.held().take(room));
            }
            _ => {
                let Some(released) = file.guard.confirm(self.confirmed, &self.beside) else { return false };
                self.judge(file, released, None);
                self.confirmed = self.confirmed.max(file.guard.confirmed());
            }
        }
        file.waits = file.guard.held().next().map(|(time, _)| time);
        file.waits.is_some()
    }

    /// The file is at its end: what nobody confirmed is future.
    fn end(&mut self, file: &mut Judged) {
        let (rest, faults) = file.guard.finish();
        for fault in faults {
            self.quarantine(&fault);
        }
        if let Some(batch) = rest {
            self.judge(file, batch, None);
        }
        file.done = true;
    }

    fn count(&mut self, batch: &Batch) {
        self.read += batch.read;
        self.timed = self.timed + batch.timed;
        self.mapped.resize(batch.mapped.len(), Mapped::default());
        for (mapped, later) in self.mapped.iter_mut().zip(&batch.mapped) {
            mapped.add(later);
        }
        for fault in &batch.faults {
            self.quarantine(fault);
        }
    }

    /// Sets a line aside.
    pub(super) fn quarantine(&mut self, bad: &BadRow) {
        if let Fault::Future { dated, .. } = bad.fault {
            let [first, last] = self.ahead.unwrap_or([dated; 2]);
            self.ahead = Some([first.min(dated), last.max(dated)]);
        }
        let reason = bad.fault.reason().to_owned();
        let entry = self.quarantined.entry(reason).or_insert_with(|| (0, bad.clone()));
        entry.0 += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
