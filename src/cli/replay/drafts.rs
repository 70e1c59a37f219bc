//! What is to be told of a run, kept until it is over: packed, and on disk where it is much.
//!
//! Alerts are told in order of their time, and what comes late may be of any. A draft as the engine
//! makes it takes a kilobyte; packed it is a tenth of that. Of a long run, packed drafts are written to
//! disk in sorted runs, and merged when they are told: memory does not grow with the input.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json};

use super::super::Failure;
use crate::alert::{AlertId, Change, Draft, Finding, Fired, Sight};
use crate::engine::Generation;
use crate::record::{Level, RuleId, Timestamp};

/// Bytes of packed drafts in memory, at first. More are written to disk.
const IN_MEMORY: usize = 2 << 20;
/// The same of very many, of which fewer and longer runs are merged.
const MOST_IN_MEMORY: usize = 16 << 20;
/// Runs after which as much again stays in memory.
const RUNS_OF_A_SIZE: usize = MAX_RUNS / 4;
/// Bytes that a packed draft hardly falls below.
const LEAST: usize = 64;
/// Runs on disk at most: so many are merged into one.
const MAX_RUNS: usize = 64;
/// Bytes of a run that are read or written at a time.
const AT_A_TIME: usize = 32 << 10;

/// Drafts of one generation's rules, in the order they came.
#[derive(Debug)]
pub struct Drafts {
    generation: Arc<Generation>,
    pending: Pending,
    runs: Vec<File>,
    /// Bytes of drafts that stay in memory.
    in_memory: usize,
    /// Some of them are changes.
    changes: bool,
    /// Why the disk takes no more.
    broken: Option<io::Error>,
}

/// Packed drafts in memory.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a draft begins, and how many bytes it has. Of two with one key the one that came first is less.
type Place = (Key, u32, u32);

/// The order in which drafts are told: time, rule, id, revision. Numbers of rules have the order of their
/// ids.
type Key = (Timestamp, u32, AlertId, u32);

/// A draft, packed.
#[derive(Serialize, Deserialize)]
enum Packed<'a> {
    #[serde(borrow)]
    Fired(Box<PackedFired<'a>>),
    Changed(Change),
}

/// What of [`Fired`] neither its key nor the generation tells.
#[derive(Serialize, Deserialize)]
struct PackedFired<'a> {
    tenant: &'a str,
    level: Level,
    level_line: Option<usize>,
    #[serde(borrow)]
    group: Vec<Option<&'a str>>,
    count: u64,
    #[serde(borrow)]
    scope: Members<'a>,
    #[serde(borrow)]
    threshold: Members<'a>,
    #[serde(borrow)]
    actual: Members<'a>,
    #[serde(borrow)]
    values: Members<'a>,
    from: Timestamp,
    to: Timestamp,
    late: bool,
    standing: bool,
    #[serde(borrow)]
    held_by: Vec<&'a str>,
    tip: Sight,
    sights: Vec<Sight>,
}

type Members<'a> = Vec<(&'a str, Told<'a>)>;

/// A value of JSON, as a format without names of types can hold it.
#[derive(Serialize, Deserialize)]
enum Told<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
    #[serde(borrow)]
    List(Vec<Told<'a>>),
    #[serde(borrow)]
    Map(Members<'a>),
}

impl<'a> Told<'a> {
    fn of(value: &'a Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => number
                .as_u64()
                .map(Self::Unsigned)
                .or_else(|| number.as_i64().map(Self::Signed))
                .or_else(|| number.as_f64().map(Self::Float))
                .unwrap_or(Self::Null),
            Json::String(text) => Self::Text(text),
            Json::Array(list) => Self::List(list.iter().map(Self::of).collect()),
            Json::Object(map) => Self::Map(members(map)),
        }
    }

    fn json(self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => value.into(),
            Self::Signed(number) => number.into(),
            Self::Unsigned(number) => number.into(),
            Self::Float(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
            Self::Text(text) => text.into(),
            Self::List(list) => list.into_iter().map(Self::json).collect(),
            Self::Map(members) => Json::Object(map(members)),
        }
    }
}

fn members(map: &Map<String, Json>) -> Members<'_> {
    map.iter().map(|(name, value)| (name.as_str(), Told::of(value))).collect()
}

fn map(members: Members<'_>) -> Map<String, Json> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value.json())).collect()
}

impl Drafts {
    /// None yet, of the rules of `generation`.
    pub fn new(generation: &Arc<Generation>) -> Self {
        Self {
            generation: generation.clone(),
            pending: Pending::default(),
            runs: Vec::new(),
            in_memory: IN_MEMORY,
            changes: false,
            broken: None,
        }
    }

