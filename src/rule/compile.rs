//! Specs to programs: what a generation runs.
//!
//! A [`Program`] is one rule made ready: conditions over interned predicates, the values its verb
//! wants of a record, and its lifecycle. Compiling notes the faults that decoding cannot see
//! (scripts, names in texts); a rule that has none always compiles.

mod correlate;
mod programs;
mod reads;
mod values;
mod verbs;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{FieldName, Level, Millis, Phase, RuleId, Timestamp};

use super::condition::{Condition, Phases};
use super::past::Question;
use super::problem::Problems;
use super::revision_of;
use super::script::Script;
use super::spec::{self, ListNames, ScriptText, Spec};
use super::template::{Form as TextForm, Scope, Text};
use super::verb::Verb;
use crate::alert::Revision;
pub use correlate::form as value_form;
pub use programs::Programs;
pub use reads::Reads;
use values::carry;
pub use values::{Carry, Form, KeyPart, MAX_KEPT_TEXT, key_text, tuple, values};

/// Lines of `levels` with shares of `having` or steps in one rule: a hit keeps one bit of each.
pub const MAX_MARKS: usize = 32;

/// A rule as people meet it: its words and their templates.
#[derive(Debug)]
pub struct Rule {
    /// As decoded.
    pub spec: Spec,
    /// Digest of its meaning.
    pub revision: Revision,
    /// Template of the title.
    pub title: Option<Box<Text>>,
    /// Template of the runbook.
    pub runbook: Option<Box<Text>>,
    /// Lists that it reads, by name.
    pub lists: BTreeSet<String>,
}

impl Rule {
    /// Its id.
    pub fn id(&self) -> &RuleId {
        &self.spec.id
    }
}

/// What a record is to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A hit, if no exception holds.
    Hit,
    /// It clears its group (`unless`, `until`).
    Clear,
    /// A memory learns from it; its program is the memory's number.
    Learn,
}

/// One condition that makes records matter to a program.
#[derive(Debug)]
pub struct Input {
    /// Which program.
    pub program: usize,
    /// What such a record is.
    pub role: Role,
    /// Phases it can accept.
    pub phases: Phases,
    /// Each row is one record to it: the row's own phase alone.
    pub per_row: bool,
    /// The condition alone decides: neither hours nor the past have a say. Here, so that nobody need look
    /// at the program of a record that it does not accept.
    pub plain: bool,
    /// The condition.
    pub condition: Condition,
}

/// A correlation's firings, as another one hears of them.
#[derive(Debug)]
pub struct Heard {
    /// Whose.
    pub program: usize,
    /// The bit of an entry's marks that says so; none where nobody asks.
    pub mark: u32,
    /// The fields that make the group, in what is heard.
    pub by: Vec<FieldName>,
    /// The fields that make the value, the same way.
    pub fields: Vec<FieldName>,
}

/// The names under which some of a correlation's rules find its group and its values.
#[derive(Debug)]
pub struct Naming {
    /// The bits of those rules; all of them where there is no other naming.
    pub marks: u32,
    /// The group's fields.
    pub by: Vec<KeyPart>,
    /// The values.
    pub carries: Vec<Carry>,
}

/// One exception, ready.
#[derive(Debug)]
pub struct ExceptionProgram {
    /// Which records.
    pub condition: Condition,
    /// Until this instant.
    pub until: Option<Timestamp>,
}

/// One rule, ready to run.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing that the rule's file says")]
pub struct Program {
    /// The rule's words.
    pub rule: Arc<Rule>,
    /// The records that any of its inputs can accept.
    pub reads: Reads,
    /// What has to be complete before it judges: what it reads, and what its memories do.
    pub waits: Reads,
    /// What it asks of the past.
    pub questions: Vec<Question>,
    /// Programs whose open alerts hold its own back.
    pub quiet_while: Vec<usize>,
    /// Other programs ask whether its alerts are open.
    pub named: bool,
    /// The correlations that it hears of.
    pub hears: Vec<Heard>,
    /// The correlations that hear of it.
    pub heard_by: Vec<usize>,
    /// What they want of its firings; in its entries these are the last values.
    pub tells: Vec<(FieldName, Form)>,
    /// Names of group and values, where they are not the same for all of its rules.
    pub namings: Vec<Naming>,
    /// The group's fields.
    pub by: Vec<KeyPart>,
    /// Records that lack one make a group of their own.
    pub missing_own: bool,
    /// Exceptions: those of the file in its order, then what its verb leaves out.
    pub exceptions: Vec<ExceptionProgram>,
    /// `levels` lines first, then the conditions of shares or steps: bit by number in an entry's marks.
    pub marks: Vec<Condition>,
    /// Levels of the first marks.
    pub levels: Vec<Level>,
    /// Values the verb wants.
    pub carries: Vec<Carry>,
    /// Number of these among all that verbs want: programs that want the same have one number.
    pub carries_number: u32,
    /// The verb.
    pub verb: Verb,
    /// How long a firing holds the group back; zero: not at all.
    pub cooldown: Millis,
    /// True where the file gives the cooldown: then a recovery does not end it.
    pub cooldown_given: bool,
    /// True when firing empties the window.
    pub restart: bool,
    /// How late a record may come.
    pub late_within: Millis,
    /// Needs no state: runs as records arrive.
    pub on_arrival: bool,
    /// The program whose windows it looks at; most look at their own.
    pub lead: usize,
    /// The others that look at its windows: they keep the same hits in the same groups, and ask something
    /// else of them.
    pub alike: Vec<usize>,
}

