//! Files of records into the engine, in the order that makes the same alerts whatever the number of
//! threads and the size of blocks.
//!
//! The file that is furthest behind is read on, a round of so many blocks at a time, and all are known up to where
//! the last of them is. Of many files each is looked into for where it begins, and opened when the others have come
//! there: a year of daily files takes no more memory than one of them. What stands further back in a file than its
//! first block says is then late, where a file that is open from the beginning might still give it in time.
//!
//! While a block is judged, in order, by one thread, the others read and scan those that follow it, on the guess
//! that all their rows are new; those that came again with other content are scanned again. Who judges scans as
//! well while the next block is not there: no thread waits for the others at the end of anything but the file.
//!
//! # Where the time goes
//!
//! Of a replay of 500,000 records of 770 bytes under one rule without a verb that 3 % of them hit, on one
//! thread, by samples: reading lines two fifths (the walk over keys a sixth of all, digests of lines and
//! marks of ids 5 %, stops and UTF-8 6 %), the kernel a fifth for copying the file, telling alerts a fifth
//! (8 microseconds each), remembering rows a tenth. Pages that are touched for the first time are the rest,
//! 3 % to 10 % as the machine pleases.
//!
//! Under three rules, one of which is hit by nearly every record: reading lines three tenths, judging
//! groups a quarter, finding hits and their groups and values an eighth, remembering rows a tenth, the
//! kernel an eighth. Under a thousand rules of every kind a quarter is looking up what a record shows (see
//! `rule::index`), half of that in fields whose texts hardly come twice, and telling alerts an eighth. Under ten
//! thousand more than a quarter is finding hits, a fifth the kernel (900 MB of alerts are written, and pages touched
//! for the first time are 8 %), a tenth allocation, and judging groups, reading lines and telling alerts 6 % each. What paid:
//!
//! - One window for counting rules that differ in what they ask of it alone (see `engine::group::alike`), and
//!   looking at a rule only where two things are shown that it needs: ten thousand rules took 10.5 s and 490 MB
//!   before, and 6.7 s and 250 MB after.
//! - Looking records up field by field and not record by record: 2 to 5 %.
//! - Drafts packed until they are told (see `replay::drafts`), and no more records named in an alert than
//!   it shows. Ten thousand rules took 850 MB before and take 500 MB now.
//! - Rows are remembered no longer than the lookback where every rule judges on arrival, in chunks that are
//!   used again: freed ones went back to the system, and their pages had to be touched anew.
//! - Group keys that hold their bytes, instead of shared ones that were looked up: no count of owners
//!   on a line of memory that somebody else touched last.
//! - Values of some dozens of hits looked up together, and shared by all rules that want the same; verdicts
//!   kept by place of a fact's word.
//! - Writing what is remembered where it lies, and keys of rows as two numbers. A value put together in
//!   parts and then copied as a whole waits until all writes before it are done, those to memory out of
//!   reach included: that was a tenth of everything, in one instruction.
//! - Rows marked by a digest that only spreads (see `Scanner::marking`), which is made whole for what is hit:
//!   6 % where that is little, and 2 % the other way where it is nearly every row.
//! - Every key looked up at once where each line has an order of its own, and its value found without
//!   waiting for that: an eighth of such a file.
//! - Buffers that need not be made zero again, and read in one call. Rows of alerts read as many at a time
//!   as stay in the caches, and written as text once however many alerts show them, by the keys of the row
//!   before: to make a map of each and write that took two and a half times as long.
//! - Threads that wait for nothing but the next block, and tell alerts side by side: two take 0.55 to 0.7 of
//!   the time of one. Before, with a round's end to wait for, it was 0.7.
//! - Texts of a field remembered by the thousand, packed, and not five hundred in places of their own: users
//!   and addresses come again and again. 5 % of a thousand rules and more.
//! - Memory by the page: huge pages off saves 25 to 40 MB of 60 to 115, and costs nothing where rules are few and
//!   3 % to 5 % where there are many rules or groups. A page that is touched for the first time is time, too.
//! - Short texts of a field known by their two ends, which are all of them and lie in the table: 3 % to 8 % of ten
//!   rules and more. Rows forgotten in the order they came, and a table that holds no more than their places:
//!   1 % to 2 %, and 5 MB to 8 MB.
//! - Hits far ahead of the watermark kept by time and sorted when it comes near, and the end of a row with the row:
//!   all shipped rules over an archive whose sessions end hours later took 17.5 s and 410 MB, and take 9.7 s and 305 MB.
//!   Half of that is what rules ask of the past, by three parts: to find it out, to learn and to settle it.
//! - Packed files unpacked once more for all lines that alerts show, and not once for every hundred alerts; many files
//!   opened when the others have come to where they begin.
//! - One thread that is the one which loaded the rules, expressions that are compiled when a text is first looked
//!   through, groups that are made when there is one: 152 MB of ten thousand rules, then 137.
//!
//! What did not:
//!
//! - Pages that are never returned; room for rows looked at ahead of writing them; larger blocks (1 % to 3 % where
//!   rules are many).
//! - Places of stops listed ahead of the walk (half the walk, and listing them costs more than the other half); a
//!   value's end expected where it was in the line before (what is foreseen wrongly costs more), and of those alone
//!   that are always as long (what waits is not the walk: it has as many steps as the processor takes); the walk
//!   over strings in a function of its own.
//! - Stops found a few lines ahead of their walk; a walk of fewer steps; two lines walked side by side, so that
//!   neither waits for its places alone (2 % of one rule, and lost again where keys are in no order).
//! - A row found and added with one look at the table (the look is not made in place then).
//! - Short texts known by three words, without a look at their length (2 % to 3 %: there is more to do, and lengths
//!   are foreseen well enough).
//! - What newer processors can do (`x86-64-v3`: 2 % to 5 %, and none older runs it).
//!
//! Files are not mapped into memory: one that is cut short meanwhile would end the process without a word, and
//! nothing is gained. To copy them is a sixth of one rule's time, but what is mapped waits for memory just as long
//! when it is read.
//!
//! What is left: hits of the last hour in one ring a rule instead of a list a group, which is as good as all that
//! native rules wait for; counts of owners of a hit's values, three up and three down a hit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use crate::config::fields;
use crate::engine::seen::Tally;
use crate::engine::{Engine, Fresh, Generation, Guess, Hit, Outcome, Scratch, SourceId};
use crate::record::batch::{BadRow, Timed};
use crate::record::describe::Describer;
use crate::record::scan::{Fault, Mapping, Origin, Scanner};
use crate::record::{Batch, Locator, Millis, Phase, RowId, Timestamp};
use crate::source::kept::Kept;
use crate::source::now::MAX_HELD;
use crate::source::sort::sort;
use crate::source::spool::no_file_for;
use crate::source::{Block, Blocks, Input, NowGuard};

