//! From a line's values to a row: time, phase, identity, facts.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::facts::Memo;
use super::fast::Line;
use super::fault::cut;
use super::foreign;
use super::identity::{Parts, Tag};
use super::plan::Plan;
use super::shape::{Kind, Service, Shape};
use super::sink::{Sink, Tail};
use super::slow::span;
use super::words::{Word, Words};
use super::{Endpoint, Fault, Origin, Provenance};
use crate::record::batch::{Mapped, Slot, SlotKind, Whose};
use crate::record::fact::{Facts, FailureKind, Outcome};
use crate::record::field::{Columns, FieldKind};
use crate::record::fold::fold;
use crate::record::geography::{FACTS, Geography};
use crate::record::{Batch, FieldName, Locator, Phase, Row, RowId, Timestamp, value_of};

/// Fields that every row is read for.
pub(super) const ALWAYS: [&str; 11] = [
    "id",
    "transaction_id",
    "start_time",
    "pre_conn_time",
    "update_time",
    "end_time",
    "failed_code",
    "failed_reason",
    "outcome",
    "phase",
    "kind",
];
/// Fields that identify a desktop row of the vendor's for life (`reference/huawei-api.md`, 5.4).
const DESKTOP_KEY: [&str; 9] = [
    "desktop_id",
    "machine_sid",
    "machine_name",
    "user_name",
    "start_time",
    "client_mac",
    "client_name",
    "client_ip",
    "is_reconnect",
];
/// Fields that identify a user event. Its trace may be shared by several events of one login.
const EVENT_KEY: [&str; 7] = [
    "raw.event_trace_id",
    "event_type",
    "start_time",
    "user_name",
    "raw.resource_id",
    "client_mac",
    "client_ip",
];
/// How a user event says whether it went well; other rows say it by code and reason.
const IS_SUCCESS: &str = "raw.is_success";
/// What a fact is made of, besides [`ALWAYS`].
const INPUTS: [(&str, &[&str]); 9] = [
    ("user", &["user_name"]),
    ("device", &["client_mac", "client_name"]),
    ("geo.country", &[PLACED]),
    ("geo.city", &[PLACED]),
    ("geo.lat", &[PLACED]),
    ("geo.lon", &[PLACED]),
    ("geo.radius", &[PLACED]),
    ("asn.number", &[PLACED]),
    ("asn.name", &[PLACED]),
];
/// The field whose place is told.
pub(super) const PLACED: &str = "public_ip";
/// What holds the rows of a page (`reference/huawei-api.md`, 3).
const PAGES: [&str; 2] = ["items", "records"];
/// Longest spelling of a time that a fault quotes.
const MAX_QUOTED: usize = 64;

/// The fields that rows must be read for, besides the wanted columns.
pub(super) fn needed(columns: &Columns, origin: &Origin) -> Vec<&'static str> {
    let wanted = |name: &str| columns.names().iter().any(|field| field.is(name));
    let mut needed = ALWAYS.to_vec();
    needed.extend(INPUTS.iter().filter(|(name, _)| wanted(name)).flat_map(|(_, inputs)| *inputs));
    needed.extend(key_of(origin));
    if origin.endpoint.is_none_or(|endpoint| endpoint == Endpoint::UserEvents) {
        needed.push(IS_SUCCESS);
    }
    if origin.endpoint.is_none() {
        needed.push(foreign::TIME);
    }
    needed
}

/// The fields that identify a row of the vendor's which has no id.
fn key_of(origin: &Origin) -> &'static [&'static str] {
    match &origin.provenance {
        Provenance::Huawei { endpoint: Endpoint::DesktopLogins, .. } => &DESKTOP_KEY,
        Provenance::Huawei { endpoint: Endpoint::UserEvents, .. } => &EVENT_KEY,
        Provenance::Huawei {
            endpoint: Endpoint::AppLogins | Endpoint::AppLaunches | Endpoint::Sessions,
            ..
        }
        | Provenance::File => &[],
    }
}

