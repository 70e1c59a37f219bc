//! `count`: so many hits within a window, and what else the window must show.
//!
//! Values of an entry: one per `distinct` condition of `having`, in its order. Marks: one bit per
//! share, after those of `levels`. What groups are compared by, for `times_others`, is `others`'.

use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::{Millis, Number};

use super::super::spec::Amount;
use super::others::{Compared, MAX_HITS, Than};
use super::{
    Counted, Entry, Judge, Needed, Reach, Reason, Shared, Tally, Verdict, Window, count_in, count_out,
    json_number, text_of,
};

/// `count:`, compiled.
#[derive(Debug)]
pub struct Count {
    /// Window length.
    pub within: Millis,
    /// Hits that fire.
    pub at_least: Option<u32>,
    /// Firing empties the window.
    pub restart: bool,
    /// Further conditions.
    pub having: Vec<Having>,
}

/// One condition of `having`.
#[derive(Debug)]
pub struct Having {
    /// Its name.
    pub name: String,
    /// What must hold.
    pub test: HavingTest,
}

/// What a window must show.
#[derive(Debug)]
pub enum HavingTest {
    /// So many distinct values.
    Distinct {
        /// Which of the entry's values.
        slot: usize,
        /// How many.
        at_least: u32,
    },
    /// So many or such a share of marked hits.
    Share {
        /// Which of the tally's shares.
        slot: usize,
        /// Which bit of the entry's marks.
        mark: u8,
        /// How many, or which share.
        at_least: Amount,
        /// How the share compares with that of the other groups.
        than: Option<Than>,
    },
}

impl HavingTest {
    fn than(&self) -> Option<&Than> {
        match self {
            Self::Distinct { .. } => None,
            Self::Share { than, .. } => than.as_ref(),
        }
    }
}

impl Count {
    /// How the group of `window` compares with the others.
    fn compared(than: &Than, window: Window<'_>) -> Option<Compared> {
        let crowd = window.shared.crowds.get(than.slot)?;
        Some(crowd.compared(window.key, window.last(), than))
    }
}

impl Judge for Count {
    fn reach(&self) -> Reach {
        Reach::Time(self.within)
    }

    /// What `having` wants of hits may differ.
    fn window(&self) -> Option<String> {
        (self.having.is_empty() && !self.restart).then(|| format!("hits {:?}", self.within))
    }

    fn cooldown(&self) -> Millis {
        if self.restart { Millis::ZERO } else { self.within }
    }

    fn restarts(&self) -> bool {
        self.restart
    }

    fn tallies(&self) -> bool {
        !self.having.is_empty()
    }

    fn share(&self, shared: &mut Shared, hit: (&[u8], &Entry), _late_within: Millis, late: bool) -> u64 {
        let mut lost = 0;
        for than in self.having.iter().filter_map(|having| having.test.than()) {
            grow(&mut shared.crowds, than.slot);
            lost += shared.crowds[than.slot].take(hit, than, late, MAX_HITS);
        }
        lost
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        for having in &self.having {
            match having.test {
                HavingTest::Distinct { slot, .. } => {
                    if let Some(value) = text_of(&entry.values[slot]) {
                        grow(&mut tally.values, slot);
                        count_in(&mut tally.values[slot], value);
                    }
                }
                HavingTest::Share { slot, mark, .. } => {
                    grow(&mut tally.shares, slot);
                    tally.shares[slot] += (entry.marks >> mark) & 1;
                }
            }
        }
    }

    fn pop(&self, tally: &mut Tally, entry: &Entry) {
        for having in &self.having {
            match having.test {
                HavingTest::Distinct { slot, .. } => {
                    if let Some(value) = text_of(&entry.values[slot]) {
                        count_out(&mut tally.values[slot], value);
                    }
                }
                HavingTest::Share { slot, mark, .. } => tally.shares[slot] -= (entry.marks >> mark) & 1,
            }
        }
    }

