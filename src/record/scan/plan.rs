//! Which key of a row fills which slot, worked out before the first line.

use std::collections::HashMap;

use super::foreign;
use super::lists;
use super::mapping::Mapping;
use super::shape;
use crate::record::field::{self, Columns, FieldName, RAW};

/// What one key means.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyPlan {
    /// The slots that its value fills.
    pub(super) targets: Vec<u16>,
    /// Paths that lead into it, if it holds an object.
    pub(super) node: Option<u16>,
    /// What its presence tells of the row's shape.
    pub(super) marks: u8,
}

/// One object on the way of a path.
#[derive(Debug, Default)]
struct Node {
    children: Vec<(String, KeyPlan)>,
    /// Every slot that is filled from within.
    below: Vec<u16>,
    /// Paths that go on through a list which stands where the object is expected.
    through: Vec<lists::Path>,
}

/// The fields to fill and the keys that fill them.
///
/// Fields are numbered: the wanted columns as they are, then those that the door itself needs. A
/// field's first spelling fills its own slot; each further one has a slot of its own behind those
/// of the fields, from which a field without a value is filled when the line is read.
#[derive(Debug)]
pub(super) struct Plan {
    fields: Vec<FieldName>,
    /// Fields that are as the line spells them, and what each means where the line has none.
    spelt: Vec<(usize, Option<usize>)>,
    /// The field that holds the whole line, if it is wanted.
    line: Option<usize>,
    /// The field that a further spelling belongs to, by target less the number of fields; in order
    /// of preference within a field.
    spellings: Vec<u16>,
    keys: HashMap<String, KeyPlan>,
    nodes: Vec<Node>,
}

impl Plan {
    /// For `columns` and, behind them, `needed`. `shapes` if the row's shape is to be told.
    pub(super) fn new(columns: &Columns, needed: &[&str], mapping: &Mapping, shapes: bool) -> Self {
        let mut all = columns.clone();
        for name in needed {
            all.want_known(name);
        }
        // Whoever reads a file is told of keys that no line has.
        for map in &mapping.fields {
            all.want(&map.field);
        }
        let fields = all.names().to_vec();
        let mut plan = Self {
            spelt: spelt(&fields),
            line: fields.iter().position(FieldName::is_line),
            fields,
            spellings: Vec::new(),
            keys: HashMap::new(),
            nodes: Vec::new(),
        };
        for number in 0..plan.fields.len() {
            let through_lists = plan.fields[number].is_spelt();
            let mut first = true;
            for spelling in spellings(&plan.fields[number], mapping) {
                let further = plan.fields.len() + plan.spellings.len();
                let target = if first { number } else { further } as u16;
                if !first {
                    plan.spellings.push(number as u16);
                }
                first = false;
                plan.add(&spelling, target, through_lists);
            }
        }
        for (key, mark) in shape::MARKS {
            if shapes {
                plan.keys.entry((*key).to_owned()).or_default().marks |= mark;
            }
        }
        plan
    }

    fn add(&mut self, path: &[String], target: u16, through_lists: bool) {
        let mut within = None;
        for (place, name) in path.iter().enumerate() {
            let next = self.nodes.len() as u16;
            let key = match within {
                None => self.keys.entry(name.clone()).or_default(),
                Some(node) => child_mut(&mut self.nodes[usize::from(node)].children, name),
            };
            if place + 1 == path.len() {
                key.targets.push(target);
                return;
            }
            let node = *key.node.get_or_insert(next);
            if node == next {
                self.nodes.push(Node::default());
            }
            self.nodes[usize::from(node)].below.push(target);
            if through_lists {
                let rest = path[place + 1..].to_vec();
                self.nodes[usize::from(node)].through.push(lists::Path { target, rest });
            }
            within = Some(node);
        }
    }

    /// Every field, by number.
    pub(super) fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    /// Fields that are as the line spells them, and what each means where the line has none.
    pub(super) fn spelt(&self) -> &[(usize, Option<usize>)] {
        &self.spelt
    }