impl Program {
    /// The level of a hit with `marks`, and which line gave it.
    pub fn level(&self, marks: u32) -> (Level, Option<usize>) {
        let line = (0..self.levels.len()).find(|line| marks >> line & 1 == 1);
        (line.map_or(self.rule.spec.level, |line| self.levels[line]), line)
    }

    /// Whether it adds up the others' alerts.
    pub fn is_risk(&self) -> bool {
        matches!(self.verb, Verb::Risk(_))
    }

    /// Whether an alert of it can be about a group of `risk`. What cannot holds no judgement of it back:
    /// a rule about everybody that waits for ends would make it hours late.
    fn may_add_to(&self, risk: &Self) -> bool {
        let names = |part: &KeyPart| self.by.iter().any(|own| own.field == part.field);
        // A rule without a verb says of its record what its group does not.
        let says = risk.missing_own || matches!(self.verb, Verb::Each(_)) || risk.by.iter().all(names);
        says && !self.is_risk() && self.rule.spec.mode != spec::Mode::Observe
    }

    /// The programs whose alerts it hears of.
    pub fn heard(&self) -> impl Iterator<Item = usize> {
        self.quiet_while.iter().copied().chain(self.hears.iter().map(|heard| heard.program))
    }

    /// Whether nobody but the correlations that hear of it is told what it finds.
    pub fn is_silent(&self) -> bool {
        self.rule.spec.mode == spec::Mode::Heard
    }

    /// Whether it judges together with others, instant by instant.
    pub fn linked(&self) -> bool {
        let heard = self.named || !self.heard_by.is_empty() || self.is_silent();
        let hears = !self.questions.is_empty() || self.heard().next().is_some();
        !self.on_arrival && (heard || hears)
    }

    /// Whether the rule asks for `phase`.
    pub fn accepts(&self, phase: Phase) -> bool {
        self.reads.anywhere.contains(phase)
    }
}

/// Checks what decoding cannot: scripts and texts. The rule, if it may run.
pub fn rule(spec: Spec, problems: &mut Problems) -> Option<(Arc<Rule>, Option<Arc<Script>>)> {
    let script = match &spec.verb {
        Some(spec::Verb::Script(verb)) => script(&verb.when, &spec.lists, problems).map(Arc::new),
        Some(_) | None => None,
    };
    let mut lists = spec.lists.read.clone();
    lists.extend(script.iter().flat_map(|script| script.lists()).map(|(name, _)| name.clone()));
    let scope = scope(&spec, script.as_deref());
    let title =
        spec.alert.title.as_ref().and_then(|text| Text::compile(text, TextForm::Title, &scope, problems));
    let runbook =
        spec.alert.runbook.as_ref().and_then(|text| Text::compile(text, TextForm::Runbook, &scope, problems));
    super::case::check_names(&spec.tests, &scope, problems);
    check_marks(&spec, problems);
    super::doubts::note(&spec, problems);
    if problems.has_errors() {
        return None;
    }
    let revision = match revision_of(&spec) {
        Ok(revision) => revision,
        Err(fault) => {
            problems.error(spec.id_span, format!("what the rule means cannot be written down: {fault}"));
            return None;
        }
    };
    let (title, runbook) = (title.map(Box::new), runbook.map(Box::new));
    Some((Arc::new(Rule { spec, revision, title, runbook, lists }), script))
}

/// The script of a rule, of which there are these `lists`. What is wrong with it is told where it stands.
pub fn script(text: &ScriptText, lists: &ListNames, problems: &mut Problems) -> Option<Script> {
    if let Some(file) = &text.file {
        problems.enter(file, text.text.clone());
    }
    let script = Script::compile(text, problems);
    for (name, span) in script.iter().flat_map(Script::lists) {
        if !lists.known.contains(name) {
            problems.error_hint(*span, format!("there is no list `{name}`"), lists.way_out(name));
        }
    }
    problems.leave();
    script
}

/// A hit has only so many bits.
fn check_marks(spec: &Spec, problems: &mut Problems) {
    let is_share = |having: &&spec::Having| matches!(having.test, spec::HavingTest::Share { .. });
    let shares = match &spec.verb {
        Some(spec::Verb::Count(count)) => count.having.iter().filter(is_share).count(),
        Some(spec::Verb::Sequence(sequence)) => sequence.steps.len() + usize::from(sequence.absent.is_some()),
        Some(spec::Verb::Correlate(correlate)) if correlate.tells_rules_apart() => correlate.of.len(),
        Some(_) | None => 0,
    };
    let marks = spec.levels.len() + shares;
    if let Some(spec::Verb::Correlate(correlate)) = &spec.verb
        && marks > MAX_MARKS
    {
        let message =
            format!("`rules` names {} rules, and {MAX_MARKS} are the most here", correlate.of.len());
        let hint = "join some of them: correlate a rule that has `1 of them` as its condition";
        problems.error_hint(spec.id_span, message, hint);
        return;
    }
    let steps = matches!(spec.verb, Some(spec::Verb::Sequence(_)));
    let what = if steps { "the steps" } else { "the shares of `having`" };
    if marks > MAX_MARKS {
        problems.error_hint(
            spec.id_span,
            format!("`levels` and {what} are {marks} conditions together, and {MAX_MARKS} are the most"),
            "join lines of one level: a list of maps is OR",
        );
    }
}

/// Names that the rule's texts may use, besides every field.
fn scope(spec: &Spec, script: Option<&Script>) -> Scope {
    let scope = Scope::of(spec.verb.as_ref()).with(spec.declared.iter().map(String::as_str));
    match (&spec.verb, script) {
        (_, Some(script)) => scope.with(script.alert_names().iter().map(String::as_str)),
        (Some(spec::Verb::Script(verb)), None) => scope.with_script(&verb.when.text),
        (_, None) => scope,
    }
}
