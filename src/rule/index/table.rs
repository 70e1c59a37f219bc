//! One field's keys, ready to be found in a value: each lookup is made once a record, however many
//! rules ask.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem::Finder;

use super::gate::Key;
use super::literal::Place;
use crate::record::fold::{fold_in, folds_to, same};
use crate::record::{Column, Number};
use crate::rule::condition::address;

/// Number of a list of conditions.
pub(super) type List = u32;

/// No list.
pub(super) const NONE: List = List::MAX;

/// As many texts are compared sooner than one is hashed.
const FEW_TEXTS: usize = 4;
/// Bytes of texts up to which an automaton is a table, which is the fastest and the largest.
const TABLE_BYTES: usize = 256 << 10;

type Map<K> = HashMap<K, List, foldhash::fast::RandomState>;

/// The keys of one field.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) column: Column,
    /// Those that need no more than that the field is there.
    pub(super) present: List,
    exact: ByText,
    parts: Option<Parts>,
    numbers: Option<Numbers>,
    addresses: Option<Addresses>,
}

/// Lists by the whole text.
#[derive(Debug)]
enum ByText {
    Few(Vec<(String, List)>),
    Many {
        map: Map<String>,
        /// Lengths there are, by bit; the last one stands for all longer ones.
        lengths: u64,
    },
}

impl ByText {
    fn new(texts: Vec<(String, List)>) -> Self {
        if texts.len() <= FEW_TEXTS {
            return Self::Few(texts);
        }
        let lengths = texts.iter().fold(0, |all, (text, _)| all | length(text));
        Self::Many { map: texts.into_iter().collect(), lengths }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Few(list) if list.is_empty())
    }

    fn find(&self, folded: &str) -> List {
        match self {
            Self::Few(list) => list.iter().find(|(one, _)| same(one, folded)).map_or(NONE, |(_, list)| *list),
            Self::Many { lengths, .. } if lengths & length(folded) == 0 => NONE,
            Self::Many { map, .. } => map.get(folded).copied().unwrap_or(NONE),
        }
    }
}

fn length(text: &str) -> u64 {
    1 << text.len().min(63)
}

/// Lists by a part of the text.
#[derive(Debug)]
struct Parts {
    starts: Vec<OfLength>,
    ends: Vec<OfLength>,
    inner: Inner,
    /// Length of the shortest.
    least: usize,
}

/// Texts of one length, at one end.
#[derive(Debug)]
struct OfLength {
    len: usize,
    texts: ByText,
}

/// Texts that may stand anywhere.
#[derive(Debug)]
enum Inner {
    Few(Vec<(Finder<'static>, List)>),
    Many { automaton: AhoCorasick, lists: Vec<List> },
}

impl Parts {
    fn new(texts: Vec<(String, Place, List)>) -> Option<Self> {
        let least = texts.iter().map(|(text, ..)| text.len()).min()?;
        let (mut starts, mut ends, mut inner) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (text, place, list) in texts {
            match place {
                Place::Start => starts.entry(text.len()).or_insert_with(Vec::new).push((text, list)),
                Place::End => ends.entry(text.len()).or_insert_with(Vec::new).push((text, list)),
                Place::Anywhere => inner.push((text, list)),
            }
        }
        let of_length = |(len, texts)| OfLength { len, texts: ByText::new(texts) };
        Some(Self {
            starts: starts.into_iter().map(of_length).collect(),
            ends: ends.into_iter().map(of_length).collect(),
            inner: Inner::new(inner)?,
            least,
        })
    }

    fn find(&self, folded: &str, found: &mut impl FnMut(List)) {
        if folded.len() < self.least {
            return;
        }
        for OfLength { len, texts } in &self.starts {
            if let Some(start) = folded.get(..*len) {
                found(texts.find(start));
            }
        }
        for OfLength { len, texts } in &self.ends {
            if let Some(end) = folded.len().checked_sub(*len).and_then(|from| folded.get(from..)) {
                found(texts.find(end));
            }
        }
        match &self.inner {
            Inner::Few(list) => {
                for (finder, list) in list {
                    if finder.find(folded.as_bytes()).is_some() {
                        found(*list);
                    }
                }
            }
            Inner::Many { automaton, lists } => {
                for hit in automaton.find_overlapping_iter(folded) {
                    found(lists[hit.pattern().as_usize()]);
                }
            }
        }
    }
}

impl Inner {
    fn new(texts: Vec<(String, List)>) -> Option<Self> {
        if texts.len() <= FEW_TEXTS {
            let finder = |(text, list): (String, List)| (Finder::new(&text).into_owned(), list);
            return Some(Self::Few(texts.into_iter().map(finder).collect()));
        }
        let bytes: usize = texts.iter().map(|(text, _)| text.len()).sum();
        let kind = (bytes <= TABLE_BYTES).then_some(AhoCorasickKind::DFA);
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).prefilter(false);
        // Patterns of so few bytes are neither too many nor too long for any kind.
        let automaton = builder.kind(kind).build(texts.iter().map(|(text, _)| text)).ok()?;
        Some(Self::Many { automaton, lists: texts.into_iter().map(|(_, list)| list).collect() })
    }
}

/// Lists by number and by bound.
#[derive(Debug, Default)]
struct Numbers {
    equal: Map<Number>,
    /// In ascending order.
    at_least: Vec<(Number, List)>,
    /// In descending order.
    at_most: Vec<(Number, List)>,
}

impl Numbers {
    fn find(&self, number: Number, found: &mut impl FnMut(List)) {
        if !self.equal.is_empty() {
            found(self.equal.get(&number).copied().unwrap_or(NONE));
        }
        let below = self.at_least.iter().take_while(|(bound, _)| *bound <= number);
        let above = self.at_most.iter().take_while(|(bound, _)| *bound >= number);
        below.chain(above).for_each(|(_, list)| found(*list));
    }
}

/// Lists by address and by network.
#[derive(Debug, Default)]
struct Addresses {
    equal: Map<IpAddr>,
    /// By length of the prefix: as many bits of an address are one lookup.
    v4: Vec<(u32, Map<u32>)>,
    v6: Vec<(u32, Map<u128>)>,
}

impl Addresses {
    fn find(&self, address: IpAddr, found: &mut impl FnMut(List)) {
        if !self.equal.is_empty() {
            found(self.equal.get(&address).copied().unwrap_or(NONE));
        }
        match address {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                for (len, nets) in &self.v4 {
                    let net = bits & u32::MAX.checked_shl(u32::BITS - len).unwrap_or(0);
                    found(nets.get(&net).copied().unwrap_or(NONE));
                }
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                for (len, nets) in &self.v6 {
                    let net = bits & u128::MAX.checked_shl(u128::BITS - len).unwrap_or(0);
                    found(nets.get(&net).copied().unwrap_or(NONE));
                }
            }
        }
    }

