//! Values that come again and again, made once and shared.
//!
//! A fixed number of places by the text that a value is made of, two for each hash: a text that has
//! no place is made anew, which costs time and changes nothing. Keys of groups are not kept so: to
//! make one is sooner done than to look it up.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::record::{Datum, Phase, Record, RecordId};
use crate::rule::compile::Program;

use super::key::GroupKey;

/// Longest text that has a place: names and addresses do, sentences do not.
const MAX_TEXT: usize = 27;
/// Places at first, and at most; a power of two.
const FIRST: usize = 64;
const MOST: usize = 16_384;

/// What one scanning thread keeps. Of one generation: columns and programs have its numbers.
#[derive(Debug, Default)]
pub(super) struct Interned {
    places: Vec<Place>,
    taken: usize,
    state: foldhash::fast::RandomState,
    /// A key that is being made.
    key: Vec<u8>,
    /// The record of the batch whose identity was made last.
    last: Option<(usize, Phase, RecordId)>,
}

/// A text of somebody's and what was made of it: one line of the cache.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Place {
    owner: u32,
    len: u8,
    text: [u8; MAX_TEXT],
    made: Made,
}

#[derive(Debug, Clone, Default)]
enum Made {
    #[default]
    Nothing,
    Values(Arc<[Datum]>),
}

impl Place {
    #[inline]
    fn is_of(&self, owner: u32, text: &str) -> bool {
        self.owner == owner
            && usize::from(self.len) == text.len()
            && self.text.get(..text.len()) == Some(text.as_bytes())
    }
}

/// The first of the two places where a text may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot(usize);

impl Spot {
    /// There is none.
    pub(super) const NONE: Self = Self(usize::MAX);
}

impl Interned {
    /// Begins another batch.
    pub(super) fn begin(&mut self) {
        self.last = None;
    }

    /// The identity of a record of row number `row`. To make it takes a while, and one that is a hit of
    /// several programs is so one after the other.
    pub(super) fn id(&mut self, row: usize, record: Record<'_>) -> RecordId {
        let same = self.last.filter(|(other, phase, _)| (*other, *phase) == (row, record.phase()));
        let id = same.map_or_else(|| record.id(), |(_, _, id)| id);
        self.last = Some((row, record.phase(), id));
        id
    }

    /// The key of the record's group; none if it has none.
    pub(super) fn key(&mut self, program: &Program, record: Record<'_>) -> Option<GroupKey> {
        self.key.clear();
        program.write_key(record, &mut self.key).then(|| GroupKey::new(&self.key))
    }

    /// Where to look for the values that `program` wants of `record`.
    pub(super) fn spot(&self, program: &Program, record: Record<'_>) -> Spot {
        let sole = program.sole_text(record).filter(|text| text.len() <= MAX_TEXT);
        sole.map_or(Spot::NONE, |text| Spot(self.set(program.carries_number, text)))
    }

    /// A look at what is at `spot`, so that it is near when it is wanted.
    pub(super) fn glance(&self, spot: Spot) -> bool {
        let places = self.places.get(spot.0..).unwrap_or_default();
        places.first().is_some_and(|place| place.owner == u32::MAX)
    }

    /// The values that `program` wants; none if the record lacks one it needs. Programs that want the
    /// same share them.
    pub(super) fn values(
        &mut self,
        program: &Program,
        record: Record<'_>,
        spot: Spot,
    ) -> Option<Arc<[Datum]>> {
        let sole = program.sole_text(record).filter(|text| text.len() <= MAX_TEXT);
        let Some(text) = sole else { return program.values(record) };
        let owner = program.carries_number;
        if let Some(Made::Values(values)) = self.find(spot.0, owner, text) {
            return Some(values.clone());
        }
        let values = program.values(record)?;
        self.keep(owner, text, Made::Values(values.clone()));
        Some(values)
    }

    /// The first of the two places of a text.
    #[inline]
    fn set(&self, owner: u32, text: &str) -> usize {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(owner);
        hasher.write(text.as_bytes());
        let low = usize::try_from(hasher.finish() & u64::from(u32::MAX)).unwrap_or(0);
        low & self.places.len().saturating_sub(1) & !1
    }