    /// Keeps a draft. Where the disk takes none, that is told with the first of them.
    pub fn push(&mut self, draft: &Draft) {
        if self.broken.is_none()
            && let Err(error) = self.add(draft)
        {
            self.broken = Some(error);
        }
    }

    fn add(&mut self, draft: &Draft) -> io::Result<()> {
        // There are no other rules than the generation's.
        let Some(rule) = self.generation.position(draft.rule()) else { return Ok(()) };
        let rule = u32::try_from(rule).unwrap_or(u32::MAX);
        let (key, packed) = match draft {
            Draft::Fired(fired) => ((fired.at, rule, fired.id, 1), Packed::Fired(Box::new(packed(fired)))),
            Draft::Changed(change) => {
                self.changes = true;
                ((change.at, rule, change.id, change.revision), Packed::Changed(change.clone()))
            }
        };
        if self.pending.bytes.capacity() == 0 {
            // At once: to grow by and by touches several times as many pages, and these none yet.
            self.pending.bytes.reserve_exact(self.in_memory + AT_A_TIME);
            self.pending.places.reserve_exact(self.in_memory / LEAST);
        }
        let start = self.pending.bytes.len();
        postcard::to_io(&packed, &mut self.pending.bytes).map_err(io::Error::other)?;
        let len = self.pending.bytes.len() - start;
        let Ok((start, len)) = u32::try_from(start).and_then(|start| Ok((start, u32::try_from(len)?))) else {
            return Err(io::Error::other("an alert is too large"));
        };
        self.pending.places.push((key, start, len));
        if self.pending.bytes.len() >= self.in_memory {
            self.runs.push(self.pending.write()?);
            if self.runs.len().is_multiple_of(RUNS_OF_A_SIZE) {
                self.in_memory = (2 * self.in_memory).min(MOST_IN_MEMORY.max(self.in_memory));
            }
            if self.runs.len() == MAX_RUNS {
                let mut merged = BufWriter::with_capacity(AT_A_TIME, tempfile::tempfile()?);
                let mut runs = Runs::of(std::mem::take(&mut self.runs), Pending::default())?;
                while let Some((key, bytes)) = runs.next()? {
                    write_one(&mut merged, key, bytes)?;
                }
                self.runs.push(rewound(merged)?);
            }
        }
        Ok(())
    }

    /// All of them in the order in which they are told: an alert that was raised twice, once.
    pub fn in_order(self) -> Result<InOrder, Failure> {
        if let Some(error) = self.broken {
            return Err(Box::new(DraftsError(error)));
        }
        let runs = Runs::of(self.runs, self.pending).map_err(DraftsError)?;
        Ok(InOrder { generation: self.generation, runs, last: None, changes: self.changes })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("alerts cannot be kept in a temporary file until they are told; make room, or set TMPDIR")]
struct DraftsError(#[source] io::Error);

fn packed(fired: &Fired) -> PackedFired<'_> {
    PackedFired {
        tenant: &fired.tenant,
        level: fired.level,
        level_line: fired.level_line,
        group: fired.group.iter().map(|(_, value)| value.as_deref()).collect(),
        count: fired.finding.count,
        scope: members(&fired.finding.scope),
        threshold: members(&fired.finding.threshold),
        actual: members(&fired.finding.actual),
        values: members(&fired.finding.values),
        from: fired.from,
        to: fired.to,
        late: fired.late,
        standing: fired.standing,
        held_by: fired.held_by.iter().map(RuleId::as_str).collect(),
        tip: fired.tip,
        sights: fired.sights.clone(),
    }
}

impl Pending {
    fn get(&self, place: usize) -> Option<(Key, &[u8])> {
        let (key, start, len) = *self.places.get(place)?;
        Some((key, self.bytes.get(start as usize..start as usize + len as usize)?))
    }