use super::explain::parse_time;
use super::progress::Progress;
use super::{Failure, show};

/// Blocks of a round. Fixed, so that the order in which several files are
/// read does not depend on the number of threads.
const BLOCKS_AT_A_TIME: usize = 8;
/// More files than these are not read ahead of their turn: what was read ahead takes memory.
const MAX_AHEAD: usize = 8;
/// Bits of a locator that say where in its file a line is; the others say which file.
const OFFSET_BITS: u32 = 48;

/// An engine and what its scanning needs, for records that are at hand already.
#[derive(Debug)]
pub struct Feed {
    /// The engine.
    pub engine: Engine,
    scratch: Scratch,
}

impl Feed {
    /// Feeds `engine`.
    pub fn new(engine: Engine) -> Self {
        Self { engine, scratch: Scratch::default() }
    }

    /// Takes in one batch.
    pub fn take(&mut self, batch: &Batch) -> Outcome {
        let fresh = self.engine.take_in(batch);
        let hits = self.engine.scan(batch, &fresh, &mut self.scratch);
        self.engine.advance(batch, hits)
    }
}

/// What the engine hears of: all files together.
const FILES: SourceId = SourceId(0);

/// How files are read.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArguments {
    /// How the records' keys are named: a YAML map of our field to theirs
    #[arg(long, value_name = "FILE")]
    fields: Option<PathBuf>,
    /// The key of the records' event time; with dots, a path [default: the vendor's names, else the
    /// usual ones of other audit records]
    #[arg(long, value_name = "NAME", value_parser = parse_key)]
    time_field: Option<String>,
    /// Now: records dated more than 5 minutes ahead of it are set aside [default: the newest time
    /// that a second record confirms within 24 hours]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
    /// How far records may be out of order and still be judged in order
    #[arg(long, value_name = "LENGTH", default_value = "60s", value_parser = parse_length)]
    settle: Millis,
    /// The files are in no order: sort them by time on disk first, all together
    #[arg(long)]
    unsorted: bool,
    /// Threads [default: one a processor]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl Default for FileArguments {
    fn default() -> Self {
        Self {
            fields: None,
            time_field: None,
            now: None,
            settle: Millis::secs(60),
            unsorted: false,
            threads: None,
        }
    }
}

