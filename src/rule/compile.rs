//! Specs to programs: what a generation runs.
//!
//! A [`Program`] is one rule made ready: conditions over interned predicates, the values its verb
//! wants of a record, and its lifecycle. Compiling notes the faults that decoding cannot see
//! (scripts, names in texts); a rule that has none always compiles.

mod correlate;
mod verbs;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::fact::Outcome;
use crate::record::fold::fold;
use crate::record::scan::Endpoint;
use crate::record::{
    Column, Columns, Datum, FieldKind, FieldName, Level, Millis, Number, Phase, Record, RuleId, Timestamp,
    Value,
};

use super::condition::{Condition, Phases, Predicates, address, beyond_phases, may_hold, phases};
use super::index::Index;
use super::lists::Lists;
use super::past::{Memory, Owner, Question};
use super::problem::Problems;
use super::revision_of;
use super::script::Script;
use super::spec::{self, Expr, Grouping, ListNames, SameNet, ScriptText, Spec};
use super::template::{Form as TextForm, Scope, Text};
use super::verb::{Judge as _, Verb};
use crate::alert::Revision;
pub use correlate::form as value_form;
use verbs::{cooldown, grouping, verb};

/// Bytes that state keeps of a value; a longer one is cut and told apart by a digest of the whole.
pub const MAX_KEPT_TEXT: usize = 4_096;

/// Lines of `levels` with shares of `having` or steps in one rule: a hit keeps one bit of each.
pub const MAX_MARKS: usize = 32;

/// Longer texts are not worth keeping for the next record that has them.
const MAX_INTERNED_TEXT: usize = 64;

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

/// The records that a rule can hear of: phases, by where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// From where anything may come.
    pub anywhere: Phases,
    /// From the vendor's endpoints, in the order of [`Endpoint::ALL`].
    pub endpoints: [Phases; Endpoint::ALL.len()],
}

impl Reads {
    /// Nothing.
    pub const NONE: Self = Self { anywhere: Phases::NONE, endpoints: [Phases::NONE; Endpoint::ALL.len()] };

    /// What `expr` can accept, of which only kind, service and phase are known. When in doubt, it can.
    pub fn of(expr: &Expr) -> Self {
        let anywhere = phases(expr);
        let from = |endpoint: Endpoint| {
            anywhere.filter(|phase| {
                may_hold(expr, &|field| {
                    if field.is("kind") {
                        Some(Value::Text(endpoint.kind()))
                    } else if field.is("service") {
                        Some(endpoint.service().map_or(Value::Absent, Value::Text))
                    } else if field.is("phase") {
                        Some(Value::Text(phase.as_str()))
                    } else {
                        None
                    }
                })
            })
        };
        Self { anywhere, endpoints: Endpoint::ALL.map(from) }
    }

    /// The same of rows that are one record each.
    #[must_use]
    fn per_row(self) -> Self {
        let start = |phases: Phases| phases.and(Phases::only(Phase::Start));
        Self { anywhere: start(self.anywhere), endpoints: self.endpoints.map(start) }
    }

    /// Both together.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut both = Self { anywhere: self.anywhere.or(other.anywhere), ..self };
        for (one, other) in both.endpoints.iter_mut().zip(other.endpoints) {
            *one = one.or(other);
        }
        both
    }

    /// The phases that can matter of records from `endpoint`; none: from where anything may come.
    pub fn from(&self, endpoint: Option<Endpoint>) -> Phases {
        endpoint.map_or(self.anywhere, |endpoint| self.endpoints[endpoint as usize])
    }
}

/// A part of the group key.
#[derive(Debug, Clone)]
pub struct KeyPart {
    /// The field.
    pub field: FieldName,
    /// Its column.
    pub column: Column,
}

/// How a value is made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Folded; an address in its canonical spelling. No value if absent, null or empty.
    Key,
    /// As `Key`, but an address is its network.
    Net(SameNet),
    /// By the field's kind.
    Typed,
    /// A number, or no value.
    Number,
    /// A number of so many degrees at most, either way, or no value.
    Degrees(u8),
    /// Of the column `outcome`: when the record's row ended, in milliseconds; none while it is open.
    Ended,
}