    fn judge(&self, tally: &Tally, window: Window<'_>) -> Verdict {
        let hits = u32::try_from(window.hits.len()).unwrap_or(u32::MAX);
        if let Some(needed) = self.at_least.filter(|needed| hits < *needed) {
            return short(Counted::Hits, Number::whole(hits.into()), Needed::AtLeast(needed));
        }
        for (number, having) in self.having.iter().enumerate() {
            let (actual, what) = (actual(tally, &having.test), Counted::Having(number));
            match having.test {
                HavingTest::Distinct { at_least, .. }
                | HavingTest::Share { at_least: Amount::Hits(at_least), .. } => {
                    if actual < at_least {
                        return short(what, Number::whole(actual.into()), Needed::AtLeast(at_least));
                    }
                }
                HavingTest::Share { at_least: Amount::Percent(percent), .. } => {
                    if Number::whole(100).times(actual) < percent.times(hits) {
                        let share = Number::whole(100).times(actual).over(hits);
                        return short(what, share, Needed::Share(percent));
                    }
                }
            }
            let than = having.test.than();
            if let Some((than, compared)) = than.and_then(|than| Some((than, Self::compared(than, window)?)))
            {
                let others = compared.others.hits;
                if others < than.at_least {
                    let others = Number::whole(others.into());
                    return short(Counted::Others, others, Needed::AtLeast(than.at_least));
                }
                if !compared.holds(than) {
                    let needed = Needed::TimesOthers(Number::whole(than.hundredths.into()).over(100));
                    return short(what, compared.times().unwrap_or_default(), needed);
                }
            }
        }
        Verdict::Holds
    }

    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        let count = window.hits.len() as u64;
        let mut threshold = Map::new();
        if let Some(needed) = self.at_least {
            threshold.insert("at_least".to_owned(), needed.into());
        }
        let mut told = Finding { count, threshold, ..Finding::default() };
        told.actual.insert("count".to_owned(), count.into());
        for having in &self.having {
            let (needed, actual) = match having.test {
                HavingTest::Distinct { at_least, .. }
                | HavingTest::Share { at_least: Amount::Hits(at_least), .. } => {
                    (Json::from(at_least), Json::from(actual(tally, &having.test)))
                }
                HavingTest::Share { at_least: Amount::Percent(percent), .. } => {
                    let hits = u32::try_from(count).unwrap_or(u32::MAX);
                    let share = Number::whole(100).times(actual(tally, &having.test)).over(hits);
                    (format!("{percent}%").into(), json_number(share))
                }
            };
            told.threshold.insert(having.name.clone(), needed);
            told.actual.insert(having.name.clone(), actual.clone());
            told.scope.insert(having.name.clone(), actual.clone());
            told.values.insert(having.name.clone(), actual);
            let than = having.test.than();
            if let Some((than, compared)) = than.and_then(|than| Some((than, Self::compared(than, window)?)))
            {
                let needed = Number::whole(than.hundredths.into()).over(100);
                told.threshold.insert(format!("{}_times_others", having.name), json_number(needed));
                for (what, sums) in [("share", compared.own), ("others", compared.others)] {
                    let (name, percent) = (format!("{}_{what}", having.name), json_number(sums.percent()));
                    told.actual.insert(name.clone(), percent.clone());
                    told.scope.insert(name.clone(), percent.clone());
                    told.values.insert(name, percent);
                }
            }
        }
        told
    }
}

fn actual(tally: &Tally, test: &HavingTest) -> u32 {
    match test {
        HavingTest::Distinct { slot, .. } => {
            tally.values.get(*slot).map_or(0, |values| u32::try_from(values.len()).unwrap_or(u32::MAX))
        }
        HavingTest::Share { slot, .. } => tally.shares.get(*slot).copied().unwrap_or(0),
    }
}

fn short(what: Counted, actual: Number, needed: Needed) -> Verdict {
    Verdict::Short(Reason::BelowThreshold { what, actual, needed })
}

/// Makes room for `slot`.
fn grow<T: Default + Clone>(list: &mut Vec<T>, slot: usize) {
    if list.len() <= slot {
        list.resize(slot + 1, T::default());
    }
}
