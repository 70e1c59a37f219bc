//! What a record must show if a condition is to hold for it, and which of that is asked for.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::literal::{self, Place};
use crate::record::fold::fold;
use crate::record::{Column, Columns, Number};
use crate::rule::spec::{Bound, Expr, Literal, Ordering, Predicate, Test};

/// One thing that a record may show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The field is this text, folded.
    Equals(Column, String),
    /// The field has this text, folded, at that place.
    Has(Column, Place, String),
    /// The field is this number, however it is spelt.
    Number(Column, Number),
    /// The field is this address, however it is spelt.
    Address(Column, IpAddr),
    /// The field is an address of this network.
    Net(Column, IpNet),
    /// The field is this number or a larger one.
    AtLeast(Column, Number),
    /// The field is this number or a smaller one.
    AtMost(Column, Number),
    /// The field is there and not null.
    Present(Column),
}

/// Number of a key.
pub(super) type KeyId = u32;

/// Every key, interned.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) list: Vec<Key>,
    by_key: HashMap<Key, KeyId, foldhash::fast::RandomState>,
}

impl Keys {
    fn id(&mut self, key: Key) -> KeyId {
        let new = KeyId::try_from(self.list.len()).unwrap_or(KeyId::MAX);
        let id = *self.by_key.entry(key.clone()).or_insert(new);
        if id == new {
            self.list.push(key);
        }
        id
    }
}

/// What is necessary for a condition to hold.
#[derive(Debug)]
pub(super) enum Needs {
    /// One of these keys.
    Keys(Vec<KeyId>),
    /// All of these; each of them will do to ask for.
    All(Vec<Needs>),
    /// One of these, so that each has to be asked for.
    Any(Vec<Needs>),
}

/// What `expr` needs; none if it can hold for a record that shows nothing.
pub(super) fn needs(expr: &Expr, columns: &mut Columns, keys: &mut Keys) -> Option<Needs> {
    match expr {
        Expr::All(parts) => {
            let all: Vec<Needs> = parts.iter().filter_map(|part| needs(part, columns, keys)).collect();
            (!all.is_empty()).then_some(Needs::All(all))
        }
        Expr::Any(parts) => {
            parts.iter().map(|part| needs(part, columns, keys)).collect::<Option<_>>().map(Needs::Any)
        }
        Expr::Not(_) => None,
        Expr::Is(predicate) => of_predicate(predicate, columns, keys),
    }
}

fn of_predicate(predicate: &Predicate, columns: &mut Columns, keys: &mut Keys) -> Option<Needs> {
    let column = columns.want(&predicate.field);
    let present = Key::Present(column);
    let has = |place: Place, texts: &[String]| -> Vec<Key> {
        let key = |text: &String| match text.as_str() {
            "" => Key::Present(column),
            text => Key::Has(column, place, fold(text).into_owned()),
        };
        texts.iter().map(key).collect()
    };
    let of = match &predicate.test {
        Test::Equals(literals) if literals.contains(&Literal::Null) => return None,
        // A key that is there may hold null.
        Test::Exists(false) | Test::There(_) => return None,
        // Any value of the line will do; to look all of them up takes as long as to ask.
        _ if predicate.field.is_line() => vec![present],
        Test::Equals(literals) => literals.iter().filter_map(|literal| equal(column, literal)).collect(),
        Test::Contains(texts) => has(Place::Anywhere, texts),
        Test::StartsWith(texts) => has(Place::Start, texts),
        Test::EndsWith(texts) => has(Place::End, texts),
        Test::Cidr(nets) => nets.iter().map(|net| Key::Net(column, net.trunc())).collect(),
        Test::Compare(ordering, bound) => vec![compared(column, *ordering, *bound)],
        Test::Regex(patterns) => {
            let mut any = Vec::new();
            for pattern in patterns {
                let sets = literal::needed(pattern).into_iter();
                let sets = sets.map(|set| ids(has(set.place, &set.texts), keys));
                let mut all: Vec<Needs> = sets.map(Needs::Keys).collect();
                all.push(Needs::Keys(ids(vec![present.clone()], keys)));
                any.push(Needs::All(all));
            }
            return Some(Needs::Any(any));
        }
        Test::Exists(true)
        | Test::FieldRef(_)
        | Test::Refers(..)
        | Test::Clock(..)
        | Test::Filled(_)
        | Test::In(_)
        | Test::Past(..) => vec![present],
    };
    Some(Needs::Keys(ids(of, keys)))
}

fn ids(of: Vec<Key>, keys: &mut Keys) -> Vec<KeyId> {
    of.into_iter().map(|key| keys.id(key)).collect()
}

fn equal(column: Column, literal: &Literal) -> Option<Key> {
    match literal {
        Literal::Text(text) => Some(Key::Equals(column, fold(text).into_owned())),
        Literal::Bool(value) => Some(Key::Equals(column, value.to_string())),
        Literal::Number(number) => Some(Key::Number(column, *number)),
        Literal::Length(length) => Some(Key::Number(column, Number::whole(length.0))),
        Literal::Address(address) => Some(Key::Address(column, *address)),
        Literal::Null => None,
    }
}

fn compared(column: Column, ordering: Ordering, bound: Bound) -> Key {
    let number = match bound {
        Bound::Number(number) => number,
        Bound::Length(length) => Number::whole(length.0),
        // Instants have many spellings.
        Bound::Time(_) => return Key::Present(column),
    };
    match ordering {
        Ordering::Above | Ordering::AtLeast => Key::AtLeast(column, number),
        Ordering::Below | Ordering::AtMost => Key::AtMost(column, number),
    }
}

impl Needs {
    /// Whether nothing holds without this one key.
    pub(super) fn wants(&self, key: KeyId) -> bool {
        match self {
            Self::Keys(keys) => *keys == [key],
            Self::All(parts) => parts.iter().any(|part| part.wants(key)),
            Self::Any(_) => false,
        }
    }

    /// Every key without which nothing holds, into `found`.
    pub(super) fn wanted(&self, found: &mut Vec<KeyId>) {
        match self {
            Self::Keys(keys) => {
                if let [key] = **keys {
                    found.push(key);
                }
            }
            Self::All(parts) => parts.iter().for_each(|part| part.wanted(found)),
            Self::Any(_) => {}
        }
    }

    /// Every set of keys of which one is necessary, into `found`.
    pub(super) fn sets<'a>(&'a self, found: &mut Vec<&'a [KeyId]>) {
        match self {
            Self::Keys(keys) => found.push(keys),
            Self::All(parts) => parts.iter().for_each(|part| part.sets(found)),
            Self::Any(parts) => {
                if let [part] = parts.as_slice() {
                    part.sets(found);
                }
            }
        }
    }

    /// The keys to ask for: those that the fewest records show. How many do, in all.
    pub(super) fn rarest(&self, share: &[f32]) -> (f32, Vec<KeyId>) {
        match self {
            Self::Keys(keys) => (keys.iter().map(|key| share[*key as usize]).sum(), keys.clone()),
            Self::All(parts) => {
                let ways = parts.iter().map(|part| part.rarest(share));
                let fewer = |one: &(f32, Vec<KeyId>), other: &(f32, Vec<KeyId>)| {
                    one.0.total_cmp(&other.0).then(one.1.len().cmp(&other.1.len()))
                };
                ways.min_by(fewer).unwrap_or_default()
            }
            Self::Any(parts) => parts.iter().fold((0.0, Vec::new()), |(sum, mut keys), part| {
                let (share, more) = part.rarest(share);
                keys.extend(more);
                (sum + share, keys)
            }),
        }
    }
}