/// A value the verb wants of each hit.
#[derive(Debug, Clone, PartialEq)]
pub struct Carry {
    /// One column, or several joined as a tuple.
    pub columns: Vec<(Column, FieldKind)>,
    /// How it is kept.
    pub form: Form,
    /// Without it the record is no hit.
    pub required: bool,
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

/// All rules of a generation, compiled together.
#[derive(Debug, Default)]
pub struct Programs {
    /// In the order of their rule ids.
    pub list: Vec<Program>,
    /// Numbers of programs by the ids of their rules.
    pub numbers: HashMap<RuleId, usize, foldhash::fast::RandomState>,
    /// Programs that judge for themselves when their watermark passes; most of many judge on arrival.
    pub alone: Vec<usize>,
    /// Programs that judge together, instant by instant, because they share memories or hear of each
    /// other: those that are heard of first.
    pub linked: Vec<usize>,
    /// Programs that add up the others' alerts; they judge after all others.
    pub risks: Vec<usize>,
    /// The fields that they group by.
    pub risk_fields: Vec<FieldName>,
    /// What is remembered for conditions that ask of the past.
    pub memories: Vec<Memory>,
    /// Every input of every program and memory; the index files them by number.
    pub inputs: Vec<Input>,
    /// What verbs want of records, each once.
    carries: Vec<Vec<Carry>>,
    /// Interned predicates.
    pub predicates: Predicates,
    /// Which inputs are worth a look.
    pub index: Index,
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

impl Programs {
    /// Compiles `rules`, wanting their fields in `columns`. Sorted by id, so that the order of
    /// files decides nothing.
    pub fn compile(rules: Vec<(Arc<Rule>, Option<Arc<Script>>)>, columns: &mut Columns) -> Self {
        Self::compile_among(rules, columns, Lists::default())
    }

    /// The same with the lists that the rules read.
    pub fn compile_among(
        mut rules: Vec<(Arc<Rule>, Option<Arc<Script>>)>,
        columns: &mut Columns,
        lists: Lists,
    ) -> Self {
        rules.sort_by(|a, b| a.0.id().cmp(b.0.id()));
        let mut programs = Self { predicates: Predicates::among(lists), ..Self::default() };
        programs.list.reserve_exact(rules.len());
        programs.inputs.reserve_exact(rules.len());
        for (rule, _) in &rules {
            if let Some(spec::Verb::Risk(risk)) = &rule.spec.verb {
                programs.risk_fields.extend(risk.group.by.iter().cloned());
            }
        }
        programs.risk_fields.sort();
        programs.risk_fields.dedup();
        let mut tells = correlate::tells(&rules.iter().map(|(rule, _)| &**rule));
        for (rule, script) in rules {
            let tells = tells.remove(rule.id()).unwrap_or_default();
            programs.add(rule, script, tells, columns);
        }
        let ids = programs.list.iter().map(|program| program.rule.id().clone());
        programs.numbers = ids.zip(0..).collect();
        programs.link();
        for number in 0..programs.memories.len() {
            let learns = programs.memories[number].learns.clone();
            programs.input(number, (Role::Learn, false), &learns, columns);
        }
        programs.share_windows();
        programs.file(columns);
        for input in programs.inputs.iter_mut().filter(|input| input.role != Role::Learn) {
            let program = &programs.list[input.program];
            let timed = input.role == Role::Hit && program.rule.spec.hours.is_some();
            input.plain = !timed && program.questions.is_empty();
        }
        programs
    }