/// Makes rows: the numbers of the fields it needs, and the words it gives.
pub(super) struct Maker {
    plan: Plan,
    pub(super) facts: Arc<Facts>,
    origin: Origin,
    columns: usize,
    pub(super) at: Places,
    /// Address columns, where `0.0.0.0` means unknown.
    pub(super) addresses: Vec<usize>,
    /// Round-trip columns, where 0 or less means unknown.
    pub(super) round_trips: Vec<usize>,
    /// The fields of the identity of the vendor's rows that have no id.
    key: Vec<usize>,
    /// The fields of the mapping, in its order: which number each has, and its words.
    mapped: Vec<(usize, &'static [&'static str])>,
    /// Fields whose words the mapping translates; theirs are folded.
    translated: Vec<(usize, Vec<(String, Word)>)>,
    words: Words,
    pub(super) outcomes: [Word; Outcome::ALL.len()],
    pub(super) failures: [Word; FailureKind::ALL.len()],
    kinds: [Word; Kind::ALL.len()],
    services: [Word; Service::ALL.len()],
    /// Rows of files are marked with it; none: each has its identity made.
    pub(super) seed: Option<u64>,
}

/// Numbers of fields; of facts that only rules can want, if they do.
pub(super) struct Places {
    pub(super) id: usize,
    pub(super) transaction_id: usize,
    pub(super) times: [usize; 3],
    pub(super) end_time: usize,
    pub(super) foreign_time: Option<usize>,
    pub(super) failed_code: usize,
    pub(super) failed_reason: usize,
    pub(super) outcome: usize,
    pub(super) phase: usize,
    pub(super) kind: usize,
    pub(super) is_success: Option<usize>,
    pub(super) service: Option<usize>,
    pub(super) failure_kind: Option<usize>,
    pub(super) user: Option<(usize, usize)>,
    pub(super) device: Option<(usize, usize, usize)>,
    pub(super) duration: Option<usize>,
    /// Facts of a place: (which of [`FACTS`], the field).
    pub(super) geography: Vec<(usize, usize)>,
    pub(super) placed: usize,
}

impl Places {
    fn new(plan: &Plan) -> Self {
        // Every name here is in `ALWAYS` or in `INPUTS`: the plan has it.
        let at = |name: &str| plan.number(name).unwrap_or_default();
        Self {
            id: at("id"),
            transaction_id: at("transaction_id"),
            times: ["start_time", "pre_conn_time", "update_time"].map(at),
            end_time: at("end_time"),
            foreign_time: plan.number(foreign::TIME),
            failed_code: at("failed_code"),
            failed_reason: at("failed_reason"),
            outcome: at("outcome"),
            phase: at("phase"),
            kind: at("kind"),
            is_success: plan.number(IS_SUCCESS),
            service: plan.number("service"),
            failure_kind: plan.number("failure_kind"),
            user: plan.number("user").map(|user| (user, at("user_name"))),
            device: plan.number("device").map(|device| (device, at("client_mac"), at("client_name"))),
            duration: plan.number("duration"),
            geography: FACTS
                .iter()
                .enumerate()
                .filter_map(|(fact, name)| Some((fact, plan.number(name)?)))
                .collect(),
            placed: at(PLACED),
        }
    }
}

/// A line whose values are in a sink.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) block: &'a str,
    pub(super) line: Line,
    pub(super) locator: Locator,
    /// Where addresses are.
    pub(super) geography: Option<&'a dyn Geography>,
}

impl<'a> Found<'a> {
    fn bytes(self) -> &'a [u8] {
        &self.block.as_bytes()[self.line.start..self.line.end]
    }
}

/// The times of a row.
pub(super) struct Times {
    /// It has none of the vendor's names for a time.
    pub(super) foreign: bool,
    pub(super) start: Timestamp,
    pub(super) end: Option<Timestamp>,
    pub(super) only: Option<Phase>,
}

impl Maker {
    pub(super) fn new(plan: Plan, columns: usize, facts: Arc<Facts>, origin: Origin) -> Self {
        let mut words = Words::default();
        let (outcomes, failures) = (
            Outcome::ALL.map(|outcome| words.add(outcome.as_str())),
            FailureKind::ALL.map(|kind| words.add(kind.as_str())),
        );
        let (kinds, services) = (
            Kind::ALL.map(|kind| words.add(kind.as_str())),
            Service::ALL.map(|service| words.add(service.as_str())),
        );
        let number = |field: &FieldName| plan.fields().iter().position(|known| known == field);
        let mut translated = Vec::new();
        for map in origin.mapping.fields.iter().filter(|map| !map.values.is_empty()) {
            let values = map.values.iter().map(|(theirs, ours)| (fold(theirs).into_owned(), words.add(ours)));
            translated.extend(number(&map.field).map(|field| (field, values.collect())));
        }
        let mapped = origin
            .mapping
            .fields
            .iter()
            .filter_map(|map| Some((number(&map.field)?, map.field.words())))
            .collect();
        let numbered = |wanted: &dyn Fn(&FieldName) -> bool| -> Vec<usize> {
            (0..columns).filter(|number| wanted(&plan.fields()[*number])).collect()
        };
        Self {
            at: Places::new(&plan),
            addresses: numbered(&|field| field.kind() == FieldKind::Address),
            round_trips: numbered(&|field| field.is("network_rtt") || field.is("e2e_rtt")),
            key: key_of(&origin).iter().filter_map(|name| plan.number(name)).collect(),
            plan,
            facts,
            origin,
            columns,
            mapped,
            translated,
            words,
            outcomes,
            failures,
            kinds,
            services,
            seed: None,
        }
    }