fn parse_length(text: &str) -> Result<Millis, String> {
    Millis::parse(text).map_err(|error| error.to_string())
}

fn parse_key(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("name a key of the records, such as eventTime, or a path to one: detail.time".to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error("cannot read the field map `{}`", show::path(path))]
    Fields { path: PathBuf, source: std::io::Error },
    #[error("the field map `{}` cannot be used", show::path(.0))]
    BadFields(PathBuf),
    #[error("too many files: {0}; at most 65535 at a time")]
    TooManyFiles(usize),
    #[error("{}", kept_words(.0))]
    Kept(#[source] std::io::Error),
    #[error("lines of packed files that were kept on disk cannot be read")]
    KeptBefore(#[source] std::io::Error),
    #[error("no threads can be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

fn kept_words(error: &std::io::Error) -> String {
    let what = "to show lines of packed files with their alerts";
    match no_file_for(what, error) {
        Some(words) => format!("{words}, or unpack the files first"),
        None => "lines of packed files that alerts show cannot be kept on disk; the files can be unpacked first, too".to_owned(),
    }
}

/// Somebody who looks on.
pub trait Watcher: Send {
    /// These records of a batch are new.
    fn batch(&mut self, _batch: &Batch, _fresh: &[Fresh]) {}
    /// This came of them.
    fn outcome(&mut self, outcome: Outcome);
    /// Some of the files that will be read are packed: see [`Archive::keep`].
    fn packed(&mut self) {}
}

/// What reading came to.
#[derive(Debug)]
pub struct Fed {
    /// The engine, at the end.
    pub engine: Engine,
    /// The files, for fetching lines again.
    pub archive: Archive,
    /// The files as they were named.
    files: Vec<PathBuf>,
    /// Lines or rows looked at.
    pub read: u64,
    /// What `--time-field` names, and in how many lines it is the time.
    timed: Option<(String, Timed)>,
    /// Lines that make no record, by reason: how many, and the first.
    pub quarantined: BTreeMap<String, (u64, BadRow)>,
    /// Records further behind than `settle`.
    pub disordered: u64,
    /// Files that could not be read to their end, with why.
    pub broken: Vec<Failure>,
    /// The threads that read them.
    pub pool: rayon::ThreadPool,
}

impl Fed {
    /// That what `--time-field` names is the time of no line.
    pub fn untimed(&self) -> Option<String> {
        let (name, timed) = self.timed.as_ref()?;
        // Lines that are too long are not read: whether they have it is not known.
        let unread = self.quarantined.values().any(|(_, bad)| matches!(bad.fault, Fault::TooLong));
        if self.read == 0 || timed.read > 0 || unread {
            return None;
        }
        let name = show::safe(name);
        let timeless =
            |(_, bad): &(u64, BadRow)| matches!(bad.fault, Fault::NoTime | Fault::UnreadableTime(_));
        let made = match (self.engine.rows() == Tally::default(), self.quarantined.values().any(timeless)) {
            (true, _) => "",
            (false, true) => "; other names told the time of some",
            (false, false) => "; other names told their time",
        };
        Some(match timed {
            Timed { there: 0, .. } => format!(
                "no line has `{name}`, which --time-field names{made}; dots make a path (--time-field detail.time)"
            ),
            Timed { there, nested, .. } if there == nested => format!(
                "`{name}`, which --time-field names, is an object or a list{made}; dots make a path to what is in it (--time-field {name}.time)"
            ),
            Timed { .. } => format!("`{name}`, which --time-field names, holds a time in no line{made}"),
        })
    }

    /// The way out for lines without a time, unless [`Fed::untimed`] says it.
    pub fn without_time(&self) -> Option<String> {
        match &self.timed {
            None => Some(
                "where another key says it, name it: --time-field NAME, or a path: detail.time".to_owned(),
            ),
            Some(_) if self.untimed().is_some() => None,
            Some((name, timed)) => Some(format!(
                "`{}`, which --time-field names, holds a time in {} and in none of these",
                show::safe(name),
                show::many_of(timed.read, "line")
            )),
        }
    }

    /// That there was nothing to read.
    pub fn empty(&self) -> Option<String> {
        if self.read > 0 || !self.broken.is_empty() {
            return None;
        }
        Some(match self.files.as_slice() {
            [path] => format!("no records were read: there is nothing in `{}`", show::path(path)),
            paths => format!("no records were read: there is nothing in any of the {} files", paths.len()),
        })
    }
}

/// The files that were read: lines can be fetched by locator.
#[derive(Debug)]
pub struct Archive {
    inputs: Vec<Input>,
    describer: Describer,
    paths: Vec<PathBuf>,
    /// Lines of packed files.
    kept: Option<Kept>,
    /// Lines are fetched from what was made of the files.
    sorted: bool,
}

impl Archive {
    /// Reads lines whole.
    pub fn describer(&self) -> &Describer {
        &self.describer
    }

    /// The lines at `locators`, in that order.
    pub fn lines(&self, locators: &[Locator]) -> Result<BTreeMap<Locator, String>, Failure> {
        let mut lines = BTreeMap::new();
        let mut wanted: Vec<Locator> = locators.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        for of_file in wanted.chunk_by(|one, other| file_of(*one) == file_of(*other)) {
            let Some(number) = of_file.first().map(|one| file_of(*one)) else { continue };
            let Some(input) = self.inputs.get(number) else { continue };
            let offsets: Vec<u64> = of_file.iter().map(|locator| offset_of(*locator)).collect();
            let fetched = match self.kept.as_ref().and_then(|kept| kept.fetch(number, &offsets)) {
                Some(kept) => kept.map_err(FeedError::KeptBefore)?,
                None => input.fetch(&offsets)?,
            };
            lines.extend(of_file.iter().copied().zip(fetched));
        }
        Ok(lines)
    }

    /// Unpacks what is packed once, and keeps the lines at `locators`, sorted, on disk, or all lines if none are
    /// named. Without that, each call of [`Archive::lines`] reads a packed file anew.
    pub fn keep(&mut self, locators: Option<&[Locator]>) -> Result<(), Failure> {
        let of_file = |number: usize| {
            let locators = locators?;
            let from = locators.partition_point(|locator| file_of(*locator) < number);
            let here = locators[from..].iter().take_while(|locator| file_of(**locator) == number);
            Some(here.map(|locator| offset_of(*locator)).collect())
        };
        self.kept = Some(Kept::of(&self.inputs, of_file).map_err(FeedError::Kept)?);
        Ok(())
    }

    /// Where `locator` is, for a person: a file may be called anything.
    pub fn place(&self, locator: Locator) -> String {
        let number = file_of(locator);
        let path = self.paths.get(number);
        let path = path.map_or_else(|| "?".to_owned(), |path| show::path(path));
        let offset = offset_of(locator);
        // What was sorted has other numbers than the files have.
        let input = self.inputs.get(number).filter(|_| !self.sorted);
        match input.and_then(|input| input.line_number(offset)) {
            Some(line) => format!("{path} at line {line}, byte {offset}"),
            None => format!("{path} at byte {offset}"),
        }
    }
}

/// A file whose next block is read and scanned by whichever thread comes first.
struct Ahead<'a> {
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
struct Judged {
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
struct Shared {
    scanner: Scanner,
    generation: Arc<Generation>,
    /// One a thread that has scanned.
    scratches: Mutex<Vec<Scratch>>,
}

/// Everything that goes on, in order, while files are read.
struct Reader<'a> {
    engine: Engine,
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
    read: u64,
    timed: Timed,
    quarantined: BTreeMap<String, (u64, BadRow)>,
    disordered: u64,
    broken: Vec<Failure>,
}

impl FileArguments {
    /// The field map, if one is given.
    pub fn mapping(&self) -> Result<Mapping, Failure> {
        let named = Mapping { time: self.time_field.clone(), ..Mapping::default() };
        let Some(path) = &self.fields else { return Ok(named) };
        #[expect(clippy::disallowed_methods, reason = "the field map is read at this edge")]
        let bytes = std::fs::read(path).map_err(|source| FeedError::Fields { path: path.clone(), source })?;
        let (mapping, problems) = fields::read(path, bytes);
        if !problems.is_empty() {
            show::note(problems.render(show::colour_on_stderr()).trim_end());
            show::note("");
        }
        let mapping = mapping.ok_or_else(|| FeedError::BadFields(path.clone()))?;
        Ok(Mapping { time: named.time, ..mapping })
    }

    /// Feeds the files at `paths_read` to `engine`.
    pub fn feed(
        &self,
        paths_read: &[PathBuf],
        origin: &Origin,
        engine: Engine,
        watcher: &mut dyn Watcher,
    ) -> Result<Fed, Failure> {
        if paths_read.len() > usize::from(u16::MAX) {
            return Err(FeedError::TooManyFiles(paths_read.len()).into());
        }
        let (facts, origin) = (engine.generation().facts.clone(), origin.clone());
        let mut inputs = paths_read.iter().map(|path| Input::open(path)).collect::<Vec<_>>();
        // What is remembered of rows ends with the process, so that marks of them will do.
        let seed = std::hash::RandomState::new().build_hasher().finish();
        let columns = engine.generation().columns.clone();
        let scanner = Scanner::new(columns, facts.clone(), origin.clone()).marking(seed);
        let mut sorted = if self.unsorted { Some(sort(&inputs, &scanner)?) } else { None };
        let mut paths = paths_read.to_vec();
        if let Some(sorted) = &sorted {
            paths = vec![PathBuf::from(format!("{} (sorted)", many(&paths)))];
            inputs = paths.iter().map(|path| Input::spooled(path.clone(), sorted.file.clone())).collect();
        }
        let (mut readings, mut files) = (Vec::new(), Vec::new());
        let many = inputs.len() > MAX_AHEAD;
        for (number, input) in inputs.iter().enumerate() {
            let blocks = input.blocks()?;
            if blocks.is_packed() {
                watcher.packed();
            }
            // What can be read once is not looked into.
            let (newest, blocks) = if many && input.is_file() {
                (self.begin_of(blocks, &scanner), None)
            } else {
                (None, Some(blocks))
            };
            let guard = NowGuard::new(self.now);
            files.push(Judged { guard, newest, known: None, waits: None, done: false, asked: 0 });
            let front = Front { input, blocks, coming: VecDeque::new(), ended: false, broken: None };
            let base = Locator((number as u64) << OFFSET_BITS);
            readings.push(Ahead { base, front: Mutex::new(front) });
        }
        let shared = Shared { scanner, generation: engine.generation().clone(), scratches: Mutex::default() };
        let mut reader = Reader {
            engine,
            shared: &shared,
            settle: self.settle,
            others: None,
            others_are_read: false,
            beside: BTreeSet::new(),
            confirmed: None,
            watcher,
            read: 0,
            timed: Timed::default(),
            quarantined: BTreeMap::new(),
            disordered: 0,
            broken: Vec::new(),
        };
        if let Some(sorted) = &mut sorted {
            for (_, bad) in &sorted.left_out {
                reader.read += 1;
                reader.quarantine(bad);
            }
            reader.broken.extend(sorted.broken.drain(..).map(Failure::from));
        }
        let threads = self.threads.map_or(0, usize::from);
        let pool = pool(threads)?;
        let mut progress = Progress::new(paths_read);
        pool.install(|| rayon::scope_fifo(|scope| reader.run(&readings, &mut files, scope, &mut progress)));
        progress.finish();
        drop(readings);
        let Reader { engine, read, timed, quarantined, disordered, broken, .. } = reader;
        let timed = self.time_field.clone().map(|name| (name, timed));
        let sorted = sorted.is_some();
        let archive = Archive { inputs, describer: Describer::new(facts, origin), paths, kept: None, sorted };
        let files = paths_read.to_vec();
        Ok(Fed { engine, archive, files, read, timed, quarantined, disordered, broken, pool })
    }
}

impl FileArguments {
    /// Where a file begins: the earliest of the first rows, but for those that may be dated ahead of now. None where
    /// that cannot be told; then it is read at once.
    fn begin_of(&self, mut blocks: Blocks, scanner: &Scanner) -> Option<Timestamp> {
        let mut batch = blocks.next()?.ok()?.scan(scanner, Locator(0));
        NowGuard::new(self.now).admit(&mut batch);
        batch.rows.iter().filter(|row| !row.held).map(|row| row.start).min()
    }
}

/// So many threads; 0: as many as there are cores.
fn pool(threads: usize) -> Result<rayon::ThreadPool, FeedError> {
    let builder = || rayon::ThreadPoolBuilder::new().num_threads(threads);
    let is_one = |cores: std::num::NonZeroUsize| cores.get() == 1;
    let alone = threads == 1 || threads == 0 && std::thread::available_parallelism().is_ok_and(is_one);
    // One is the one that asks, so that memory which loading the rules has left over is used again; unless that
    // one works for others already.
    if alone && let Ok(pool) = builder().use_current_thread().build() {
        return Ok(pool);
    }
    builder().build().map_err(FeedError::Threads)
}

impl Shared {
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

impl Ahead<'_> {
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

impl Reader<'_> {
    fn run<'scope, 'files: 'scope>(
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
        for fault in &batch.faults {
            self.quarantine(fault);
        }
    }

    fn quarantine(&mut self, bad: &BadRow) {
        let reason = bad.fault.reason().to_owned();
        let entry = self.quarantined.entry(reason).or_insert_with(|| (0, bad.clone()));
        entry.0 += 1;
    }
}

/// The number of the file that a line is in.
fn file_of(locator: Locator) -> usize {
    usize::try_from(locator.0 >> OFFSET_BITS).unwrap_or(usize::MAX)
}

/// Where in its file a line is.
fn offset_of(locator: Locator) -> u64 {
    locator.0 & ((1 << OFFSET_BITS) - 1)
}

/// The names of files, for people.
fn many(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" + ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