    fn add(
        &mut self,
        rule: Arc<Rule>,
        script: Option<Arc<Script>>,
        tells: Vec<(FieldName, Form)>,
        columns: &mut Columns,
    ) {
        let number = self.list.len();
        let spec = &rule.spec;
        let per_row = spec.per_row;
        let mut reads = self.input(number, (Role::Hit, per_row), &spec.matches, columns);
        if let Some(clears) = verbs::clears(spec) {
            reads = reads.or(self.input(number, (Role::Clear, per_row), clears, columns));
        }
        let lists = self.predicates.lists().clone();
        let mut ready = |expr: &Expr, columns: &mut Columns| self.predicates.ready(expr, columns);
        let exceptions = spec.except.iter().map(|except| ExceptionProgram {
            condition: ready(&except.matches, columns),
            until: except.until,
        });
        let mut exceptions: Vec<ExceptionProgram> = exceptions.collect();
        exceptions.extend(
            verbs::nowhere(spec)
                .map(|expr| ExceptionProgram { condition: ready(&expr, columns), until: None }),
        );
        let mut marks: Vec<Condition> = spec.levels.iter().map(|line| ready(&line.when, columns)).collect();
        let (verb, carries) = verb(spec, (script, lists), columns, &mut |expr, columns| {
            marks.push(ready(expr, columns));
            u8::try_from(marks.len() - 1).unwrap_or(u8::MAX)
        });
        let mut carries = carries;
        if matches!(verb, Verb::Each(_)) {
            let key = |field: &FieldName| carry(std::slice::from_ref(field), Form::Key, false, columns);
            carries = self.risk_fields.iter().map(key).collect();
        }
        let group = grouping(spec);
        let mut by = Vec::new();
        let mut namings = Vec::new();
        if let (Some(spec::Verb::Correlate(spec)), Verb::Correlate(verb)) = (&spec.verb, &verb) {
            namings = correlate::namings(spec, verb, &tells, columns);
            // Alerts name the group's fields as the correlation does.
            let named =
                |(field, part): (&FieldName, &KeyPart)| KeyPart { field: field.clone(), ..part.clone() };
            by = namings
                .first()
                .map_or(Vec::new(), |one: &Naming| group.by.iter().zip(&one.by).map(named).collect());
            let told = tells.iter().map(|(field, form)| correlate::told(field, *form, columns));
            carries = if namings.is_empty() { carries.into_iter().chain(told).collect() } else { Vec::new() };
        }
        if namings.is_empty() {
            by = key_parts(&group, columns);
        }
        let known = self.carries.iter().position(|known| *known == carries);
        let carries_number = u32::try_from(known.unwrap_or(self.carries.len())).unwrap_or(u32::MAX);
        if known.is_none() {
            self.carries.push(carries.clone());
        }
        let (cooldown, restart) = (cooldown(spec, &verb), verb.restarts());
        let grave = spec.levels.iter().map(|line| line.level).chain([spec.level]).max() >= Some(Level::High);
        let owner = (grave && cooldown > Millis::ZERO).then(|| (spec.id.clone(), rule.revision));
        let questions = self.questions(reads, owner.as_ref(), columns);
        let waits = questions.iter().map(|asked| self.memories[asked.memory].reads).fold(reads, Reads::or);
        let stateless = cooldown == Millis::ZERO && questions.is_empty() && spec.quiet_while.is_empty();
        let on_arrival = matches!(verb, Verb::Each(_)) && stateless;
        self.list.push(Program {
            reads,
            waits,
            questions,
            quiet_while: Vec::new(),
            named: false,
            hears: Vec::new(),
            heard_by: Vec::new(),
            tells,
            namings,
            by,
            missing_own: group.missing_own,
            exceptions,
            marks,
            levels: spec.levels.iter().map(|line| line.level).collect(),
            carries,
            carries_number,
            verb,
            cooldown,
            cooldown_given: spec.cooldown.is_some(),
            restart,
            late_within: spec.late_within,
            on_arrival,
            lead: number,
            alike: Vec::new(),
            rule,
        });
    }

