//! From a line's values to a row: time, phase, identity, facts.

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::fast::Line;
use super::fault::cut;
use super::identity::{Parts, Tag};
use super::plan::Plan;
use super::shape::{Kind, Service, Shape};
use super::sink::{Sink, Tail};
use super::words::{Word, Words};
use super::{Endpoint, Fault, Origin, Provenance};
use crate::record::batch::{Slot, SlotKind};
use crate::record::fact::{self, Facts, FailureKind, Outcome};
use crate::record::field::{Columns, FieldKind};
use crate::record::fold::fold;
use crate::record::{Batch, FieldName, Locator, Number, Phase, Row, RowId, Timestamp};

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
/// What a fact is made of, besides [`ALWAYS`].
const INPUTS: [(&str, &[&str]); 2] = [("user", &["user_name"]), ("device", &["client_mac", "client_name"])];
/// Reasons whose kind is remembered: patterns are slow. Hostile reasons may be all different.
const MAX_REMEMBERED: usize = 4_096;
/// Longest spelling of a time that a fault quotes.
const MAX_QUOTED: usize = 64;

/// The fields that rows must be read for, besides the wanted columns.
pub(super) fn needed(columns: &Columns, origin: &Origin) -> Vec<&'static str> {
    let wanted = |name: &str| columns.names().iter().any(|field| field.as_str() == name);
    let mut needed = ALWAYS.to_vec();
    needed.extend(INPUTS.iter().filter(|(name, _)| wanted(name)).flat_map(|(_, inputs)| *inputs));
    if matches!(&origin.provenance, Provenance::Huawei { endpoint: Endpoint::DesktopLogins, .. }) {
        needed.extend(DESKTOP_KEY);
    }
    needed
}

/// Failure kinds by code and reason.
#[derive(Debug, Default)]
pub(super) struct Memo {
    kinds: HashMap<String, FailureKind>,
    key: String,
    parts: Parts,
}

/// Makes rows: the numbers of the fields it needs, and the words it gives.
pub(super) struct Maker {
    facts: Arc<Facts>,
    origin: Origin,
    columns: usize,
    at: Places,
    /// Address columns, where `0.0.0.0` means unknown.
    addresses: Vec<usize>,
    /// Round-trip columns, where 0 or less means unknown.
    round_trips: Vec<usize>,
    /// The fields of a desktop row's identity, for desktop rows of the vendor's.
    desktop_key: Vec<usize>,
    /// Fields whose words the mapping translates; theirs are folded.
    translated: Vec<(usize, Vec<(String, Word)>)>,
    words: Words,
    outcomes: [Word; Outcome::ALL.len()],
    failures: [Word; FailureKind::ALL.len()],
    kinds: [Word; Kind::ALL.len()],
    services: [Word; Service::ALL.len()],
}

/// Numbers of fields; of facts that only rules can want, if they do.
struct Places {
    id: usize,
    transaction_id: usize,
    times: [usize; 3],
    end_time: usize,
    failed_code: usize,
    failed_reason: usize,
    outcome: usize,
    phase: usize,
    kind: usize,
    service: Option<usize>,
    failure_kind: Option<usize>,
    user: Option<(usize, usize)>,
    device: Option<(usize, usize, usize)>,
    duration: Option<usize>,
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
            failed_code: at("failed_code"),
            failed_reason: at("failed_reason"),
            outcome: at("outcome"),
            phase: at("phase"),
            kind: at("kind"),
            service: plan.number("service"),
            failure_kind: plan.number("failure_kind"),
            user: plan.number("user").map(|user| (user, at("user_name"))),
            device: plan.number("device").map(|device| (device, at("client_mac"), at("client_name"))),
            duration: plan.number("duration"),
        }
    }
}

/// The times of a row.
struct Times {
    start: Timestamp,
    end: Option<Timestamp>,
    only: Option<Phase>,
}

impl Maker {
    pub(super) fn new(plan: &Plan, columns: usize, facts: Arc<Facts>, origin: Origin) -> Self {
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
        let numbered = |wanted: &dyn Fn(&FieldName) -> bool| -> Vec<usize> {
            (0..columns).filter(|number| wanted(&plan.fields()[*number])).collect()
        };
        Self {
            at: Places::new(plan),
            addresses: numbered(&|field| field.kind() == FieldKind::Address),
            round_trips: numbered(&|field| matches!(field.as_str(), "network_rtt" | "e2e_rtt")),
            desktop_key: DESKTOP_KEY.iter().filter_map(|name| plan.number(name)).collect(),
            facts,
            origin,
            columns,
            translated,
            words,
            outcomes,
            failures,
            kinds,
            services,
        }
    }