    fn add(&mut self, net: ipnet::IpNet, list: List) {
        match net {
            ipnet::IpNet::V4(net) => {
                let len = net.prefix_len().into();
                let place = place_of(&mut self.v4, len);
                self.v4[place].1.insert(net.network().to_bits(), list);
            }
            ipnet::IpNet::V6(net) => {
                let len = net.prefix_len().into();
                let place = place_of(&mut self.v6, len);
                self.v6[place].1.insert(net.network().to_bits(), list);
            }
        }
    }
}

fn place_of<T>(nets: &mut Vec<(u32, Map<T>)>, len: u32) -> usize {
    nets.iter().position(|(known, _)| *known == len).unwrap_or_else(|| {
        nets.push((len, Map::default()));
        nets.len() - 1
    })
}

/// What looking values up needs, and what it has found for the record at hand.
#[derive(Debug, Default)]
pub(super) struct Seek {
    room: String,
    /// By list, the last record for which it was found: a text may have a part many times over.
    stamps: Vec<u32>,
    stamp: u32,
}

impl Seek {
    /// There are so many lists.
    pub(super) fn among(&mut self, lists: usize) {
        self.stamps.resize(lists, 0);
    }

    /// Goes on to the next record.
    pub(super) fn next(&mut self) {
        self.stamp = self.stamp.checked_add(1).unwrap_or_else(|| {
            self.stamps.fill(0);
            1
        });
    }
}

impl Table {
    /// A table of these keys, all of one column.
    pub(super) fn new(column: Column, keys: Vec<(&Key, List)>) -> Self {
        let (mut exact, mut parts) = (Vec::new(), Vec::new());
        let (mut numbers, mut addresses) = (Numbers::default(), Addresses::default());
        let mut present = NONE;
        for (key, list) in keys {
            match key {
                Key::Equals(_, text) => exact.push((text.clone(), list)),
                Key::Has(_, place, text) => parts.push((text.clone(), *place, list)),
                Key::Number(_, number) => {
                    numbers.equal.insert(*number, list);
                }
                Key::Address(_, address) => {
                    addresses.equal.insert(*address, list);
                }
                Key::Net(_, net) => addresses.add(*net, list),
                Key::AtLeast(_, bound) => numbers.at_least.push((*bound, list)),
                Key::AtMost(_, bound) => numbers.at_most.push((*bound, list)),
                Key::Present(_) => present = list,
            }
        }
        numbers.at_least.sort_unstable();
        numbers.at_most.sort_unstable_by(|one, other| other.cmp(one));
        let no_numbers =
            numbers.equal.is_empty() && numbers.at_least.is_empty() && numbers.at_most.is_empty();
        let no_addresses = addresses.equal.is_empty() && addresses.v4.is_empty() && addresses.v6.is_empty();
        Self {
            column,
            present,
            exact: ByText::new(exact),
            parts: Parts::new(parts),
            numbers: (!no_numbers).then_some(numbers),
            addresses: (!no_addresses).then_some(addresses),
        }
    }

    /// Whether nothing but whole texts is looked for, and few of them.
    pub(super) fn is_sole(&self) -> bool {
        let others = self.parts.is_some() || self.numbers.is_some() || self.addresses.is_some();
        self.present == NONE && !others && matches!(self.exact, ByText::Few(_))
    }

    /// Where that is so, the one list of `text`.
    pub(super) fn sole(&self, text: &str) -> List {
        let ByText::Few(list) = &self.exact else { return NONE };
        list.iter().find(|(one, _)| folds_to(text, one)).map_or(NONE, |(_, list)| *list)
    }

    /// Every list of a value that spells `text`.
    pub(super) fn find(&self, text: &str, seek: &mut Seek, found: &mut impl FnMut(List)) {
        let Seek { room, stamps, stamp } = seek;
        let mut once = |list: List| {
            if list != NONE && std::mem::replace(&mut stamps[list as usize], *stamp) != *stamp {
                found(list);
            }
        };
        if text.is_empty() {
            // It has no part, and is neither a number nor an address.
            once(self.exact.find(text));
            return;
        }
        if !self.exact.is_empty() || self.parts.is_some() {
            let folded = fold_in(text, room);
            once(self.exact.find(folded));
            if let Some(parts) = &self.parts {
                parts.find(folded, &mut once);
            }
        }
        if let Some(numbers) = &self.numbers
            && let Some(number) = Number::nearest(text)
        {
            numbers.find(number, &mut once);
        }
        if let Some(addresses) = &self.addresses
            && let Some(address) = address(text)
        {
            addresses.find(address, &mut once);
        }
    }
}