    /// Finds out who hears of whom, and puts those that are heard of first.
    fn link(&mut self) {
        for number in 0..self.list.len() {
            let rule = self.list[number].rule.clone();
            let place = |id: &RuleId| self.numbers.get(id).copied();
            let named: Vec<usize> = rule.spec.quiet_while.iter().filter_map(|(id, _)| place(id)).collect();
            let hears = match (&rule.spec.verb, &self.list[number].verb) {
                (Some(spec::Verb::Correlate(spec)), Verb::Correlate(verb)) => {
                    correlate::hears(spec, verb, &place)
                }
                (Some(_) | None, _) => Vec::new(),
            };
            for named in &named {
                self.list[*named].named = true;
            }
            self.list[number].quiet_while = named;
            for heard in &hears {
                self.list[heard.program].heard_by.push(number);
            }
            self.list[number].hears = hears;
        }
        let mut visited = vec![false; self.list.len()];
        let mut order = Vec::new();
        for number in 0..self.list.len() {
            self.visit(number, &mut visited, &mut order);
        }
        for number in &order {
            // Whoever is heard of has what it waits for by now.
            let waits = self.list[*number].heard().map(|heard| self.list[heard].waits);
            let waits = waits.fold(self.list[*number].waits, Reads::or);
            self.list[*number].waits = waits;
        }
        for number in 0..self.list.len() {
            if self.list[number].is_risk() {
                let heard = self.list.iter().filter(|program| program.may_add_to(&self.list[number]));
                let waits = heard.map(|program| program.waits).fold(self.list[number].waits, Reads::or);
                self.list[number].waits = waits;
            }
        }
        let (risks, others): (Vec<usize>, Vec<usize>) =
            order.into_iter().partition(|number| self.list[*number].is_risk());
        self.risks = risks;
        let alone = |program: &Program| !program.on_arrival && !program.linked() && !program.is_risk();
        self.alone = (0..self.list.len()).filter(|number| alone(&self.list[*number])).collect();
        self.linked = others.into_iter().filter(|number| self.list[*number].linked()).collect();
    }

    /// Depth first. A circle, which loading refuses, is cut where it closes.
    fn visit(&self, number: usize, visited: &mut [bool], order: &mut Vec<usize>) {
        if std::mem::replace(&mut visited[number], true) {
            return;
        }
        for heard in self.list[number].heard() {
            self.visit(heard, visited, order);
        }
        order.push(number);
    }

    /// What the program just compiled asks of the past, and the memories that answer.
    fn questions(&mut self, reads: Reads, owner: Option<&Owner>, columns: &mut Columns) -> Vec<Question> {
        let mut questions = Vec::new();
        for (id, past, field, by) in self.predicates.take_asked() {
            let known = self.memories.iter().position(|memory| memory.is_of(&field, &by, reads, owner));
            let memory = known.unwrap_or(self.memories.len());
            if known.is_none() {
                self.memories.push(Memory::new(field, by, reads, owner.cloned(), columns));
            }
            questions.push(Question { id, past, memory });
        }
        questions
    }

    /// Finds the programs that keep the same hits in the same groups: one keeps them for all.
    fn share_windows(&mut self) {
        let mut own: Vec<Vec<usize>> = vec![Vec::new(); self.list.len()];
        for (number, input) in self.inputs.iter().enumerate().filter(|(_, input)| input.role != Role::Learn) {
            own[input.program].push(number);
        }
        let mut leads: HashMap<String, usize> = HashMap::new();
        for number in self.alone.clone() {
            let [input] = own[number].as_slice() else { continue };
            let Some(window) = self.window(number, &self.inputs[*input]) else { continue };
            let lead = *leads.entry(window).or_insert(number);
            if lead != number {
                self.list[number].lead = lead;
                self.list[lead].alike.push(number);
            }
        }
    }

    /// All that decides which hits a program keeps in which groups, spelt out; none if what it tells
    /// changes that, or somebody waits for it.
    fn window(&self, number: usize, input: &Input) -> Option<String> {
        let program = &self.list[number];
        let lasts = program.cooldown > Millis::ZERO || program.restart || program.verb.recovers();
        if lasts || !program.questions.is_empty() || !program.namings.is_empty() {
            return None;
        }
        let shape = program.verb.window()?;
        let Program { by, missing_own, exceptions, marks, carries_number, late_within, waits, .. } = program;
        let Input { condition, phases, per_row, .. } = input;
        let (hours, by) = (&program.rule.spec.hours, by.iter().map(|part| part.column).collect::<Vec<_>>());
        Some(format!(
            "{shape} {by:?} {missing_own} {carries_number} {late_within:?} {waits:?} {condition:?} {phases:?} \
             {per_row} {hours:?} {exceptions:?} {marks:?}"
        ))
    }

