//! Conditions made ready to run: predicates interned once for all rules, expressions over their
//! numbers, verdicts remembered for the batch at hand.
//!
//! A verdict depends on the record alone; nothing here counts, remembers or reads a clock.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::record::batch::{Slot, SlotKind};
use crate::record::fold::{fold, folds_to};
use crate::record::{
    Column, Columns, FieldKind, FieldName, Number, Phase, Record, Timestamp, Value, value_of,
};

use super::lists::{List, Lists};
use super::past::{QuestionId, Rest};
use super::pattern::Pattern;
use super::spec::{Bound, ClockPart, Expr, Filling, Literal, Ordering, Part, Past, Predicate, Test};

/// Number of an interned predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PredicateId(u32);

/// An expression over interned predicates.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Every part holds.
    All(Vec<Condition>),
    /// Some part holds.
    Any(Vec<Condition>),
    /// The part does not hold.
    Not(Box<Condition>),
    /// One predicate holds.
    Is(PredicateId),
    /// The past answers so.
    Asks(QuestionId),
}

/// Every distinct predicate of a generation.
#[derive(Debug, Default)]
pub struct Predicates {
    list: Vec<Ready>,
    /// What `in` looks at.
    lists: Lists,
    by_text: HashMap<String, PredicateId>,
    questions: Vec<(Past, FieldName, Vec<FieldName>)>,
    /// Questions of the program that is being compiled.
    asked: BTreeSet<QuestionId>,
}

/// The last verdict of each predicate that was on a text, so that one shared by rules is looked at
/// once a record, and one on a fact once a batch: the words of facts lie in one place of it.
#[derive(Debug, Default)]
pub struct Memo {
    verdicts: Vec<(Slot, bool)>,
    /// Lines that keywords looked at, as values, by where they begin: each condition is asked of many
    /// records in turn.
    lines: HashMap<u32, serde_json::Value, foldhash::fast::RandomState>,
}

/// Lines of a batch that are kept as values; a line is some kilobytes then.
const MAX_LINES: usize = 256;

impl Memo {
    /// Forgets the last batch: what comes is of another one.
    pub fn clear(&mut self) {
        self.verdicts.fill((Slot::ABSENT, false));
        self.lines.clear();
    }

    /// The values of a record's line, which is in `column`.
    fn values_of(&mut self, record: Record<'_>, column: Column) -> Option<&serde_json::Value> {
        let Value::Json(text) = record.get(column) else { return None };
        let at = record.slot(column).start;
        if !self.lines.contains_key(&at) {
            let whole = value_of(text)?;
            if self.lines.len() >= MAX_LINES {
                self.lines.clear();
            }
            self.lines.insert(at, whole);
        }
        self.lines.get(&at)
    }
}

/// One predicate, ready to run.
#[derive(Debug)]
struct Ready {
    column: Column,
    kind: FieldKind,
    cased: bool,
    /// The column is the whole line, and the test is of any value in it.
    line: bool,
    test: ReadyTest,
}

#[derive(Debug)]
enum ReadyTest {
    Equals(Equals),
    Contains(Vec<Finder<'static>>),
    StartsWith(Vec<String>),
    EndsWith(Vec<String>),
    Regex(Vec<Pattern>),
    Cidr(Vec<ipnet::IpNet>),
    Compare(Ordering, Bound),
    Exists(bool),
    FieldRef(Column),
    In(Vec<Arc<List>>),
    There(bool),
    Refers(Part, Column),
    Clock(ClockPart, Option<Ordering>, Vec<Number>),
    /// A list that is not there holds nothing.
    Filled(Filling, Option<Arc<List>>),
}

#[derive(Debug, Default)]
struct Equals {
    texts: Texts,
    numbers: Vec<Number>,
    addresses: Vec<IpAddr>,
    bools: Vec<bool>,
    null: bool,
}

/// Texts to be equal to: compared one by one while they are few.
#[derive(Debug)]
enum Texts {
    Few(Vec<String>),
    Many(HashSet<String, foldhash::fast::RandomState>),
}

/// As many texts are compared sooner than one is hashed.
const FEW_TEXTS: usize = 4;

impl Default for Texts {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Texts {
    fn insert(&mut self, text: String) {
        match self {
            Self::Few(list) if list.len() < FEW_TEXTS => list.push(text),
            Self::Few(list) => *self = Self::Many(list.drain(..).chain([text]).collect()),
            Self::Many(set) => {
                set.insert(text);
            }
        }
    }