    /// Nothing yet of the fields of the mapping.
    pub(super) fn begin(&self, mapped: &mut Vec<Mapped>) {
        mapped.clear();
        mapped.resize(self.mapped.len(), Mapped::default());
    }

    /// Counts what a row has of the fields of the mapping.
    fn count_mapped(&self, block: &str, sink: &Sink, mapped: &mut [Mapped]) {
        for ((number, words), mapped) in self.mapped.iter().zip(mapped) {
            let number = *number;
            mapped.there += u64::from(sink.values[number].kind != SlotKind::Absent);
            let word = if words.is_empty() { None } else { is_given(block, sink, number) };
            // As it is known, nearly always.
            let is_known =
                |word: &str| words.contains(&word) || words.iter().any(|known| *known == fold(word.trim()));
            if let Some(word) = word.filter(|word| !is_known(word)) {
                mapped.strange += 1;
                mapped.first.get_or_insert_with(|| cut(word, MAX_QUOTED));
            }
        }
    }

    /// Which key fills which slot.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What every batch's tail begins with.
    pub(super) fn words(&self) -> &str {
        self.words.as_str()
    }

    /// Makes the row of a line that was read, or says why it is none.
    pub(super) fn row(
        &self,
        found: Found<'_>,
        sink: &mut Sink,
        memo: &mut Memo,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let block = found.block;
        self.merge(block, sink);
        self.count_mapped(block, sink, &mut batch.mapped);
        let shape = self.shape(sink);
        let kind = self.kind(block, sink, shape);
        let times = self.times(found, sink, batch)?;
        let kind = (!times.foreign).then_some(kind);
        let (id, whose) = self.identity(found, sink, shape, kind, &mut memo.parts);
        let outcome = self.outcome(block, sink, shape);
        self.wanted_facts(block, sink, memo, &times, outcome);
        self.places(found, sink);
        self.forget_unknowns(block, sink);
        self.as_spelt(block, found.line, sink);
        let open = times.only.is_none()
            && times.end.is_none()
            && outcome == Outcome::Success
            && shape.kind != Kind::UserEvent;
        batch.rows.push(Row {
            id,
            whose,
            version: xxh3_64(found.bytes()),
            locator: found.locator,
            line: span(found.line.start, found.line.end, SlotKind::Json),
            start: times.start,
            end: if times.only.is_none() { times.end } else { None },
            only: times.only,
            open,
            held: false,
        });
        batch.slots.extend_from_slice(&sink.values[..self.columns]);
        Ok(())
    }

    /// Fills fields from their further spellings, then translates words.
    fn merge(&self, block: &str, sink: &mut Sink) {
        if sink.touched.len() > 1 {
            sink.touched.sort_unstable();
        }
        for place in 0..sink.touched.len() {
            let target = sink.touched[place];
            let field = self.plan.field_of(target);
            let (have, other) = (sink.values[field], sink.values[usize::from(target)]);
            // What the line spells is there, blank or not.
            let settled = have.kind != SlotKind::Absent && self.plan.fields()[field].is_spelt();
            if !settled
                && is_blank(have)
                && other.kind != SlotKind::Absent
                && (!is_blank(other) || have.kind == SlotKind::Absent)
            {
                sink.values[field] = other;
            }
        }
        for (field, values) in &self.translated {
            let Some(theirs) = text(block, sink, *field) else { continue };
            let theirs = fold(theirs);
            if let Some((_, ours)) = values.iter().find(|(known, _)| *known == theirs) {
                sink.values[*field] = ours.slot(&sink.tail);
            }
        }
    }

