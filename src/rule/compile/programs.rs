//! All rules of a generation: made ready together, numbered, and told who hears of whom.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::condition::{Condition, Predicates, beyond_phases};
use super::super::index::Index;
use super::super::lists::Lists;
use super::super::past::{Memory, Owner, Question};
use super::super::script::Script;
use super::super::spec::{self, Expr};
use super::super::verb::{Judge as _, Verb};
use super::values::key_parts;
use super::verbs::{self, cooldown, grouping, verb};
use super::{
    Carry, ExceptionProgram, Form, Input, KeyPart, Naming, Program, Reads, Role, Rule, carry, correlate,
};
use crate::record::{Columns, FieldName, Level, Millis, RuleId};

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
            let named = |(field, part): (&FieldName, &KeyPart)| KeyPart {
                field: field.clone(),
                kind: field.kind(),
                ..part.clone()
            };
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