    /// Files every input, but for those of programs that look at another's windows.
    fn file(&mut self, columns: &mut Columns) {
        for (number, input) in (0..).zip(&self.inputs) {
            let expr = match input.role {
                Role::Learn => Some(&self.memories[input.program].learns),
                Role::Hit | Role::Clear => {
                    let program = &self.list[input.program];
                    let spec = &program.rule.spec;
                    let expr =
                        if input.role == Role::Hit { Some(&spec.matches) } else { verbs::clears(spec) };
                    expr.filter(|_| program.lead == input.program)
                }
            };
            if let Some(expr) = expr {
                self.index.file(number, expr, columns);
            }
        }
        self.predicates.done();
    }

    fn input(
        &mut self,
        program: usize,
        (role, per_row): (Role, bool),
        expr: &Expr,
        columns: &mut Columns,
    ) -> Reads {
        let reads = Reads::of(expr);
        let reads = if per_row { reads.per_row() } else { reads };
        let condition = self.predicates.ready(&beyond_phases(expr), columns);
        let plain = role == Role::Learn;
        self.inputs.push(Input { program, role, phases: reads.anywhere, per_row, plain, condition });
        reads
    }
}

fn key_parts(group: &Grouping, columns: &mut Columns) -> Vec<KeyPart> {
    group.by.iter().map(|field| KeyPart { field: field.clone(), column: columns.want(field) }).collect()
}

fn carry(fields: &[FieldName], form: Form, required: bool, columns: &mut Columns) -> Carry {
    let columns = fields.iter().map(|field| (columns.want(field), field.kind())).collect();
    Carry { columns, form, required }
}

impl Carry {
    /// The value of `record`; [`Datum::Absent`] if it has none.
    pub fn of(&self, record: Record<'_>) -> Datum {
        if let [(column, kind)] = *self.columns {
            if self.form == Form::Ended {
                return ended(record, record.get(column));
            }
            return self.single(record.get(column), kind);
        }
        let parts = self.columns.iter().map(|(column, kind)| self.single(record.get(*column), *kind));
        tuple(&parts.collect::<Vec<_>>())
    }

