//! A key of a selection taken apart: the field, and what its modifiers ask.

use super::super::decode::Cx;
use super::super::problem::Span;
use super::super::spec::{ClockPart, Ordering, Part};
use super::super::suggest;
use super::super::yaml::Key;
use super::transform::Transform;
use crate::record::FieldName;

/// Every modifier of the specification.
pub(super) const MODIFIERS: [&str; 34] = [
    "contains",
    "startswith",
    "endswith",
    "all",
    "re",
    "i",
    "ignorecase",
    "m",
    "multiline",
    "s",
    "dotall",
    "cidr",
    "cased",
    "exists",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "base64",
    "base64offset",
    "wide",
    "utf16",
    "utf16le",
    "utf16be",
    "windash",
    "fieldref",
    "expand",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
];

/// What a field is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// This part of its text is so.
    Text(Part),
    /// A regular expression finds a match.
    Regex,
    /// It is an address of a network.
    Cidr,
    /// It is so compared with a number.
    Compare(Ordering),
    /// It is there or not.
    Exists,
}

/// A key taken apart.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing that a modifier says")]
pub(super) struct Asked {
    /// The field; every value of the line for keywords.
    pub field: FieldName,
    /// What it is asked.
    pub op: Op,
    /// A part of its text was asked for, or it would be the whole.
    pub part_given: bool,
    /// Every value holds, not any.
    pub all: bool,
    /// Case counts.
    pub cased: bool,
    /// It is there and is not so.
    pub neq: bool,
    /// Values are names of fields.
    pub fieldref: bool,
    /// `%name%` in values is a list.
    pub expand: bool,
    /// A part of the instant is looked at.
    pub clock: Option<ClockPart>,
    /// What is done to values, in order.
    pub transforms: Vec<Transform>,
    /// Flags of the regular expression.
    pub flags: String,
    /// The key as spelt.
    pub spelt: String,
    /// Where it stands.
    pub span: Span,
}

impl Asked {
    /// A keyword: any value of the line has it in it.
    pub(super) fn keyword(span: Span) -> Self {
        Self {
            field: FieldName::line(),
            op: Op::Text(Part::Anywhere),
            part_given: false,
            all: false,
            cased: false,
            neq: false,
            fieldref: false,
            expand: false,
            clock: None,
            transforms: Vec::new(),
            flags: String::new(),
            spelt: "a keyword".to_owned(),
            span,
        }
    }

    /// Takes `key` apart; tells of modifiers that there are not, or that do not go together.
    pub(super) fn of(cx: &mut Cx<'_>, key: &Key) -> Option<Self> {
        let mut parts = key.text.split('|');
        let field = parts.next().unwrap_or_default().trim();
        let mut asked = Self::keyword(key.span);
        if !field.is_empty() {
            asked.field = FieldName::spelt(field);
            asked.op = Op::Text(Part::Whole);
        }
        asked.spelt.clone_from(&key.text);
        let before = cx.problems.errors();
        let (mut op, mut at) = (None, field.len() + 1);
        for word in parts {
            let span = word_span(cx, key, at, word);
            at += word.len() + 1;
            asked.modify(cx, word.trim(), span, &mut op);
        }
        asked.check(cx, key.span);
        (cx.problems.errors() == before).then_some(asked)
    }