    fn contain(&self, text: &str, cased: bool) -> bool {
        match (self, cased) {
            (Self::Few(list), true) => list.iter().any(|one| one == text),
            (Self::Few(list), false) => list.iter().any(|one| folds_to(text, one)),
            (Self::Many(set), true) => set.contains(text),
            (Self::Many(set), false) => set.contains(&*fold(text)),
        }
    }
}

impl Predicates {
    /// None yet; those that come look at `lists`.
    pub fn among(lists: Lists) -> Self {
        Self { lists, ..Self::default() }
    }

    /// Every list.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Makes `expr` ready, wanting its fields.
    pub fn ready(&mut self, expr: &Expr, columns: &mut Columns) -> Condition {
        match expr {
            Expr::All(parts) => self.joined(true, parts, columns),
            Expr::Any(parts) => self.joined(false, parts, columns),
            Expr::Not(part) => Condition::Not(Box::new(self.ready(part, columns))),
            Expr::Is(Predicate { field, test: Test::Past(past, by), .. }) => {
                columns.want(field);
                Condition::Asks(self.question((*past, field.clone(), by.clone())))
            }
            Expr::Is(predicate) => Condition::Is(self.intern(predicate, columns)),
        }
    }

    /// All of `parts`, or any: what is sooner looked at first. Parts that are joined the same way are parts of the
    /// whole, and one part is all there is.
    fn joined(&mut self, all: bool, parts: &[Expr], columns: &mut Columns) -> Condition {
        let mut ready = Vec::with_capacity(parts.len());
        for part in parts {
            match self.ready(part, columns) {
                Condition::All(parts) if all => ready.extend(parts),
                Condition::Any(parts) if !all => ready.extend(parts),
                part @ (Condition::All(_)
                | Condition::Any(_)
                | Condition::Not(_)
                | Condition::Is(_)
                | Condition::Asks(_)) => {
                    ready.push(part);
                }
            }
        }
        if ready.len() == 1
            && let Some(part) = ready.pop()
        {
            return part;
        }
        ready.sort_by_key(|part| self.cost(part));
        ready.shrink_to_fit();
        if all { Condition::All(ready) } else { Condition::Any(ready) }
    }

    /// How long a look takes, in no unit.
    fn cost(&self, condition: &Condition) -> u32 {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                1 + parts.iter().map(|part| self.cost(part)).sum::<u32>()
            }
            Condition::Not(part) => self.cost(part),
            // What the past is asked stays in its order.
            Condition::Asks(_) => u32::from(u16::MAX),
            Condition::Is(id) => self.list[id.0 as usize].cost(),
        }
    }

    fn question(&mut self, question: (Past, FieldName, Vec<FieldName>)) -> QuestionId {
        let known = self.questions.iter().position(|other| *other == question);
        let number = known.unwrap_or(self.questions.len());
        if known.is_none() {
            self.questions.push(question);
        }
        let id = QuestionId::try_from(number).unwrap_or(QuestionId::MAX);
        self.asked.insert(id);
        id
    }

    /// The questions that were asked since this was called last: what, of which field, by which.
    pub fn take_asked(&mut self) -> Vec<(QuestionId, Past, FieldName, Vec<FieldName>)> {
        let question = |id: QuestionId| {
            self.questions.get(id as usize).map(|(past, field, by)| (id, *past, field.clone(), by.clone()))
        };
        std::mem::take(&mut self.asked).into_iter().filter_map(question).collect()
    }