    /// The field that holds the whole line, if it is wanted.
    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    /// How many slots a row needs while it is read.
    pub(super) fn targets(&self) -> usize {
        self.fields.len() + self.spellings.len()
    }

    /// The field that a further spelling belongs to.
    pub(super) fn field_of(&self, target: u16) -> usize {
        usize::from(self.spellings[usize::from(target) - self.fields.len()])
    }

    /// The number of a field that is wanted or needed.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.is(name))
    }

    /// What a key of the row means.
    pub(super) fn key(&self, name: &str) -> Option<&KeyPlan> {
        self.keys.get(name)
    }

    /// What a key of an object on the way of a path means.
    pub(super) fn child(&self, node: u16, name: &str) -> Option<&KeyPlan> {
        let children = &self.nodes[usize::from(node)].children;
        children.iter().find(|(child, _)| child == name).map(|(_, key)| key)
    }

    /// Every slot that is filled from within a node.
    pub(super) fn below(&self, node: u16) -> &[u16] {
        &self.nodes[usize::from(node)].below
    }

    /// Paths that go on through a list which stands where a node's object is expected.
    pub(super) fn through(&self, node: u16) -> &[lists::Path] {
        &self.nodes[usize::from(node)].through
    }
}

/// Which of `fields` are as the line spells them, and which field each means where the line has none.
fn spelt(fields: &[FieldName]) -> Vec<(usize, Option<usize>)> {
    let of = |(number, field): (usize, &FieldName)| {
        let meaning = field.meaning();
        (number, meaning.and_then(|meaning| fields.iter().position(|other| *other == meaning)))
    };
    let list = fields.iter().enumerate().filter(|(_, field)| field.is_spelt() && !field.is_line());
    list.map(of).collect()
}

fn child_mut<'a>(children: &'a mut Vec<(String, KeyPlan)>, name: &str) -> &'a mut KeyPlan {
    let place = children.iter().position(|(child, _)| child == name).unwrap_or_else(|| {
        children.push((name.to_owned(), KeyPlan::default()));
        children.len() - 1
    });
    &mut children[place].1
}

/// The ways to a field's value, the preferred one first: each a path of keys.
///
/// A mapped field is read from the mapped key and from nowhere else. `raw.kind` reads the same key
/// as the fact `kind`. A name with dots is a key as it stands, else a path. A field that is as the line
/// spells it is its own key first, whatever is mapped; one that a map declares is read from its key where
/// the line does not spell it.
fn spellings(field: &FieldName, mapping: &Mapping) -> Vec<Vec<String>> {
    if field.is_line() {
        return Vec::new();
    }
    if field.is(foreign::TIME) {
        if let Some(key) = &mapping.time {
            return literal_then_path(key);
        }
        return foreign::NAMES.iter().flat_map(|name| literal_then_path(name)).collect();
    }
    if field.is_spelt() {
        let declared =
            if field.meaning().is_some() { None } else { Some(FieldName::declared(field.as_str())) };
        let mapped = declared.and_then(|declared| mapping.of(&declared));
        let ways = literal_then_path(field.as_str()).into_iter();
        return ways.chain(mapped.into_iter().flat_map(|map| literal_then_path(&map.key))).collect();
    }
    if let Some(map) = mapping.of(field) {
        return literal_then_path(&map.key);
    }
    if let Some(info) = field::lookup(field.as_str()) {
        let named = literal_then_path(info.name).into_iter();
        return named.chain(info.aliases.iter().map(|alias| vec![(*alias).to_owned()])).collect();
    }
    literal_then_path(field.as_str().strip_prefix(RAW).unwrap_or(field.as_str()))
}

fn literal_then_path(key: &str) -> Vec<Vec<String>> {
    let literal = vec![key.to_owned()];
    if !key.contains('.') {
        return vec![literal];
    }
    vec![literal, key.split('.').map(str::to_owned).collect()]
}
