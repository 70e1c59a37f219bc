//! One tenant's life, told by its journal: entries in, alerts out.
//!
//! Intake, `replay --as-seen` and rules that learn from the past all run this, so that the same
//! journal gives the same alerts wherever it is fed. It does no I/O: what it needs from the store
//! (a generation's text, earlier entries, alerts as they stand) it asks for and is given. It never
//! reads a clock.

mod codes;
mod news;
mod rebuild;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexSet;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::alert::Draft;
use crate::engine::{
    BadSnapshot, Engine, Generation, GenerationText, Note, Scratch, Snapshot, SourceId, Standing, seen,
};
use crate::record::batch::BadRow;
use crate::record::describe::Describer;
use crate::record::geography::{self, Geography, Places};
use crate::record::scan::Scanner;
use crate::record::{Batch, Columns, Locator, Phase, RuleId, Timestamp};
use crate::store::{Checkpoint, Entry, Event, Lane, Quarantined, Watermark};

use codes::Codes;
use news::Recent;
pub use news::{News, Portion};
pub use rebuild::{Rebuild, Rehearsal};
pub use tell::{changed, wanted};

/// Bits of a locator that say where in its entry a row begins; the others are the entry's number.
pub const OFFSET_BITS: u32 = 24;
/// Bytes of rows in one entry: so much is addressed by a locator.
pub const MAX_ROWS: usize = 1 << OFFSET_BITS;
/// Rows that made no record and are known again, so that each is quarantined once. Past this the
/// oldest is forgotten, and is quarantined anew should it come again.
pub const MAX_FAULTY: usize = 10_000;

/// Why an entry cannot be taken in. Nothing has changed: with what is missing, it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// An entry is missing, or came twice.
    #[error("the journal has entry {found} where {expected} is due")]
    Gap {
        /// The number that is due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// Rows longer than [`MAX_ROWS`].
    #[error("entry {seq} of the journal holds {bytes} bytes of rows; at most 16 MiB are possible")]
    TooLong {
        /// Which.
        seq: u64,
        /// How many.
        bytes: usize,
    },
    /// Rows of a lane that nobody has told of: see [`Life::know`].
    #[error("entry {seq} of the journal is of lane {}, which is not known", lane.0)]
    UnknownLane {
        /// Which entry.
        seq: u64,
        /// Its lane.
        lane: SourceId,
    },
    /// A generation is wanted: see [`Life::offer`].
    #[error("generation {digest} is not at hand")]
    Generation {
        /// Digest of its text.
        digest: String,
    },
    /// Rules must have learnt from the journal: see [`Life::rebuild`] and [`Life::bring`].
    #[error("entries {from} to {last} of the journal have not been learnt from")]
    Rebuild {
        /// Which rules.
        rules: Vec<RuleId>,
        /// The first entry they learn from.
        from: u64,
        /// The last one.
        last: u64,
    },
}

/// What came of one entry.
#[derive(Debug)]
pub struct Outcome {
    /// The entry's number.
    pub seq: u64,
    /// The generation in force after it.
    pub generation: Arc<Generation>,
    /// What is told, in order.
    pub drafts: Vec<Draft>,
    /// What is announced besides.
    pub notes: Vec<Note>,
    /// Rows that made no record.
    pub quarantined: Vec<Quarantined>,
    /// Of a new generation, the rules without a past, by id.
    pub new_rules: Vec<RuleId>,
}

/// A lane and what reads its rows.
#[derive(Debug)]
struct Reader {
    lane: Lane,
    scanner: Scanner,
    describer: Describer,
    codes: Codes,
    /// Rules have heard of it.
    joined: bool,
    /// How far it is complete while rules have not heard of it.
    apart: Option<Watermark>,
    /// Rows that were read while rules have not heard of it, so that each is news once.
    recent: Recent,
}

impl Reader {
    /// Reads the same lane for another generation.
    fn renewed(&mut self, generation: &Generation) {
        let fresh = Self::new(self.lane.clone(), generation, self.joined);
        (self.scanner, self.describer, self.codes) = (fresh.scanner, fresh.describer, fresh.codes);
    }

    fn new(lane: Lane, generation: &Generation, joined: bool) -> Self {
        let (facts, origin) = (&generation.facts, &lane.origin);
        Self {
            scanner: Scanner::new(generation.columns.clone(), facts.clone(), origin.clone()),
            describer: Describer::new(facts.clone(), origin.clone()),
            codes: Codes::new(facts.clone(), origin.clone()),
            lane,
            joined,
            apart: None,
            recent: Recent::default(),
        }
    }
}