    /// What is left of `condition` once `record` has been looked at; `number` is the program's own of a
    /// question. `memo` must have been cleared for its batch.
    pub fn reduce(
        &self,
        condition: &Condition,
        record: Record<'_>,
        memo: &mut Memo,
        number: &dyn Fn(QuestionId) -> u32,
    ) -> Rest {
        match condition {
            Condition::All(parts) => {
                Rest::all(parts.iter().map(|part| self.reduce(part, record, memo, number)))
            }
            Condition::Any(parts) => {
                Rest::any(parts.iter().map(|part| self.reduce(part, record, memo, number)))
            }
            Condition::Not(part) => self.reduce(part, record, memo, number).contrary(),
            Condition::Is(_) => Rest::Settled(self.holds(condition, record, memo)),
            Condition::Asks(id) => Rest::Asks(number(*id)),
        }
    }

    fn intern(&mut self, predicate: &Predicate, columns: &mut Columns) -> PredicateId {
        let text = format!("{:?} {:?} {}", predicate.field, predicate.test, predicate.cased);
        if let Some(id) = self.by_text.get(&text) {
            return *id;
        }
        let id = PredicateId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(Ready::of(predicate, columns, &self.lists));
        self.by_text.insert(text, id);
        id
    }

    /// There are no more conditions to make ready: how predicates are spelt is forgotten.
    pub fn done(&mut self) {
        self.by_text = HashMap::new();
    }

    /// Whether `condition` holds for `record` with every question denied; `memo` must have been cleared
    /// for its batch.
    pub fn holds(&self, condition: &Condition, record: Record<'_>, memo: &mut Memo) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part, record, memo)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part, record, memo)),
            Condition::Not(part) => !self.holds(part, record, memo),
            Condition::Asks(_) => false,
            Condition::Is(id) => self.holds_one(*id, record, memo),
        }
    }

    #[inline]
    fn holds_one(&self, id: PredicateId, record: Record<'_>, memo: &mut Memo) -> bool {
        let (number, ready) = (id.0 as usize, &self.list[id.0 as usize]);
        if ready.line {
            let whole = memo.values_of(record, ready.column);
            return whole.is_some_and(|whole| ready.any_value(whole, record.time()));
        }
        let slot = record.slot(ready.column);
        // What another field or a list says of it changes from record to record.
        let alone = !matches!(
            ready.test,
            ReadyTest::FieldRef(_) | ReadyTest::Refers(..) | ReadyTest::In(_) | ReadyTest::Filled(..)
        );
        if slot.kind != SlotKind::Text || !alone {
            return ready.holds(record);
        }
        if memo.verdicts.len() <= number {
            memo.verdicts.resize(self.list.len(), (Slot::ABSENT, false));
        }
        let known = &mut memo.verdicts[number];
        if known.0 != slot {
            *known = (slot, ready.holds(record));
        }
        known.1
    }
}

fn ready_test(test: &Test, columns: &mut Columns, lists: &Lists) -> ReadyTest {
    match test {
        Test::Equals(literals) => ReadyTest::Equals(equals(literals)),
        Test::Contains(needles) => {
            ReadyTest::Contains(needles.iter().map(|needle| Finder::new(needle).into_owned()).collect())
        }
        Test::StartsWith(needles) => ReadyTest::StartsWith(needles.clone()),
        Test::EndsWith(needles) => ReadyTest::EndsWith(needles.clone()),
        Test::Regex(patterns) => ReadyTest::Regex(patterns.clone()),
        Test::Cidr(nets) => ReadyTest::Cidr(nets.clone()),
        Test::Compare(ordering, bound) => ReadyTest::Compare(*ordering, *bound),
        Test::Exists(exists) => ReadyTest::Exists(*exists),
        Test::FieldRef(field) => ReadyTest::FieldRef(columns.want(field)),
        // A list that is not there holds nothing; that it is there was checked when the rule was read.
        Test::In(names) => ReadyTest::In(names.iter().filter_map(|name| lists.get(name).cloned()).collect()),
        Test::There(there) => ReadyTest::There(*there),
        Test::Refers(part, field) => ReadyTest::Refers(*part, columns.want(field)),
        Test::Clock(part, ordering, numbers) => ReadyTest::Clock(*part, *ordering, numbers.clone()),
        Test::Filled(filling) => ReadyTest::Filled(filling.clone(), lists.get(&filling.list).cloned()),
        // Asked of the past, never of the record: see `Condition::Asks`.
        Test::Past(..) => ReadyTest::Equals(Equals::default()),
    }
}