    #[inline]
    fn find(&self, set: usize, owner: u32, text: &str) -> Option<&Made> {
        let places = self.places.get(set..set + 2)?;
        places.iter().find(|place| place.is_of(owner, text)).map(|place| &place.made)
    }

    /// Keeps what was made of a text, in the place of the older of two others.
    fn keep(&mut self, owner: u32, text: &str, made: Made) {
        if self.taken >= self.places.len() / 2 && self.places.len() < MOST {
            let before = std::mem::take(&mut self.places);
            self.places = vec![Place::default(); (before.len() * 4).clamp(FIRST, MOST)];
            self.taken = 0;
            for place in before {
                let text = std::str::from_utf8(&place.text[..usize::from(place.len)]).unwrap_or_default();
                self.put(self.set(place.owner, text), place.clone());
            }
        }
        let mut place = Place { owner, len: 0, text: [0; MAX_TEXT], made };
        let Ok(len) = u8::try_from(text.len()) else { return };
        let Some(bytes) = place.text.get_mut(..text.len()) else { return };
        bytes.copy_from_slice(text.as_bytes());
        place.len = len;
        self.put(self.set(owner, text), place);
    }

    fn put(&mut self, set: usize, place: Place) {
        let Some([first, second]) = self.places.get_mut(set..set + 2) else { return };
        self.taken += usize::from(matches!(second.made, Made::Nothing));
        *second = std::mem::replace(first, place);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{CheckedRule, Generation, Limits};
    use super::*;
    use crate::record::fact::Facts;
    use crate::record::scan::{Mapping, Origin, Scanner};
    use crate::record::{Columns, Locator};
    use crate::rule::decode::{Options, decode};

    fn generation() -> Arc<Generation> {
        let rule = |id: &str, body: &str| {
            let text = format!("rule: {id}\ntitle: r\nlevel: low\n{body}");
            let (spec, mut problems) = decode("r.yaml", text.as_str(), &Options::default());
            CheckedRule::new(spec.unwrap(), &mut problems).unwrap()
        };
        let rules = vec![
            rule("net", "first_seen: {value: public_ip, by: [user]}\nmatch: {outcome: success}\n"),
            rule(
                "plain",
                "first_seen: {value: public_ip, by: [client_ip], same_net: off}\nmatch: {outcome: success}\n",
            ),
            rule(
                "both",
                "distinct: {field: user_name, at_least: 2, within: 1m, by: [public_ip, user]}\nmatch: {outcome: success}\n",
            ),
            rule(
                "own",
                "distinct: {field: client_ip, at_least: 2, within: 1m, by: [user_name], missing: own}\nmatch: {outcome: success}\n",
            ),
            rule("all", "distinct: {field: user_name, at_least: 2, within: 1m}\nmatch: {outcome: success}\n"),
        ];
        Arc::new(Generation::new(rules, Columns::default(), Limits::default()))
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => (0_u32..300).prop_map(|number| format!("10.0.{}.{}", number / 256, number % 256)),
            2 => (0_u32..2_000).prop_map(|number| format!("User{number}")),
            1 => "[aA]{0,30}",
            1 => Just("0.0.0.0".to_owned()),
            1 => any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_shared_is_what_would_be_made(
            rows in prop::collection::vec((text(), text(), text()), 1..800),
        ) {
            let generation = generation();
            let scanner =
                Scanner::new(generation.columns.clone(), Arc::new(Facts::default()), Origin::file(Mapping::default()));
            let line = |(number, (user, public, client)): (usize, &(String, String, String))| {
                let row = serde_json::json!({
                    "id": number.to_string(), "kind": "login", "start_time": "2026-01-05T09:00:00Z",
                    "user_name": user, "public_ip": public, "client_ip": client,
                });
                format!("{row}\n")
            };
            let batch = scanner.scan(rows.iter().enumerate().map(line).collect(), Locator(0));
            prop_assert_eq!(batch.rows.len(), rows.len());
            let mut interned = Interned::default();
            for row in 0..batch.rows.len() {
                let record = batch.record(row, Phase::Start);
                for program in &generation.programs.list {
                    let key = interned.key(program, record);
                    let meant = program.key(record);
                    prop_assert_eq!(key.as_deref(), meant.as_deref());
                    let spot = interned.spot(program, record);
                    prop_assert_eq!(interned.values(program, record, spot), program.values(record));
                }
            }
        }
    }
}