/// A lane in a snapshot: whether rules have heard of it, and how far it is complete while they have not.
type KeptLane = (Lane, bool, Option<Watermark>);

/// The state of one tenant: all that its journal told so far.
pub struct Life {
    tenant: Arc<str>,
    engine: Engine,
    lanes: BTreeMap<SourceId, Reader>,
    /// The last entry; none before the first.
    seq: Option<u64>,
    /// Digests of rows that made no record, oldest first.
    faulty: IndexSet<u64>,
    scratch: Scratch,
    offered: Option<Arc<Generation>>,
    brought: Option<Box<Rebuild>>,
    /// It takes in what was kept apart as well: see [`Rebuild`].
    learns: bool,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("tenant", &self.tenant).field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl Life {
    /// A life without a past and without rules: the journal's first generation brings them.
    pub fn new(tenant: &str) -> Self {
        let none = GenerationText::default().compile().generation;
        Self::under(tenant, Engine::new(none, tenant))
    }

    fn under(tenant: &str, engine: Engine) -> Self {
        Self {
            tenant: tenant.into(),
            engine,
            lanes: BTreeMap::new(),
            seq: None,
            faulty: IndexSet::new(),
            scratch: Scratch::default(),
            offered: None,
            brought: None,
            learns: false,
        }
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The generation in force.
    pub fn generation(&self) -> &Arc<Generation> {
        self.engine.generation()
    }

    /// The last entry that was taken in; none before the first.
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Rows taken in so far: new, unchanged, amended.
    pub fn rows(&self) -> seen::Tally {
        self.engine.rows()
    }

    /// Tells of a lane that stands in no entry any more. It is read apart until it joins.
    pub fn know(&mut self, lane: Lane) {
        let generation = self.engine.generation();
        self.lanes.entry(lane.id).or_insert_with(|| Reader::new(lane, generation, false));
    }

    /// Every lane, by number.
    pub fn known(&self) -> Vec<Lane> {
        self.lanes.values().map(|reader| reader.lane.clone()).collect()
    }

    /// Whether rules have heard of a lane.
    pub fn has_joined(&self, lane: SourceId) -> bool {
        self.lanes.get(&lane).is_some_and(|reader| reader.joined)
    }

    /// Gives the generation that the next entry puts in force.
    pub fn offer(&mut self, generation: Arc<Generation>) {
        self.offered = Some(generation);
    }

    /// Gives the rules that the next entry adopts.
    pub fn bring(&mut self, rebuild: Rebuild) {
        self.brought = Some(Box::new(rebuild));
    }

    /// Takes in the next entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<Outcome, Halt> {
        let expected = self.seq.map_or(entry.seq, |seq| seq + 1);
        if entry.seq != expected {
            return Err(Halt::Gap { expected, found: entry.seq });
        }
        let mut outcome = Outcome::of(entry.seq, self.generation().clone());
        let (event, places) = entry.event.placed();
        match event {
            Event::Generation { digest } => self.succeed(digest, &mut outcome)?,
            Event::Adopted { rules, from } => self.adopt(rules, *from, &mut outcome)?,
            Event::Known(lane) if self.learns => self.join(lane, &mut outcome),
            Event::Known(lane) => self.set_apart(lane, &mut outcome),
            Event::Joined(lane) => self.join(lane, &mut outcome),
            Event::Left { lane } => {
                let left = self.engine.leave(*lane);
                outcome.add(left);
            }
            Event::Gone { lane } => {
                let left = self.engine.remove(*lane);
                outcome.add(left);
            }
            Event::Read { lane, rows, twins, watermark } => {
                self.read(entry, *lane, (rows, twins, places), &mut outcome)?;
                if let Some(to) = watermark {
                    self.progress(*lane, *to, &mut outcome);
                }
            }
            // Only what was read is placed.
            Event::Placed { .. } => {}
        }
        self.seq = Some(entry.seq);
        Ok(outcome)
    }

    fn succeed(&mut self, digest: &str, outcome: &mut Outcome) -> Result<(), Halt> {
        let offered = self.offered.take_if(|offered| offered.digest == digest);
        let Some(generation) = offered else { return Err(Halt::Generation { digest: digest.to_owned() }) };
        let succession = self.engine.succeed(generation);
        let generation = self.engine.generation().clone();
        for reader in self.lanes.values_mut() {
            reader.renewed(&generation);
        }
        // What was learnt from one thread's rows stands for other columns now.
        self.scratch = Scratch::default();
        (outcome.generation, outcome.new_rules) = (generation, succession.new);
        outcome.add(succession.outcome);
        Ok(())
    }

    fn adopt(&mut self, rules: &[RuleId], from: u64, outcome: &mut Outcome) -> Result<(), Halt> {
        let last = outcome.seq.saturating_sub(1);
        let lanes = self.known();
        let fits = |rebuild: &mut Box<Rebuild>| rebuild.learnt(rules, (from, last), &lanes);
        let Some(rebuild) = self.brought.take_if(fits) else {
            return Err(Halt::Rebuild { rules: rules.to_vec(), from, last });
        };
        let (learnt, standing): (Engine, Standing) = rebuild.end();
        let adopted = self.engine.adopt(learnt, standing);
        outcome.add(adopted);
        Ok(())
    }

    /// The addresses in `rows`, read from `lane`, whose places are worth knowing.
    pub fn addresses(&self, lane: SourceId, rows: &str) -> BTreeSet<IpAddr> {
        let Some(reader) = self.lanes.get(&lane) else { return BTreeSet::new() };
        let mut columns = Columns::default();
        let placed = columns.want_known("public_ip");
        let facts = self.engine.generation().facts.clone();
        let scanner = Scanner::new(columns.freeze(), facts, reader.lane.origin.clone());
        let batch = scanner.scan(rows.to_owned(), Locator(1));
        let address =
            |row: usize| batch.record(row, Phase::Start).get(placed).text().and_then(geography::address);
        (0..batch.rows.len()).filter_map(address).collect()
    }

    /// A lane is read apart from here on; one that is known already goes on as it is.
    fn set_apart(&mut self, lane: &Lane, outcome: &mut Outcome) {
        let before = self.lanes.get(&lane.id);
        if before.is_some_and(|reader| reader.lane == *lane) {
            return;
        }
        // The same number stands for something else: rules do not hear of it until it joins.
        if before.is_some_and(|reader| reader.joined) {
            let left = self.engine.leave(lane.id);
            outcome.add(left);
        }
        let reader = Reader::new(lane.clone(), self.engine.generation(), false);
        self.lanes.insert(lane.id, reader);
    }

    fn join(&mut self, lane: &Lane, outcome: &mut Outcome) {
        self.engine.add_source(lane.id, lane.origin.endpoint);
        let generation = self.engine.generation();
        let new = || Reader::new(lane.clone(), generation, true);
        let reader = self.lanes.entry(lane.id).or_insert_with(new);
        if reader.lane != *lane {
            *reader = new();
        }
        (reader.joined, reader.recent) = (true, Recent::default());
        if let Some(Watermark { start, end }) = reader.apart.take() {
            let judged = self.engine.progress(lane.id, start, end);
            outcome.add(judged);
        }
    }

    /// `lane` is complete up to here; rules hear of it once it has joined.
    fn progress(&mut self, lane: SourceId, to: Watermark, outcome: &mut Outcome) {
        if let Some(reader) = self.lanes.get_mut(&lane).filter(|reader| !reader.joined) {
            reader.apart = Some(to);
            return;
        }
        let judged = self.engine.progress(lane, to.start, to.end);
        outcome.add(judged);
    }

    fn read(
        &mut self,
        entry: &Entry,
        lane: SourceId,
        (rows, twins, places): (&str, &[(u32, u32)], Option<&Places>),
        outcome: &mut Outcome,
    ) -> Result<(), Halt> {
        let (seq, bytes) = (entry.seq, rows.len());
        if bytes > MAX_ROWS {
            return Err(Halt::TooLong { seq, bytes });
        }
        let Some(reader) = self.lanes.get_mut(&lane) else { return Err(Halt::UnknownLane { seq, lane }) };
        let joined = reader.joined;
        if rows.is_empty() {
            return Ok(());
        }
        let base = Locator(seq << OFFSET_BITS);
        let places = places.map(|places| places as &dyn Geography);
        let mut batch = reader.scanner.scan_placed(rows.to_owned(), base, places);
        number_twins(&mut batch, rows, base, twins);
        if joined {
            let fresh = self.engine.take_in_from(lane, &batch);
            let hits = self.engine.scan(&batch, &fresh, &mut self.scratch);
            let taken = self.engine.advance(&batch, hits);
            outcome.add(taken);
        } else {
            reader.recent.note(&batch);
        }
        for fault in &batch.faults {
            let line = line_at(rows, offset(fault.locator, base));
            self.note_faulty(lane, line);
            outcome.quarantined.push(quarantined(lane, entry.at, fault));
        }
        Ok(())
    }

    fn note_faulty(&mut self, lane: SourceId, line: &str) {
        self.faulty.insert(faulty_digest(lane, line));
        if self.faulty.len() > MAX_FAULTY {
            self.faulty.shift_remove_index(0);
        }
    }

    /// The whole state at the last entry; none before the first.
    pub fn snapshot(&self) -> Result<Option<Checkpoint>, BadSnapshot> {
        let Some(seq) = self.seq else { return Ok(None) };
        Ok(Some(self.checkpoint_of(seq, self.engine.snapshot()?)?))
    }

    /// What changed since the last one, or the whole state; none before the first entry.
    pub fn checkpoint(&mut self) -> Result<Option<Checkpoint>, BadSnapshot> {
        let Some(seq) = self.seq else { return Ok(None) };
        let engine = self.engine.checkpoint()?;
        let checkpoint = self.checkpoint_of(seq, engine);
        if checkpoint.is_err() {
            self.engine.keep_anew();
        }
        checkpoint.map(Some)
    }

    fn checkpoint_of(&self, seq: u64, engine: Snapshot) -> Result<Checkpoint, BadSnapshot> {
        let Snapshot { whole, pieces } = engine;
        let kept = |reader: &'_ Reader| (reader.lane.clone(), reader.joined, reader.apart);
        let lanes: Vec<KeptLane> = self.lanes.values().map(kept).collect();
        let faulty: Vec<u64> = self.faulty.iter().copied().collect();
        let head = postcard::to_stdvec(&(lanes, faulty))?;
        Ok(Checkpoint { seq, generation: self.generation().digest.clone(), head, whole, pieces })
    }

    /// The life as it was when `checkpoint` was taken, under the generation that it names.
    pub fn restore(
        tenant: &str,
        generation: &Arc<Generation>,
        checkpoint: Checkpoint,
    ) -> Result<Self, BadSnapshot> {
        let (lanes, faulty): (Vec<KeptLane>, Vec<u64>) = postcard::from_bytes(&checkpoint.head)?;
        let engine = Engine::restore(generation.clone(), tenant, checkpoint.pieces)?;
        let mut life = Self::under(tenant, engine);
        for (lane, joined, apart) in lanes {
            life.lanes.insert(lane.id, Reader { apart, ..Reader::new(lane, generation, joined) });
        }
        life.seq = Some(checkpoint.seq);
        life.faulty = faulty.into_iter().collect();
        Ok(life)
    }
}

impl Outcome {
    /// The same in pieces of at most `most` drafts, in order, without anything else.
    pub fn parts(&self, most: usize) -> impl Iterator<Item = Self> {
        let part = |drafts: &[Draft]| Self {
            drafts: drafts.to_vec(),
            ..Self::of(self.seq, self.generation.clone())
        };
        self.drafts.chunks(most.max(1)).map(part)
    }