fn equals(literals: &[Literal]) -> Equals {
    let mut equals = Equals::default();
    for literal in literals {
        match literal {
            Literal::Text(text) => equals.texts.insert(text.clone()),
            Literal::Number(number) => equals.numbers.push(*number),
            Literal::Length(length) => equals.numbers.push(Number::whole(length.0)),
            Literal::Bool(value) => equals.bools.push(*value),
            Literal::Address(address) => equals.addresses.push(*address),
            Literal::Null => equals.null = true,
        }
    }
    equals
}

impl Ready {
    fn of(predicate: &Predicate, columns: &mut Columns, lists: &Lists) -> Self {
        Self {
            column: columns.want(&predicate.field),
            kind: predicate.field.kind(),
            cased: predicate.cased,
            line: predicate.field.is_line(),
            test: ready_test(&predicate.test, columns, lists),
        }
    }

    /// How long a look takes, in no unit.
    fn cost(&self) -> u32 {
        let cost = match &self.test {
            ReadyTest::Exists(_) | ReadyTest::There(_) => 1,
            ReadyTest::Equals(_) => 2,
            ReadyTest::Compare(..) | ReadyTest::FieldRef(_) => 4,
            ReadyTest::StartsWith(_) | ReadyTest::EndsWith(_) | ReadyTest::In(_) => 8,
            ReadyTest::Contains(_) | ReadyTest::Cidr(_) | ReadyTest::Clock(..) => 16,
            ReadyTest::Refers(..) => 32,
            ReadyTest::Regex(_) | ReadyTest::Filled(..) => 100,
        };
        // Of the line, all of it is read anew.
        if self.line { 1_000 + cost } else { cost }
    }

    fn holds(&self, record: Record<'_>) -> bool {
        let value = record.get(self.column);
        match &self.test {
            ReadyTest::FieldRef(other) => self.same_as(value, record.get(*other)),
            ReadyTest::Refers(part, other) => self.refers(*part, value, record.get(*other)),
            ReadyTest::Equals(_)
            | ReadyTest::Contains(_)
            | ReadyTest::StartsWith(_)
            | ReadyTest::EndsWith(_)
            | ReadyTest::Regex(_)
            | ReadyTest::Cidr(_)
            | ReadyTest::Compare(..)
            | ReadyTest::Exists(_)
            | ReadyTest::There(_)
            | ReadyTest::Clock(..) => self.holds_of(value, Timestamp::MIN),
            ReadyTest::In(_) | ReadyTest::Filled(..) => self.holds_of(value, record.time()),
        }
    }

    /// Whether the field of a record of that time may be `value`; a test against another field never
    /// holds of it alone. Lists alone look at the time.
    fn holds_of(&self, value: Value<'_>, at: Timestamp) -> bool {
        match (&self.test, value) {
            (ReadyTest::There(wanted), _) => matches!(value, Value::Absent) != *wanted,
            (ReadyTest::Exists(wanted), _) => matches!(value, Value::Absent | Value::Null) != *wanted,
            (ReadyTest::Equals(equals), Value::Absent | Value::Null) => equals.null,
            (_, Value::Absent | Value::Null) => false,
            (_, Value::Json(text)) => self.any_element(text, at),
            (_, Value::Text(_) | Value::Number(_) | Value::Bool(_)) => self.holds_for(value, at),
        }
    }

    /// An array matches by any element; an object matches nothing.
    fn any_element(&self, text: &str, at: Timestamp) -> bool {
        match value_of(text) {
            Some(whole) if self.line => self.any_value(&whole, at),
            Some(serde_json::Value::Array(items)) => {
                items.iter().any(|item| self.holds_for_element(item, at))
            }
            Some(_) | None => false,
        }
    }