    /// Writes them as a run and forgets them.
    fn write(&mut self) -> io::Result<File> {
        self.places.sort_unstable();
        let mut run = BufWriter::with_capacity(AT_A_TIME, tempfile::tempfile()?);
        for (key, bytes) in (0..self.places.len()).filter_map(|place| self.get(place)) {
            write_one(&mut run, key, bytes)?;
        }
        self.bytes.clear();
        self.places.clear();
        rewound(run)
    }
}

fn rewound(run: BufWriter<File>) -> io::Result<File> {
    let mut file = run.into_inner()?;
    file.rewind()?;
    Ok(file)
}

fn write_one(run: &mut impl Write, (at, rule, id, revision): Key, bytes: &[u8]) -> io::Result<()> {
    run.write_all(&at.0.to_le_bytes())?;
    run.write_all(&rule.to_le_bytes())?;
    run.write_all(&id.0)?;
    run.write_all(&revision.to_le_bytes())?;
    run.write_all(&(bytes.len() as u64).to_le_bytes())?;
    run.write_all(bytes)
}

/// Sorted runs and what is sorted in memory, merged.
#[derive(Debug)]
struct Runs {
    files: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    pending: Pending,
    next_pending: usize,
    /// The draft that was given last.
    bytes: Vec<u8>,
}

impl Runs {
    fn of(files: Vec<File>, mut pending: Pending) -> io::Result<Self> {
        pending.places.sort_unstable();
        let files = files.into_iter().map(|file| BufReader::with_capacity(AT_A_TIME, file)).collect();
        let (heads, bytes) = (BinaryHeap::new(), Vec::new());
        let mut runs = Self { files, heads, pending, next_pending: 0, bytes };
        for number in 0..=runs.files.len() {
            runs.look(number)?;
        }
        Ok(runs)
    }

    /// Finds out what is next in a run; behind the last one stands what is in memory.
    fn look(&mut self, number: usize) -> io::Result<()> {
        let key = match self.files.get_mut(number) {
            Some(file) => read_key(file)?,
            None => self.pending.get(self.next_pending).map(|(key, _)| key),
        };
        self.heads.extend(key.map(|key| Reverse((key, number))));
        Ok(())
    }

    /// The next draft, packed. Of equal ones the one of the earlier run.
    fn next(&mut self) -> io::Result<Option<(Key, &[u8])>> {
        let Some(Reverse((key, number))) = self.heads.pop() else { return Ok(None) };
        self.bytes.clear();
        if let Some(file) = self.files.get_mut(number) {
            let mut len = [0; 8];
            file.read_exact(&mut len)?;
            file.take(u64::from_le_bytes(len)).read_to_end(&mut self.bytes)?;
            self.look(number)?;
            return Ok(Some((key, &self.bytes)));
        }
        let place = self.next_pending;
        self.next_pending += 1;
        self.look(number)?;
        Ok(self.pending.get(place))
    }
}

/// The key of a run's next draft; none at its end.
fn read_key(file: &mut impl Read) -> io::Result<Option<Key>> {
    let mut at = [0; 8];
    if let Err(error) = file.read_exact(&mut at) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let (mut rule, mut id, mut revision) = ([0; 4], [0; 16], [0; 4]);
    file.read_exact(&mut rule)?;
    file.read_exact(&mut id)?;
    file.read_exact(&mut revision)?;
    let (at, rule) = (Timestamp(i64::from_le_bytes(at)), u32::from_le_bytes(rule));
    Ok(Some((at, rule, AlertId(id), u32::from_le_bytes(revision))))
}

/// Drafts in the order in which they are told.
#[derive(Debug)]
pub struct InOrder {
    generation: Arc<Generation>,
    runs: Runs,
    last: Option<Key>,
    changes: bool,
}

impl InOrder {
    /// Whether some of them are changes.
    pub fn with_changes(&self) -> bool {
        self.changes
    }