    /// Fields that the line does not spell are what they mean here.
    fn as_spelt(&self, block: &str, line: Line, sink: &mut Sink) {
        for (spelt, meaning) in self.plan.spelt() {
            if let (SlotKind::Absent, Some(meaning)) = (sink.values[*spelt].kind, meaning) {
                sink.values[*spelt] = sink.values[*meaning];
            }
        }
        if let Some(whole) = self.plan.line() {
            sink.values[whole] = if sink.halves {
                sink.mended(&block[line.start..line.end])
            } else {
                span(line.start, line.end, SlotKind::Json)
            };
        }
    }

    fn shape(&self, sink: &Sink) -> Shape {
        match self.origin.endpoint {
            Some(endpoint) => Shape::of_endpoint(endpoint),
            None => Shape::of_marks(sink.marks),
        }
    }

    /// Settles `kind` and `service`; the slot of `kind`, for the identity.
    fn kind(&self, block: &str, sink: &mut Sink, shape: Shape) -> Slot {
        if is_given(block, sink, self.at.kind).is_none() {
            sink.values[self.at.kind] = self.kinds[shape.kind as usize].slot(&sink.tail);
        }
        if let Some(service) = self.at.service
            && is_given(block, sink, service).is_none()
        {
            let word = shape.service.map(|service| self.services[service as usize].slot(&sink.tail));
            sink.values[service] = word.unwrap_or(Slot::ABSENT);
        }
        sink.values[self.at.kind]
    }

    fn times(&self, found: Found<'_>, sink: &mut Sink, batch: &mut Batch) -> Result<Times, Fault> {
        let block = found.block;
        let read = |sink: &Sink, number: usize| Timestamp::parse(text(block, sink, number)?.trim());
        let own = |sink: &Sink| self.at.times.into_iter().find_map(|number| read(sink, number));
        let (mut own_start, mut end) = (own(sink), read(sink, self.at.end_time));
        // A row whose times are mapped and numbers is not the vendor's.
        let mut vendors = own_start.is_some() || end.is_some();
        if (own_start.is_none() || end.is_none()) && self.spell_numbers(block, sink) {
            (own_start, end) = (own(sink), read(sink, self.at.end_time));
            vendors |= self.origin.mapping.fields.is_empty();
        }
        let named = self.origin.mapping.time.is_some();
        let given = if named { self.foreign_time(block, sink) } else { None };
        if let Some(number) = self.at.foreign_time.filter(|_| named) {
            let (kind, timed) = (sink.values[number].kind, &mut batch.timed);
            timed.there += u64::from(kind != SlotKind::Absent);
            timed.nested += u64::from(kind == SlotKind::Json);
            // That of the field which is mapped may be `given` as well.
            timed.read += u64::from(text(block, sink, number).and_then(foreign::time).is_some());
        }
        let start = given.or(own_start).or_else(|| self.foreign_time(block, sink));
        let only = is_given(block, sink, self.at.phase).and_then(phase_called);
        let time = match only {
            Some(Phase::End) => end.or(start),
            Some(Phase::Start | Phase::Amended) | None => start,
        };
        let time = time.ok_or_else(|| self.no_time(found, sink))?;
        // The record tells its phase itself.
        sink.values[self.at.phase] = Slot::ABSENT;
        let end = end.filter(|end| *end >= start.unwrap_or(time));
        let foreign = given.is_some() || !vendors;
        Ok(Times { foreign, start: time, end, only })
    }

    /// The time of a row that is not the vendor's: of the key that is named for it or else under a usual
    /// name, or else of the field that is mapped.
    fn foreign_time(&self, block: &str, sink: &Sink) -> Option<Timestamp> {
        let mapped = self.at.times.first().copied().filter(|_| !self.origin.mapping.fields.is_empty());
        let places = [self.at.foreign_time, mapped];
        places.into_iter().flatten().find_map(|number| foreign::time(text(block, sink, number)?))
    }

    fn no_time(&self, found: Found<'_>, sink: &Sink) -> Fault {
        let block = found.block;
        let says_something = |number: &usize| {
            let spelt = text(block, sink, *number)?.trim();
            // The vendor's word for "not yet" is a time of the year 1.
            (!spelt.is_empty() && !spelt.starts_with("000")).then_some(spelt)
        };
        let spelt = self.at.times.iter().chain(&self.at.foreign_time).find_map(says_something);
        let page = || page(&block[found.line.start..found.line.end]);
        match spelt {
            Some(spelt) => Fault::UnreadableTime(cut(spelt, MAX_QUOTED)),
            None => page().map_or(Fault::NoTime, Fault::Page),
        }
    }