    fn holds_for_element(&self, item: &serde_json::Value, at: Timestamp) -> bool {
        match item {
            serde_json::Value::String(text) => self.holds_for(Value::Text(text), at),
            serde_json::Value::Number(number) => self.holds_for(Value::Number(&number.to_string()), at),
            serde_json::Value::Bool(value) => self.holds_for(Value::Bool(*value), at),
            serde_json::Value::Null => matches!(&self.test, ReadyTest::Equals(equals) if equals.null),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => false,
        }
    }

    /// Any value in what is nested holds; keys are no values.
    fn any_value(&self, whole: &serde_json::Value, at: Timestamp) -> bool {
        match whole {
            serde_json::Value::Array(items) => items.iter().any(|item| self.any_value(item, at)),
            serde_json::Value::Object(map) => map.values().any(|item| self.any_value(item, at)),
            serde_json::Value::String(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Bool(_)
            | serde_json::Value::Null => self.holds_for_element(whole, at),
        }
    }

    /// For a string, number or boolean.
    fn holds_for(&self, value: Value<'_>, at: Timestamp) -> bool {
        let text = value.text().unwrap_or_default();
        let folded = || if self.cased { text.into() } else { fold(text) };
        match &self.test {
            ReadyTest::Equals(equals) => self.equals(equals, value, text),
            ReadyTest::Contains(needles) => {
                let folded = folded();
                needles.iter().any(|needle| needle.find(folded.as_bytes()).is_some())
            }
            ReadyTest::StartsWith(needles) => {
                let folded = folded();
                needles.iter().any(|needle| folded.starts_with(needle))
            }
            ReadyTest::EndsWith(needles) => {
                let folded = folded();
                needles.iter().any(|needle| folded.ends_with(needle))
            }
            ReadyTest::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
            ReadyTest::Cidr(nets) => {
                address(text).is_some_and(|address| nets.iter().any(|net| net.contains(&address)))
            }
            ReadyTest::Compare(ordering, bound) => compare(*ordering, *bound, value, text),
            ReadyTest::In(lists) => lists.iter().any(|list| list.contains(value, self.kind, self.cased, at)),
            ReadyTest::Clock(part, ordering, numbers) => {
                let time = Timestamp::parse(text).and_then(|time| part.of(time)).map(Number::whole);
                time.is_some_and(|time| match ordering {
                    None => numbers.contains(&time),
                    Some(ordering) => numbers.iter().any(|number| ordered(*ordering, Some(time.cmp(number)))),
                })
            }
            ReadyTest::Filled(filling, list) => {
                list.as_ref().is_some_and(|list| self.filled(filling, list, &folded(), at))
            }
            ReadyTest::Exists(_) | ReadyTest::There(_) | ReadyTest::FieldRef(_) | ReadyTest::Refers(..) => {
                false
            }
        }
    }

    /// Whether the part of `text` is a value of the list between its texts.
    fn filled(&self, filling: &Filling, list: &List, text: &str, at: Timestamp) -> bool {
        let Filling { part, before, after, .. } = filling;
        match part {
            Part::Whole => text
                .strip_prefix(before.as_str())
                .and_then(|text| text.strip_suffix(after.as_str()))
                .is_some_and(|text| list.holds_text(text, self.cased, at)),
            Part::Start | Part::End | Part::Anywhere => {
                list.has_text(self.cased, at, &|value| part.is(text, &format!("{before}{value}{after}")))
            }
        }
    }

    /// Whether the part of one value is another; of lists, of any of their elements.
    fn refers(&self, part: Part, one: Value<'_>, other: Value<'_>) -> bool {
        let (ones, others) = (texts_of(one), texts_of(other));
        let fold = |text: &str| if self.cased { text.to_owned() } else { fold(text).into_owned() };
        ones.iter().any(|one| others.iter().any(|other| part.is(&fold(one), &fold(other))))
    }

    fn equals(&self, equals: &Equals, value: Value<'_>, text: &str) -> bool {
        if !equals.numbers.is_empty() {
            return value.number().is_some_and(|number| equals.numbers.contains(&number));
        }
        if !equals.bools.is_empty() {
            return truth(text).is_some_and(|truth| equals.bools.contains(&truth));
        }
        if let Some(address) =
            Some(&equals.addresses).filter(|list| !list.is_empty()).and_then(|_| address(text))
        {
            return equals.addresses.contains(&address);
        }
        equals.texts.contain(text, self.cased)
    }

    /// Two fields of a record are the same: by the first one's kind; a null is the same as nothing.
    fn same_as(&self, one: Value<'_>, other: Value<'_>) -> bool {
        let (Some(a), Some(b)) = (one.text(), other.text()) else { return false };
        match self.kind {
            FieldKind::Number | FieldKind::Duration => {
                match (one.number(), other.number()) {
                    (Some(a), Some(b)) => a == b,
                    // Out of range they are the same if they are spelt so.
                    (None, None) => a == b && one.nearest().is_some(),
                    (Some(_), None) | (None, Some(_)) => false,
                }
            }
            FieldKind::Address => match (address(a), address(b)) {
                (Some(a), Some(b)) => a == b,
                (Some(_), None) | (None, Some(_) | None) => fold(a) == fold(b),
            },
            FieldKind::Time => match (Timestamp::parse(a), Timestamp::parse(b)) {
                (Some(a), Some(b)) => a == b,
                (Some(_), None) | (None, Some(_) | None) => a == b,
            },
            FieldKind::Text | FieldKind::Bool | FieldKind::Any => {
                if self.cased {
                    a == b
                } else {
                    fold(a) == fold(b)
                }
            }
        }
    }
}

/// The texts of a value: its own, or those of a list's elements.
fn texts_of(value: Value<'_>) -> Vec<String> {
    let Value::Json(text) = value else { return value.text().map(str::to_owned).into_iter().collect() };
    let Some(serde_json::Value::Array(items)) = value_of(text) else { return Vec::new() };
    let text = |item: serde_json::Value| match item {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(value) => Some(value.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    };
    items.into_iter().filter_map(text).collect()
}

fn truth(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The address `text` spells; an IPv4-mapped IPv6 address is the IPv4 address.
pub fn address(text: &str) -> Option<IpAddr> {
    if let Some(address) = plain_v4(text.as_bytes()) {
        return Some(address.into());
    }
    text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Four numbers as nearly every address is spelt; none of what is spelt otherwise, or is none.
fn plain_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut parts, mut place, mut number, mut digits) = ([0_u8; 4], 0, 0_u32, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                // No number has a zero before it.
                if digits == 3 || digits > 0 && number == 0 {
                    return None;
                }
                number = number * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' => {
                if digits == 0 || place == 3 {
                    return None;
                }
                *parts.get_mut(place)? = u8::try_from(number).ok()?;
                (place, number, digits) = (place + 1, 0, 0);
            }
            _ => return None,
        }
    }
    if digits == 0 || place != 3 {
        return None;
    }
    *parts.get_mut(place)? = u8::try_from(number).ok()?;
    Some(parts.into())
}