    /// What every batch's tail begins with.
    pub(super) fn words(&self) -> &str {
        self.words.as_str()
    }

    /// Makes the row of a line that was read, or says why it is none.
    pub(super) fn row(
        &self,
        plan: &Plan,
        block: &str,
        line: Line,
        locator: Locator,
        sink: &mut Sink,
        memo: &mut Memo,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        self.merge(plan, block, sink);
        let shape = self.shape(sink);
        let kind = self.kind(block, sink, shape);
        let times = self.times(block, sink)?;
        let bytes = &block.as_bytes()[line.start..line.end];
        let id = self.identity(block, bytes, sink, shape, kind, &mut memo.parts);
        let outcome = self.outcome(block, sink);
        self.wanted_facts(block, sink, memo, &times, outcome);
        for number in &self.addresses {
            let slot = sink.values[*number];
            if slot.kind == SlotKind::Text && fact::is_unknown_address(sink.tail.text(block, slot)) {
                sink.values[*number] = Slot::ABSENT;
            }
        }
        for number in &self.round_trips {
            if !is_positive(text(block, sink, *number)) {
                sink.values[*number] = Slot::ABSENT;
            }
        }
        let open = times.only.is_none() && times.end.is_none() && outcome == Outcome::Success;
        batch.rows.push(Row {
            id,
            version: xxh3_64(bytes),
            locator,
            line: super::slow::span(line.start, line.end, SlotKind::Json),
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
    fn merge(&self, plan: &Plan, block: &str, sink: &mut Sink) {
        sink.touched.sort_unstable();
        for place in 0..sink.touched.len() {
            let target = sink.touched[place];
            let field = plan.field_of(target);
            let (have, other) = (sink.values[field], sink.values[usize::from(target)]);
            if is_blank(have)
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

    fn times(&self, block: &str, sink: &mut Sink) -> Result<Times, Fault> {
        let read = |number: usize| text(block, sink, number).and_then(Timestamp::parse);
        let start = self.at.times.into_iter().find_map(read);
        let end = read(self.at.end_time);
        let only = is_given(block, sink, self.at.phase).and_then(phase_called);
        let time = match only {
            Some(Phase::End) => end.or(start),
            Some(Phase::Start | Phase::Amended) | None => start,
        };
        let time = time.ok_or_else(|| self.no_time(block, sink))?;
        // The record tells its phase itself.
        sink.values[self.at.phase] = Slot::ABSENT;
        Ok(Times { start: time, end: end.filter(|end| *end >= start.unwrap_or(time)), only })
    }

    fn no_time(&self, block: &str, sink: &Sink) -> Fault {
        let says_something = |number: &usize| {
            let spelt = text(block, sink, *number)?.trim();
            // The vendor's word for "not yet" is a time of the year 1.
            (!spelt.is_empty() && !spelt.starts_with("000")).then_some(spelt)
        };
        let spelt = self.at.times.iter().find_map(says_something);
        spelt.map_or(Fault::NoTime, |spelt| Fault::UnreadableTime(cut(spelt, MAX_QUOTED)))
    }

    /// Settles `outcome`. A word that is no outcome stays for rules to see, and code and reason
    /// decide for Larum.
    fn outcome(&self, block: &str, sink: &mut Sink) -> Outcome {
        let given = is_given(block, sink, self.at.outcome);
        let known = given.and_then(|word| word.trim().parse::<Outcome>().ok());
        let outcome = known.unwrap_or_else(|| {
            Outcome::of(text(block, sink, self.at.failed_code), text(block, sink, self.at.failed_reason))
        });
        if given.is_none() || known.is_some() {
            sink.values[self.at.outcome] = self.outcomes[outcome as usize].slot(&sink.tail);
        }
        outcome
    }

    fn wanted_facts(&self, block: &str, sink: &mut Sink, memo: &mut Memo, times: &Times, outcome: Outcome) {
        if let Some(number) = self.at.failure_kind
            && is_given(block, sink, number).is_none()
        {
            sink.values[number] = match outcome {
                Outcome::Success => Slot::ABSENT,
                Outcome::Failure => self.failures[self.failure(block, sink, memo) as usize].slot(&sink.tail),
            };
        }
        if let Some((number, name)) = self.at.user
            && is_given(block, sink, number).is_none()
        {
            sink.values[number] = user(block, sink, name);
        }
        if let Some((number, mac, name)) = self.at.device
            && is_given(block, sink, number).is_none()
        {
            let device = [mac, name].into_iter().find(|input| is_given(block, sink, *input).is_some());
            sink.values[number] = device.map_or(Slot::ABSENT, |input| sink.values[input]);
        }
        if let Some(number) = self.at.duration
            && is_given(block, sink, number).is_none()
        {
            sink.values[number] = self.duration(block, sink, times);
        }
    }

    fn failure(&self, block: &str, sink: &Sink, memo: &mut Memo) -> FailureKind {
        let (code, reason) =
            (text(block, sink, self.at.failed_code), text(block, sink, self.at.failed_reason));
        memo.key.clear();
        memo.key.push_str(code.unwrap_or_default());
        memo.key.push('\0');
        memo.key.push_str(reason.unwrap_or_default());
        if let Some(kind) = memo.kinds.get(&memo.key) {
            return *kind;
        }
        let kind = self.facts.failure_kind(code, reason);
        if memo.kinds.len() >= MAX_REMEMBERED {
            memo.kinds.clear();
        }
        memo.kinds.insert(memo.key.clone(), kind);
        kind
    }

    fn duration(&self, block: &str, sink: &mut Sink, times: &Times) -> Slot {
        let Some(end) = times.end else { return Slot::ABSENT };
        let read = |number: usize| text(block, sink, number).and_then(Timestamp::parse);
        let start = match times.only {
            Some(Phase::End) => self.at.times.into_iter().find_map(read),
            Some(Phase::Start | Phase::Amended) | None => Some(times.start),
        };
        let Some(start) = start else { return Slot::ABSENT };
        let tail = sink.tail.len();
        sink.tail.push_number((end - start).0);
        Slot { kind: SlotKind::Number, ..sink.tail.since(tail) }
    }

    fn identity(
        &self,
        block: &str,
        line: &[u8],
        sink: &Sink,
        shape: Shape,
        kind: Slot,
        parts: &mut Parts,
    ) -> RowId {
        let given = |number: usize| is_given(block, sink, number);
        match &self.origin.provenance {
            Provenance::File => {
                let id = given(self.at.id)
                    .or_else(|| if shape.desktop { given(self.at.transaction_id) } else { None });
                match id {
                    Some(id) => {
                        let kind = sink.tail.text(block, kind);
                        parts.begin(Tag::FileId).part(kind.as_bytes()).part(id.as_bytes()).digest()
                    }
                    None => parts.begin(Tag::Line).part(line).digest(),
                }
            }
            Provenance::Huawei { region, project_id, endpoint } => {
                let desktop = *endpoint == Endpoint::DesktopLogins;
                let id = given(if desktop { self.at.transaction_id } else { self.at.id });
                let tag = match id {
                    Some(_) => Tag::VendorId,
                    None if desktop => Tag::Desktop,
                    None => Tag::VendorLine,
                };
                parts.begin(tag).source(region, project_id, *endpoint);
                match (id, desktop) {
                    (Some(id), _) => parts.part(id.as_bytes()).digest(),
                    (None, false) => parts.part(line).digest(),
                    (None, true) => {
                        for number in &self.desktop_key {
                            parts.maybe(text(block, sink, *number));
                        }
                        parts.digest()
                    }
                }
            }
        }
    }
}

/// The text of a value: of strings, numbers and booleans.
#[inline]
fn text<'a>(block: &'a str, sink: &'a Sink, number: usize) -> Option<&'a str> {
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
fn is_given<'a>(block: &'a str, sink: &'a Sink, number: usize) -> Option<&'a str> {
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

fn phase_called(word: &str) -> Option<Phase> {
    Phase::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(word))
}

/// True for a number above zero.
fn is_positive(text: Option<&str>) -> bool {
    let Some(text) = text else { return false };
    let plain = matches!(text.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    plain || Number::parse(text).is_some_and(|number| number > Number::default())
}

/// The account behind a name: a part of the name as it stands, if that is folded already.
fn user(block: &str, sink: &mut Sink, name: usize) -> Slot {
    let Some(spelt) = text(block, sink, name) else { return Slot::ABSENT };
    let account = fact::undecorated(spelt);
    if account.is_empty() {
        return Slot::ABSENT;
    }
    match fold(account) {
        std::borrow::Cow::Borrowed(_) => {
            // Spans of one text: the difference of their places is the offset within it.
            let skipped = account.as_ptr().addr() - spelt.as_ptr().addr();
            let whole = sink.values[name];
            Slot { start: whole.start + skipped as u32, len: account.len() as u32, kind: SlotKind::Text }
        }
        std::borrow::Cow::Owned(folded) => {
            let tail = sink.tail.len();
            sink.tail.push(&folded);
            sink.tail.since(tail)
        }
    }
}
