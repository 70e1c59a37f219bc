//! Facts of a row: made of its own fields, where somebody wants them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::identity::Parts;
use super::row::{Found, Maker, Times, is_given, text};
use super::shape::{Kind, Shape};
use super::sink::Sink;
use crate::record::batch::{Slot, SlotKind};
use crate::record::fact::{self, FailureKind, Outcome};
use crate::record::fold::fold;
use crate::record::geography;
use crate::record::{Number, Phase, Timestamp};

/// Reasons whose kind is remembered: patterns are slow. Hostile reasons may be all different.
const MAX_REMEMBERED: usize = 4_096;
/// Longest code and reason that is remembered; longer ones hardly come twice.
const MAX_REMEMBERED_LEN: usize = 1 << 10;

/// Failure kinds by code and reason.
#[derive(Debug, Default)]
pub(super) struct Memo {
    kinds: HashMap<String, FailureKind>,
    key: String,
    pub(super) parts: Parts,
}

impl Maker {
    /// Settles `outcome`. A word that is no outcome stays for rules to see, and code and reason
    /// decide for Larum.
    pub(super) fn outcome(&self, block: &str, sink: &mut Sink, shape: Shape) -> Outcome {
        // The mapping gave one of our own words.
        let slot = sink.values[self.at.outcome];
        let ours = Outcome::ALL.into_iter().find(|own| self.outcomes[*own as usize].slot(&sink.tail) == slot);
        if let Some(outcome) = ours {
            return outcome;
        }
        let given = is_given(block, sink, self.at.outcome);
        let known = given.and_then(|word| word.trim().parse::<Outcome>().ok());
        let told = self.at.is_success.filter(|_| shape.kind == Kind::UserEvent);
        let told = told.and_then(|number| match text(block, sink, number)?.trim() {
            word if word.eq_ignore_ascii_case("true") => Some(Outcome::Success),
            word if word.eq_ignore_ascii_case("false") => Some(Outcome::Failure),
            _ => None,
        });
        let outcome = known.or(told).unwrap_or_else(|| {
            Outcome::of(text(block, sink, self.at.failed_code), text(block, sink, self.at.failed_reason))
        });
        if given.is_none() || known.is_some() {
            sink.values[self.at.outcome] = self.outcomes[outcome as usize].slot(&sink.tail);
        }
        outcome
    }

    pub(super) fn wanted_facts(
        &self,
        block: &str,
        sink: &mut Sink,
        memo: &mut Memo,
        times: &Times,
        outcome: Outcome,
    ) {
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

    /// Facts of the place of the row's address, where somebody wants them and the row does not tell.
    pub(super) fn places(&self, found: Found<'_>, sink: &mut Sink) {
        let (Some(geography), false) = (found.geography, self.at.geography.is_empty()) else { return };
        let block = found.block;
        let address = text(block, sink, self.at.placed).and_then(geography::address);
        let Some(place) = address.and_then(|address| geography.place(address)) else { return };
        for (fact, number) in &self.at.geography {
            if is_given(block, sink, *number).is_some() {
                continue;
            }
            if let Some((told, is_number)) = place.fact(*fact) {
                let tail = sink.tail.len();
                sink.tail.push(&told);
                let kind = if is_number { SlotKind::Number } else { SlotKind::Text };
                sink.values[*number] = Slot { kind, ..sink.tail.since(tail) };
            }
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
        if memo.key.len() <= MAX_REMEMBERED_LEN {
            if memo.kinds.len() >= MAX_REMEMBERED {
                memo.kinds.clear();
            }
            memo.kinds.insert(memo.key.clone(), kind);
        }
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

    /// Takes out what stands for "unknown": `0.0.0.0`, a round trip of 0 or less.
    pub(super) fn forget_unknowns(&self, block: &str, sink: &mut Sink) {
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
    }
}

/// True for a number above zero.
fn is_positive(text: Option<&str>) -> bool {
    let Some(text) = text else { return false };
    let plain = matches!(text.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    plain || Number::nearest(text).is_some_and(|number| number > Number::default())
}

/// The account behind a name: a part of the name as it stands, if that is folded already.
fn user(block: &str, sink: &mut Sink, name: usize) -> Slot {
    let Some(spelt) = text(block, sink, name) else { return Slot::ABSENT };
    let account = fact::undecorated(spelt);
    if account.is_empty() {
        return Slot::ABSENT;
    }
    match fold(account) {
        Cow::Borrowed(_) => {
            // Spans of one text: the difference of their places is the offset within it.
            let skipped = account.as_ptr().addr() - spelt.as_ptr().addr();
            let whole = sink.values[name];
            Slot { start: whole.start + skipped as u32, len: account.len() as u32, kind: SlotKind::Text }
        }
        Cow::Owned(folded) => {
            let tail = sink.tail.len();
            sink.tail.push(&folded);
            sink.tail.since(tail)
        }
    }
}