    /// The next ones, at most so many; none at the end.
    pub fn some(&mut self, most: usize) -> Result<Vec<Draft>, Failure> {
        let mut some = Vec::with_capacity(most);
        while some.len() < most {
            let Some((key, bytes)) = self.runs.next().map_err(DraftsError)? else { break };
            if self.last.replace(key) == Some(key) {
                continue;
            }
            let (packed, _) = postcard::take_from_bytes(bytes)?;
            some.extend(unpacked(&self.generation, key, packed));
        }
        Ok(some)
    }
}

/// The draft as it was; none of a rule that there is not.
fn unpacked(generation: &Generation, (at, rule, id, _): Key, packed: Packed<'_>) -> Option<Draft> {
    let program = generation.programs.list.get(rule as usize)?;
    let fired = match packed {
        Packed::Changed(change) => return Some(Draft::Changed(change)),
        Packed::Fired(fired) => *fired,
    };
    let names = program.by.iter().map(|part| part.field.clone());
    let held_by = fired.held_by.iter().filter_map(|rule| rule.parse().ok()).collect();
    Some(Draft::Fired(Box::new(Fired {
        id,
        tenant: fired.tenant.into(),
        rule: program.rule.id().clone(),
        rule_revision: program.rule.revision,
        level: fired.level,
        level_line: fired.level_line,
        at,
        group: names.zip(fired.group.iter().map(|value| value.map(str::to_owned))).collect(),
        finding: Finding {
            count: fired.count,
            scope: map(fired.scope),
            threshold: map(fired.threshold),
            actual: map(fired.actual),
            values: map(fired.values),
        },
        from: fired.from,
        to: fired.to,
        late: fired.late,
        standing: fired.standing,
        observe: program.rule.spec.mode == crate::rule::spec::Mode::Observe,
        held_by,
        of: Arc::default(),
        tip: fired.tip,
        sights: fired.sights,
    })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::alert::State;
    use crate::engine::{CheckedRule, Limits};
    use crate::record::{Columns, Locator, Phase};
    use crate::rule::decode::{Options, decode};

    fn generation() -> Arc<Generation> {
        let rule = |id: &str| {
            let text = format!(
                "rule: {id}\ntitle: r\nlevel: low\nmatch: {{outcome: failure}}\ncount: {{at_least: 2, within: 1m, by: [user, public_ip]}}\n"
            );
            let (spec, mut problems) = decode("r.yaml", text.as_str(), &Options::default());
            CheckedRule::new(spec.unwrap(), &mut problems).unwrap()
        };
        let rules = vec![rule("one"), rule("two"), rule("three")];
        Arc::new(Generation::new(rules, Columns::default(), Limits::default()))
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::vec((any::<String>(), inner), 0..3)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    fn draft() -> impl Strategy<Value = Draft> {
        let name = prop::option::of("[a-zé]{0,6}");
        let map = || prop::collection::vec(("[a-z]{1,4}", value()), 0..3);
        (0_usize..3, -50_i64..50, 0_u8..4, 0_u32..4, (name.clone(), name), (map(), map()), 0_u64..4).prop_map(
            |(rule, at, id, revision, (user, address), (threshold, actual), many)| {
                let (rule, at) = (["one", "two", "three"][rule].parse::<RuleId>().unwrap(), Timestamp(at));
                let id = AlertId([id; 16]);
                if revision > 1 {
                    return Draft::Changed(Change {
                        id,
                        rule,
                        revision,
                        state: State::Closed,
                        at,
                        level: Level::High,
                        level_line: Some(1),
                        repeats: many,
                        last_seen: at,
                        last: None,
                        held: false,
                        released: true,
                    });
                }
                let sight = |number| Sight { locator: Locator(number), phase: Phase::End, at };
                let map = |members: Vec<(String, Json)>| members.into_iter().collect();
                let group = vec![
                    (crate::record::FieldName::declared("user"), user),
                    (crate::record::FieldName::declared("public_ip"), address),
                ];
                Draft::Fired(Box::new(Fired {
                    id,
                    tenant: "acme".into(),
                    rule,
                    rule_revision: crate::alert::Revision([0; 8]),
                    level: Level::Low,
                    level_line: None,
                    at,
                    group,
                    finding: Finding {
                        count: many,
                        threshold: map(threshold),
                        actual: map(actual),
                        ..Finding::default()
                    },
                    from: Timestamp::MIN,
                    to: at,
                    late: many == 1,
                    standing: false,
                    observe: false,
                    held_by: vec!["held".parse().unwrap()],
                    of: Arc::default(),
                    tip: sight(many),
                    sights: (0..many).map(sight).collect(),
                }))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn drafts_come_back_as_they_were_in_order_wherever_they_were_kept(
            drafts in prop::collection::vec(draft(), 0..150),
            in_memory in prop::sample::select(vec![1_usize, 200, 2_000, 1 << 20]),
        ) {
            let generation = generation();
            let mut kept = Drafts { in_memory, ..Drafts::new(&generation) };
            for draft in &drafts {
                kept.push(draft);
            }
            let mut meant = drafts;
            for draft in &mut meant {
                if let Draft::Fired(fired) = draft {
                    fired.rule_revision = generation.rule(&fired.rule).unwrap().revision;
                }
            }
            meant.sort_by_key(Draft::order);
            meant.dedup_by_key(|draft| draft.order());
            let (mut order, mut told) = (kept.in_order().unwrap(), Vec::new());
            loop {
                let some = order.some(7).unwrap();
                if some.is_empty() {
                    break;
                }
                told.extend(some);
            }
            prop_assert_eq!(told, meant);
        }
    }

    #[test]
    fn a_number_is_what_it_was() {
        for value in [json!(0), json!(-1), json!(u64::MAX), json!(1.0), json!(0.1)] {
            assert_eq!(Told::of(&value).json().to_string(), value.to_string());
        }
    }
}