fn compare(ordering: Ordering, bound: Bound, value: Value<'_>, text: &str) -> bool {
    let than = match bound {
        Bound::Number(number) => value.nearest().map(|value| value.cmp(&number)),
        Bound::Length(length) => value.nearest().map(|value| value.cmp(&Number::whole(length.0))),
        Bound::Time(time) => Timestamp::parse(text).map(|value| value.cmp(&time)),
    };
    ordered(ordering, than)
}

fn ordered(ordering: Ordering, than: Option<std::cmp::Ordering>) -> bool {
    use std::cmp::Ordering as Than;
    match (ordering, than) {
        (Ordering::Above, than) => than == Some(Than::Greater),
        (Ordering::AtLeast, than) => matches!(than, Some(Than::Greater | Than::Equal)),
        (Ordering::Below, than) => than == Some(Than::Less),
        (Ordering::AtMost, than) => matches!(than, Some(Than::Less | Than::Equal)),
    }
}

/// A set of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    /// Every phase.
    pub const ALL: Self = Self(0b111);
    /// No phase.
    pub const NONE: Self = Self(0);

    /// Just `phase`.
    pub fn only(phase: Phase) -> Self {
        Self(1 << phase as u8)
    }

    /// Whether `phase` is in the set.
    pub fn contains(self, phase: Phase) -> bool {
        self.0 & (1 << phase as u8) != 0
    }

    /// Those of the set for which `keep` says yes.
    #[must_use]
    pub fn filter(self, keep: impl Fn(Phase) -> bool) -> Self {
        let kept = Phase::ALL.into_iter().filter(|phase| self.contains(*phase) && keep(*phase));
        kept.map(Self::only).fold(Self::NONE, Self::or)
    }

    /// Both sets together.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What is known of a field before a record is read: its value; none where it may be anything.
