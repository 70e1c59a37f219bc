//! Sigma documents, unchanged: detections, correlations and filters of the specification 2.1, read
//! beside native rules into the same matcher and windows.
//!
//! ```text
//! text -> yaml (a tree a document) -> Document -> Set (references, filters, logsources) -> Spec
//! ```
//!
//! `document` reads one, `detection` its selections, `asked` a key with its modifiers, `value` texts with
//! wildcards, `transform` encodings; `set` puts documents together. Everything that can be worked out
//! beforehand is: encodings and dashes are plain texts, most wildcards are `contains` and its kin, and a
//! predicate is plain data that the matcher shares between rules.
//!
//! What engines disagree on, and what holds here:
//!
//! - **A field name is the key as the line spells it**, case and all; else the path that its dots make;
//!   else what the name means in the vocabulary. So documents about the vendor's rows may use our names.
//! - **`''`, null and absent are three.** `field: ''` is the empty text alone. `exists` asks for the key:
//!   null is there, absent is not. `field: null` is no value, and so both null and absent; with `exists:
//!   true` beside it, null alone.
//! - **Number against text compares both ways.** A number in the document is compared as a number with
//!   numbers and with texts that spell one; a text in the document is compared as text with texts and with
//!   numbers and booleans as the line spells them.
//! - **Lists in records match by any element,** and a path leads through lists by any element. Maps match
//!   nothing but `exists`.
//! - **A rule of negations only fires** for whatever does not meet them. `neq` is no negation: the field is
//!   there, and no value equals it.
//! - **Text compares without case** unless `cased`; regular expressions with, unless `i`.
//! - **A keyword** is in any value of the line, however deep, numbers as spelt; keys are no values.
//! - **`them` leaves out names that begin with `_`.**
//! - **A plain `yes` or `0x1F` is that text:** only `true`, `false`, `null` and decimal numbers are more.
//! - **A row is one record** to a document: native defaults (`kind: login`, `phase: start`) do not apply, and
//!   a row's end is no second record unless the document asks for `phase`.
//! - **Parts of an instant** (`hour` and its kin) are in UTC.
//!
//! `convert` goes the other way: native rules in Sigma's words.
//!
//! What cannot be read is a fault with its place and never a rule that is quietly gone; the others load.
//! Nothing here opens a file.

mod asked;
pub mod convert;
mod correlation;
mod detection;
mod document;
mod set;
mod transform;
mod value;

use super::problem::Span;
use super::spec::Expr;
use super::yaml::{Entry, Node};
use crate::record::{Level, RuleId};

pub use document::{Read, read};
pub use set::{Loaded, LogSourceLine, LogSourceMap, Member, Set, load};

/// One Sigma document.
#[derive(Debug, Clone)]
pub struct Document {
    /// What every document says of itself.
    pub head: Head,
    /// What it looks for.
    pub body: Body,
}

/// What every document says of itself.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Where faults about the document as a whole point.
    pub at: Span,
    /// One line for people.
    pub title: String,
    /// Its UUID.
    pub id: Option<Word>,
    /// Its name, for references.
    pub name: Option<Word>,
    /// How grave its alerts are.
    pub level: Option<Level>,
    /// stable, test, experimental, deprecated, unsupported.
    pub status: Option<String>,
    /// Longer text.
    pub description: Option<String>,
    /// Links.
    pub references: Vec<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When.
    pub date: Option<String>,
    /// Labels, `attack.t1110` among them.
    pub tags: Vec<String>,
    /// Known harmless causes.
    pub falsepositives: Vec<String>,
    /// Fields that its alerts show.
    pub fields: Vec<String>,
    /// Whose records it is about.
    pub logsource: LogSource,
}

/// A text and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// Whose records a document is about; none of a part: any.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSource {
    /// What kind of event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Which product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Which service of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl LogSource {
    /// Whether `other` is of this one: what this one names is the same there, without case.
    pub fn covers(&self, other: &Self) -> bool {
        let same = |ours: &Option<String>, theirs: &Option<String>| {
            ours.as_ref()
                .is_none_or(|ours| theirs.as_ref().is_some_and(|theirs| ours.eq_ignore_ascii_case(theirs)))
        };
        same(&self.category, &other.category)
            && same(&self.product, &other.product)
            && same(&self.service, &other.service)
    }
}

/// What a document looks for.
#[derive(Debug, Clone)]
pub enum Body {
    /// Records that meet a condition; none once its rule has it.
    Detection(Option<Expr>),
    /// Records of other documents, together.
    Correlation(Section),
    /// What is left out of other documents.
    Filter(Filter),
}

/// A `correlation:` as it stands in the file; what it means is `correlation`'s to say.
#[derive(Debug, Clone)]
pub struct Section {
    /// Where the key stands.
    pub at: Span,
    /// What stands below it.
    pub node: Node,
    /// The documents that it names, by id or name.
    pub rules: Vec<Word>,
    /// Those make alerts of their own too.
    pub generate: bool,
    /// What the document says to us alone.
    pub larum: Option<Entry>,
}

/// A `filter:`.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose: documents by id or name; none: all of its logsource.
    pub rules: Option<Vec<Word>>,
    /// What must hold besides.
    pub expr: Expr,
}

impl Head {
    /// The id of the rule that the document makes: its name, else its id, else its title, with what no rule
    /// id may hold made a dash.
    pub fn rule_id(&self) -> Option<RuleId> {
        let texts =
            [self.name.as_ref(), self.id.as_ref()].into_iter().flatten().map(|word| word.text.as_str());
        texts.chain([self.title.as_str()]).find_map(RuleId::nearest)
    }

    /// Whether `reference` means this document.
    pub fn is_called(&self, reference: &str) -> bool {
        let is = |word: &Option<Word>, same: fn(&str, &str) -> bool| {
            word.as_ref().is_some_and(|word| same(&word.text, reference))
        };
        is(&self.name, |ours, theirs| ours == theirs) || is(&self.id, str::eq_ignore_ascii_case)
    }
}