    fn single(&self, value: Value<'_>, kind: FieldKind) -> Datum {
        match self.form {
            // Made of the row.
            Form::Ended => Datum::Absent,
            Form::Typed => Datum::of(value, kind),
            Form::Number => value.nearest().map_or(Datum::Absent, Datum::Number),
            Form::Degrees(most) => {
                let most = Number::whole(most.into());
                let there = |number: &Number| *number <= most && Number::default() - *number <= most;
                value.number().filter(there).map_or(Datum::Absent, Datum::Number)
            }
            Form::Key => key_text(value, kind).map_or(Datum::Absent, |text| Datum::Text(text.into())),
            Form::Net(net) => {
                let Some(text) = key_text(value, kind) else { return Datum::Absent };
                let network = address(&text).and_then(|address| network(address, net));
                Datum::Text(network.map_or_else(|| text.into(), Into::into))
            }
        }
    }
}

/// When the row of `record` ended. What failed never was open.
fn ended(record: Record<'_>, outcome: Value<'_>) -> Datum {
    let row = record.row();
    let failed = outcome.text().is_some_and(|outcome| fold(outcome) == Outcome::Failure.as_str());
    let over = failed || (row.only.is_none() && !row.open);
    let end = row.end.or(over.then_some(row.start));
    end.map_or(Datum::Absent, |end| Datum::Number(Number::whole(end.0)))
}

/// What `carries` want of `record`; none if it lacks one that is required.
pub fn values(carries: &[Carry], record: Record<'_>) -> Option<Arc<[Datum]>> {
    let value =
        |carry: &Carry| Some(carry.of(record)).filter(|value| !carry.required || *value != Datum::Absent);
    carries.iter().map(value).collect()
}

/// A tuple of texts; what one text alone is. None if one of them is none.
pub fn tuple(parts: &[Datum]) -> Datum {
    let mut joined = String::new();
    for (number, part) in parts.iter().enumerate() {
        match part {
            Datum::Text(text) if parts.len() == 1 => return Datum::Text(text.clone()),
            Datum::Text(text) => {
                if number > 0 {
                    joined.push('\u{1f}');
                }
                push_part(&mut joined, text);
            }
            Datum::Absent | Datum::Number(_) | Datum::Bool(_) => return Datum::Absent,
        }
    }
    Datum::Text(joined.into())
}

/// Adds one part of a tuple. What separates parts is escaped: no two tuples are one text.
fn push_part(joined: &mut String, part: &str) {
    for character in part.chars() {
        match character {
            '\u{1e}' => joined.push_str("\u{1e}e"),
            '\u{1f}' => joined.push_str("\u{1e}f"),
            _ => joined.push(character),
        }
    }
}

/// The network of `address`, as text; the address itself when every bit counts.
fn network(address: std::net::IpAddr, net: SameNet) -> Option<String> {
    let (bits, all) = match address {
        std::net::IpAddr::V4(_) => (net.v4, 32),
        std::net::IpAddr::V6(_) => (net.v6, 128),
    };
    let net = ipnet::IpNet::new(address, bits).ok()?.trunc();
    Some(if bits == all { address.to_string() } else { net.to_string() })
}

/// A value as groups and distinct values compare it: folded, an address in one spelling. None if
/// absent, null, empty or the unknown address.
pub fn key_text(value: Value<'_>, kind: FieldKind) -> Option<Cow<'_, str>> {
    let text = value.text()?;
    if text.is_empty() {
        return None;
    }
    match kind {
        FieldKind::Address => match address(text) {
            Some(address) if address.is_unspecified() => None,
            Some(address) => Some(address.to_string().into()),
            None => Some(kept(fold(text))),
        },
        FieldKind::Number | FieldKind::Duration => {
            Some(value.number().map_or_else(|| kept(text.into()), |number| number.to_string().into()))
        }
        FieldKind::Text | FieldKind::Bool | FieldKind::Time | FieldKind::Any => Some(kept(fold(text))),
    }
}

/// What is kept of a value that is compared: texts that differ stay different. A text that was cut
/// is longer than any that was not.
fn kept(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_KEPT_TEXT {
        return text;
    }
    let digest = blake3::hash(text.as_bytes()).to_hex();
    format!("{}#{}", cut(&text), &digest[..32]).into()
}

/// `text` cut to what state keeps.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_KEPT_TEXT)]
}

impl Program {
    /// The key of the record's group: none if it lacks a field and the rule does not say `own`.
    pub fn key(&self, record: Record<'_>) -> Option<Box<[u8]>> {
        let mut key = Vec::with_capacity(32);
        self.write_key(record, &mut key).then(|| key.into_boxed_slice())
    }

    /// The keys of the groups that the record may be of, by whichever names.
    pub fn keys(&self, record: Record<'_>) -> Vec<Box<[u8]>> {
        let by = |by: &[KeyPart]| {
            let mut key = Vec::with_capacity(32);
            self.write_key_of(by, record, &mut key).then(|| key.into_boxed_slice())
        };
        if self.namings.is_empty() {
            return by(&self.by).into_iter().collect();
        }
        self.namings.iter().filter_map(|naming| by(&naming.by)).collect()
    }

    /// Writes the key of the record's group; false if it has none.
    pub fn write_key(&self, record: Record<'_>, key: &mut Vec<u8>) -> bool {
        self.write_key_of(&self.by, record, key)
    }

    /// The same of a group that is made of these fields.
    pub fn write_key_of(&self, by: &[KeyPart], record: Record<'_>, key: &mut Vec<u8>) -> bool {
        for part in by {
            let text = key_text(record.get(part.column), part.field.kind());
            if text.is_none() && !self.missing_own {
                return false;
            }
            Self::push_key_part(key, text.as_deref());
        }
        true
    }

    /// The values that the verb wants of `record`; none if it lacks one that is required.
    pub fn values(&self, record: Record<'_>) -> Option<Arc<[Datum]>> {
        values(&self.carries, record)
    }

    /// Where the verb wants one value and that is costly to make comparable: the text it is made of.
    pub fn sole_text<'a>(&self, record: Record<'a>) -> Option<&'a str> {
        match &*self.carries {
            [Carry { columns, form: Form::Key | Form::Net(_), .. }] if columns.len() == 1 => {
                record.get(columns[0].0).text().filter(|text| text.len() <= MAX_INTERNED_TEXT)
            }
            _ => None,
        }
    }