pub type Known<'a> = &'a dyn Fn(&FieldName) -> Option<Value<'static>>;

/// Whether some record of which only this much is known may be accepted by `expr`. When in doubt, yes.
pub fn may_hold(expr: &Expr, known: Known<'_>) -> bool {
    settled(expr, known) != Some(false)
}

/// The verdict on every record of which this much is known; none where it depends on the rest.
fn settled(expr: &Expr, known: Known<'_>) -> Option<bool> {
    match expr {
        Expr::All(parts) => unless_one(parts, false, known),
        Expr::Any(parts) => unless_one(parts, true, known),
        Expr::Not(part) => settled(part, known).map(|holds| !holds),
        Expr::Is(predicate) => {
            let value = known(&predicate.field)?;
            if matches!(
                predicate.test,
                Test::FieldRef(_) | Test::Refers(..) | Test::In(_) | Test::Filled(_) | Test::Past(..)
            ) {
                return None;
            }
            let mut columns = Columns::default();
            Some(Ready::of(predicate, &mut columns, &Lists::default()).holds_of(value, Timestamp::MIN))
        }
    }
}

/// One part that is `decisive` settles it; else all of them together must say the contrary.
fn unless_one(parts: &[Expr], decisive: bool, known: Known<'_>) -> Option<bool> {
    let mut open = false;
    for part in parts {
        match settled(part, known) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(!decisive)
}

/// The phases of records that `expr` can accept.
pub fn phases(expr: &Expr) -> Phases {
    match expr {
        Expr::All(parts) => parts.iter().map(phases).fold(Phases::ALL, Phases::and),
        Expr::Any(parts) => parts.iter().map(phases).fold(Phases::NONE, Phases::or),
        Expr::Is(Predicate { field, test: Test::Equals(literals), .. }) if field.is("phase") => {
            named_phases(literals)
        }
        Expr::Not(_) | Expr::Is(_) => Phases::ALL,
    }
}

/// `expr` for a record whose phase is among [`phases`] of it: without the parts that ask for the
/// phase alone, which hold.
pub fn beyond_phases(expr: &Expr) -> Cow<'_, Expr> {
    let Expr::All(parts) = expr else { return Cow::Borrowed(expr) };
    let asks_phase = |part: &Expr| match part {
        Expr::Is(Predicate { field, test: Test::Equals(literals), cased: false, .. }) => {
            field.is("phase") && literals.iter().all(|literal| matches!(literal, Literal::Text(_)))
        }
        Expr::Is(_) | Expr::Not(_) | Expr::All(_) | Expr::Any(_) => false,
    };
    Cow::Owned(Expr::All(parts.iter().filter(|part| !asks_phase(part)).cloned().collect()))
}

fn named_phases(literals: &[Literal]) -> Phases {
    let named = |phase: &Phase| {
        literals.iter().any(|literal| matches!(literal, Literal::Text(text) if fold(text) == phase.as_str()))
    };
    Phase::ALL.into_iter().filter(named).map(Phases::only).fold(Phases::NONE, Phases::or)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_address_is_the_one_that_every_reader_finds(
            text in prop_oneof!["[0-9]{1,3}(\\.[0-9]{1,3}){3}", "[0-9.]{0,16}", any::<[u8; 4]>().prop_map(|parts| Ipv4Addr::from(parts).to_string())],
        ) {
            if let Some(address) = plain_v4(text.as_bytes()) {
                prop_assert_eq!(Ok(address), text.parse());
            } else {
                prop_assert!(text.parse::<Ipv4Addr>().is_err());
            }
        }
    }
}