    fn modify<'k>(&mut self, cx: &mut Cx<'_>, word: &'k str, span: Span, op: &mut Option<&'k str>) {
        let new = match word {
            "contains" => Some(Op::Text(Part::Anywhere)),
            "startswith" => Some(Op::Text(Part::Start)),
            "endswith" => Some(Op::Text(Part::End)),
            "re" => Some(Op::Regex),
            "cidr" => Some(Op::Cidr),
            "exists" => Some(Op::Exists),
            "gt" => Some(Op::Compare(Ordering::Above)),
            "gte" => Some(Op::Compare(Ordering::AtLeast)),
            "lt" => Some(Op::Compare(Ordering::Below)),
            "lte" => Some(Op::Compare(Ordering::AtMost)),
            _ => None,
        };
        if let Some(new) = new {
            if let Some(other) = op {
                let message = format!("`{other}` and `{word}` do not go together");
                cx.fault(span, message, "one key asks one thing; write two keys");
            }
            (self.op, self.part_given, *op) = (new, matches!(new, Op::Text(_)), Some(word));
            return;
        }
        match word {
            "all" => self.all = true,
            "cased" => self.cased = true,
            "neq" => self.neq = true,
            "fieldref" => self.fieldref = true,
            "expand" => self.expand = true,
            "i" | "ignorecase" => self.flags.push('i'),
            "m" | "multiline" => self.flags.push('m'),
            "s" | "dotall" => self.flags.push('s'),
            _ => match (Transform::of(word), ClockPart::ALL.into_iter().find(|(name, _)| *name == word)) {
                (Some(transform), _) => self.transforms.push(transform),
                (None, Some((_, part))) => self.clock = Some(part),
                (None, None) => unknown(cx, word, span),
            },
        }
    }

    /// Tells of modifiers that say nothing beside each other.
    fn check(&self, cx: &mut Cx<'_>, span: Span) {
        let text = matches!(self.op, Op::Text(_));
        let whole = matches!(self.op, Op::Text(Part::Whole));
        let faults = [
            (
                !self.flags.is_empty() && self.op != Op::Regex,
                "`i`, `m` and `s` are flags of `re`",
                "write `re` before them",
            ),
            (
                !self.transforms.is_empty() && (!text || self.fieldref || self.clock.is_some()),
                "a value is encoded only where text is looked for",
                "keep the encoding with `contains`, `startswith`, `endswith` or none",
            ),
            (
                self.fieldref && !(text && self.clock.is_none()),
                "`fieldref` names another field, whose text is compared",
                "use it alone, or with `contains`, `startswith` or `endswith`",
            ),
            (
                self.clock.is_some() && !(whole || matches!(self.op, Op::Compare(_))),
                "a part of an instant is a number",
                "use it alone, or with `gt`, `gte`, `lt` or `lte`",
            ),
            (
                self.expand && !(text || self.op == Op::Cidr),
                "`expand` fills in texts and networks",
                "use it alone, or with `contains`, `startswith`, `endswith` or `cidr`",
            ),
            (
                self.expand && (self.fieldref || self.clock.is_some()),
                "`expand` fills in texts and networks",
                "take `fieldref` or the part of the instant out",
            ),
            (self.cased && !text, "`cased` only means something where text is compared", "take `cased` out"),
            (
                self.field.is_line() && !(text || self.op == Op::Regex || self.op == Op::Cidr)
                    || self.field.is_line() && (self.fieldref || self.clock.is_some() || self.neq),
                "this asks a field, and there is none before the `|`",
                "write the field's name first",
            ),
            (
                self.neq && self.op == Op::Exists,
                "`neq` and `exists` do not go together",
                "write `exists: false`",
            ),
        ];
        for (_, message, hint) in faults.into_iter().filter(|(is, ..)| *is).take(1) {
            cx.fault(span, message, hint);
        }
    }
}

/// Where a modifier stands.
fn word_span(cx: &Cx<'_>, key: &Key, at: usize, word: &str) -> Span {
    let start = key.span.start + at;
    let span = Span { start, end: start + word.len() };
    if cx.source.get(span.start..span.end) == Some(word) && span.end <= key.span.end {
        span
    } else {
        key.span
    }
}

fn unknown(cx: &mut Cx<'_>, word: &str, span: Span) {
    let meant = suggest::comparison(word).filter(|ours| MODIFIERS.contains(ours));
    let hint = match meant.or_else(|| suggest::nearest(word, MODIFIERS)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", MODIFIERS.join(", ")),
    };
    cx.fault(span, format!("unknown modifier `{word}`"), hint);
}