    /// Adds one part to a key: a value, or that there is none.
    pub fn push_key_part(key: &mut Vec<u8>, text: Option<&str>) {
        match text {
            Some(text) => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                key.push(1);
                key.extend_from_slice(&length.to_le_bytes());
                key.extend_from_slice(text.as_bytes());
            }
            None => key.push(0),
        }
    }

    /// The fields and values that `key` stands for; none for a value that was missing.
    pub fn group(&self, key: &[u8]) -> Vec<(FieldName, Option<String>)> {
        let (mut rest, mut group) = (key, Vec::new());
        for part in &self.by {
            let value = match rest.split_first() {
                Some((1, tail)) if tail.len() >= 4 => {
                    let (length, tail) = tail.split_at(4);
                    let length = length.try_into().map_or(0, u32::from_le_bytes) as usize;
                    let (text, tail) = tail.split_at(length.min(tail.len()));
                    rest = tail;
                    Some(String::from_utf8_lossy(text).into_owned())
                }
                Some((_, tail)) => {
                    rest = tail;
                    None
                }
                None => None,
            };
            group.push((part.field.clone(), value));
        }
        group
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::decode::{Options, decode};

    /// From which endpoints the rule that `body` makes can hear, by letter: Desktops, Apps, Launches,
    /// Sessions, User events.
    fn hears(body: &str, phase: Phase) -> String {
        let text = format!("rule: r\ntitle: r\nlevel: low\n{body}\n");
        let (spec, problems) = decode("r.yaml", &text, &Options::default());
        assert!(!problems.has_errors(), "{problems:?}");
        let (spec, mut problems) = (spec.unwrap(), problems);
        let compiled = rule(spec, &mut problems).unwrap();
        let mut columns = Columns::default();
        let programs = Programs::compile(vec![compiled], &mut columns);
        let reads = programs.list[0].reads;
        let letters = ["D", "A", "L", "S", "U"];
        let heard = Endpoint::ALL.into_iter().zip(letters);
        heard
            .filter(|(endpoint, _)| reads.from(Some(*endpoint)).contains(phase))
            .map(|(_, letter)| letter)
            .collect()
    }

    #[test]
    fn a_rule_hears_from_the_endpoints_whose_records_it_can_accept() {
        for (matches, heard) in [
            ("{outcome: failure}", "DA"),
            ("{service: desktop}", "D"),
            ("{service: [desktop, app]}", "DA"),
            ("{service: DESKTOP}", "D"),
            ("{kind: app_launch}", "L"),
            ("{kind: [login, app_launch], service: app}", "AL"),
            ("{kind|startswith: app}", "L"),
            ("{kind|re: ^(s|u)}", "SU"),
            ("{kind|exists: true}", "DALSU"),
            ("{kind|exists: true, service|exists: false}", "U"),
            ("{kind: user_event, service: null}", "U"),
            ("{kind: nothing}", ""),
            ("{kind|fieldref: app_name}", "DALSU"),
            ("[{service: desktop}, {kind: session, user_name: x}]", "DS"),
            ("{a: {kind: session}, b: {user_name: x}, condition: not a and b}", "DALU"),
            ("{a: {kind: session, user_name: x}, condition: not a}", "DALSU"),
            ("{a: {kind: session}, b: {service: app}, condition: b and not a}", "AL"),
        ] {
            assert_eq!(hears(&format!("match: {matches}"), Phase::Start), heard, "{matches}");
        }
    }

    #[test]
    fn a_rule_hears_of_each_phase_by_itself() {
        let matches = "match: [{service: desktop, phase: end}, {kind: app_launch, phase: start}]";
        assert_eq!(
            (hears(matches, Phase::Start), hears(matches, Phase::End)),
            ("L".to_owned(), "D".to_owned())
        );
        assert_eq!(hears("match: {phase: amended}", Phase::Amended), "DA");
    }

    #[test]
    fn what_clears_a_group_is_heard_of_too() {
        let body =
            "match: {service: app}\ncount: {at_least: 2, within: 1m, by: [user], unless: {kind: session}}";
        assert_eq!(hears(body, Phase::Start), "AS");
    }
}