    fn of(seq: u64, generation: Arc<Generation>) -> Self {
        Self {
            seq,
            generation,
            drafts: Vec::new(),
            notes: Vec::new(),
            quarantined: Vec::new(),
            new_rules: Vec::new(),
        }
    }

    fn add(&mut self, done: crate::engine::Outcome) {
        self.drafts.extend(done.drafts);
        self.notes.extend(done.notes);
    }
}

/// Tells equal rows of one reading apart, as the source has counted them.
fn number_twins(batch: &mut Batch, rows: &str, base: Locator, twins: &[(u32, u32)]) {
    if twins.is_empty() {
        return;
    }
    let twins: BTreeMap<u32, u32> = twins.iter().copied().collect();
    let (mut line, mut counted) = (0_u32, 0);
    for row in &mut batch.rows {
        let at = offset(row.locator, base);
        line += line_number(&rows[counted..at]);
        counted = at;
        if let Some(number) = twins.get(&line) {
            row.id = row.id.twin(*number);
        }
    }
}

/// Bytes between the beginning of a block, at `base`, and a row of it.
fn offset(locator: Locator, base: Locator) -> usize {
    usize::try_from(locator.0 - base.0).unwrap_or_default()
}

/// The number of the line that follows `before`, the first being 0.
fn line_number(before: &str) -> u32 {
    u32::try_from(memchr::memchr_iter(b'\n', before.as_bytes()).count()).unwrap_or(u32::MAX)
}

/// The line that begins at byte `at`, without its line feed.
fn line_at(rows: &str, at: usize) -> &str {
    let rest = rows.get(at..).unwrap_or_default();
    rest.split('\n').next().unwrap_or_default()
}

/// What a row that makes no record is known by.
fn faulty_digest(lane: SourceId, line: &str) -> u64 {
    xxh3_64_with_seed(line.as_bytes(), u64::from(lane.0))
}

fn quarantined(lane: SourceId, at: Timestamp, bad: &BadRow) -> Quarantined {
    Quarantined { lane, at, reason: bad.fault.to_string(), excerpt: bad.excerpt.clone() }
}