    /// Spells times that are told as a number of seconds and the like since 1970 as times. True if there are any.
    fn spell_numbers(&self, block: &str, sink: &mut Sink) -> bool {
        let mut found = false;
        for number in self.at.times.into_iter().chain([self.at.end_time]) {
            if let Some(time) = text(block, sink, number).and_then(foreign::since_epoch) {
                let tail = sink.tail.len();
                sink.tail.push(&time.to_string());
                sink.values[number] = sink.tail.since(tail);
                found = true;
            }
        }
        found
    }

    /// The identity of a row of this `kind`; none for a row that is not the vendor's, whose `id` may be
    /// anything.
    fn identity(
        &self,
        found: Found<'_>,
        sink: &Sink,
        shape: Shape,
        kind: Option<Slot>,
        parts: &mut Parts,
    ) -> (RowId, Whose) {
        let block = found.block;
        let given = |number: usize| is_given(block, sink, number);
        match &self.origin.provenance {
            Provenance::File => {
                let place = |number: usize| given(number).map(|text| (text, sink.values[number]));
                let id = place(self.at.id)
                    .or_else(|| if shape.desktop { place(self.at.transaction_id) } else { None });
                let whose = if let Some(((text, id), kind)) = id.zip(kind) {
                    let name = sink.tail.text(block, kind);
                    parts.begin(Tag::FileId).part(name.as_bytes()).part(text.as_bytes());
                    Whose::Named { kind, id }
                } else {
                    parts.begin(Tag::Line).part(found.bytes());
                    Whose::Line
                };
                match self.seed {
                    Some(seed) => (parts.mark(seed), whose),
                    None => (parts.digest(), Whose::Made),
                }
            }
            Provenance::Huawei { region, project_id, endpoint } => {
                let (id, without) = match endpoint {
                    Endpoint::DesktopLogins => (given(self.at.transaction_id), Tag::Desktop),
                    Endpoint::UserEvents => (None, Tag::UserEvent),
                    Endpoint::AppLogins | Endpoint::AppLaunches | Endpoint::Sessions => {
                        (given(self.at.id), Tag::VendorLine)
                    }
                };
                let tag = if id.is_some() { Tag::VendorId } else { without };
                parts.begin(tag).source(region, project_id, *endpoint);
                let id = match id {
                    Some(id) => parts.part(id.as_bytes()).digest(),
                    None if self.key.is_empty() => parts.part(found.bytes()).digest(),
                    None => {
                        for number in &self.key {
                            let text = given(*number);
                            // One instant has many spellings, and a row need not keep to one.
                            let is_time = self.at.times.contains(number);
                            match text.filter(|_| is_time).and_then(Timestamp::parse) {
                                Some(time) => parts.time(time),
                                None => parts.maybe(text),
                            };
                        }
                        parts.digest()
                    }
                };
                (id, Whose::Made)
            }
        }
    }
}

/// The text of a value: of strings, numbers and booleans.
#[inline]
pub(super) fn text<'a>(block: &'a str, sink: &'a Sink, number: usize) -> Option<&'a str> {
    slot_text(block, &sink.tail, sink.values[number])
}

#[inline]
fn slot_text<'a>(block: &'a str, tail: &'a Tail, slot: Slot) -> Option<&'a str> {
    match slot.kind {
        SlotKind::Text | SlotKind::Number => Some(tail.text(block, slot)),
        SlotKind::True => Some("true"),
        SlotKind::False => Some("false"),
        SlotKind::Absent | SlotKind::Null | SlotKind::Json => None,
    }
}

/// The text of a value that is not empty.
#[inline]
pub(super) fn is_given<'a>(block: &'a str, sink: &'a Sink, number: usize) -> Option<&'a str> {
    text(block, sink, number).filter(|text| !text.is_empty())
}

/// True for a value that another spelling may replace.
#[inline]
fn is_blank(slot: Slot) -> bool {
    match slot.kind {
        SlotKind::Absent | SlotKind::Null => true,
        SlotKind::Text => slot.len == 0,
        SlotKind::Number | SlotKind::True | SlotKind::False | SlotKind::Json => false,
    }
}

/// The key that holds rows, if `line` is a page of the vendor's and no row.
fn page(line: &str) -> Option<&'static str> {
    let page = value_of(line)?;
    PAGES.into_iter().find(|key| page.get(key).is_some_and(serde_json::Value::is_array))
}

fn phase_called(word: &str) -> Option<Phase> {
    Phase::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(word))
}
