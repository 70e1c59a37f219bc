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

mod archive;
mod reader;
mod told;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;

use crate::config::fields;
use crate::engine::{Engine, Fresh, Outcome, Scratch};
use crate::record::batch::{BadRow, Mapped, Timed};
use crate::record::describe::Describer;
use crate::record::scan::{FieldMap, Mapping, Origin, Scanner};
use crate::record::{Batch, Locator, Millis, Timestamp};
use crate::source::sort::sort;
use crate::source::spool::no_file_for;
use crate::source::{Blocks, Input, NowGuard};

use super::progress::Progress;
use super::when::When;
use super::{Failure, show};
pub use archive::Archive;
use reader::{Ahead, Judged, Reader, Shared};

/// More files than these are not read ahead of their turn: what was read ahead takes memory.
const MAX_AHEAD: usize = 8;

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

/// How files are read.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArguments {
    /// How the records' keys are named: a YAML map of our field to theirs
    #[arg(long, value_name = "FILE")]
    fields: Option<PathBuf>,
    /// The key of the records' event time; with dots, a path. A time without a zone is in UTC [default:
    /// the vendor's names, else the usual ones of other audit records]
    #[arg(long, value_name = "NAME", value_parser = parse_key)]
    time_field: Option<String>,
    /// Now: records dated more than 5 minutes ahead of it are set aside [default: the newest time
    /// that a second record confirms within 24 hours]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
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

/// Records of files know no zone: a day is one of UTC.
fn parse_now(text: &str) -> Result<Timestamp, String> {
    Ok(When::parse(text)?.within(chrono_tz::UTC))
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
    #[error(transparent)]
    Twice(#[from] super::Twice),
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
    /// What the field map names, and what became of it.
    mapped: Vec<(FieldMap, Mapped)>,
    /// What `--now` says.
    now: Option<Timestamp>,
    /// The earliest and the latest time of records that are ahead of now.
    ahead: Option<[Timestamp; 2]>,
    /// Lines that make no record, by reason: how many, and the first.
    pub quarantined: BTreeMap<String, (u64, BadRow)>,
    /// Records further behind than `settle`.
    pub disordered: u64,
    /// Files that could not be read to their end, with why.
    pub broken: Vec<Failure>,
    /// The threads that read them.
    pub pool: rayon::ThreadPool,
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
        super::once(paths_read).map_err(FeedError::Twice)?;
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
            files.push(Judged::new(NowGuard::new(self.now), newest));
            readings.push(Ahead::new(number, input, blocks));
        }
        let shared = Shared::new(scanner, engine.generation().clone());
        let mut reader = Reader::new(engine, &shared, self.settle, watcher);
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
        let Reader { engine, read, timed, mapped, ahead, quarantined, disordered, broken, .. } = reader;
        let mapped = origin.mapping.fields.iter().cloned().zip(mapped).collect();
        let timed = self.time_field.clone().map(|name| (name, timed));
        let sorted = sorted.is_some();
        let archive = Archive { inputs, describer: Describer::new(facts, origin), paths, kept: None, sorted };
        let files = paths_read.to_vec();
        let now = self.now;
        Ok(Fed {
            engine,
            archive,
            files,
            read,
            timed,
            mapped,
            now,
            ahead,
            quarantined,
            disordered,
            broken,
            pool,
        })
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

/// The names of files, for people.
fn many(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" + ")
}
