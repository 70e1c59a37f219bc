//! What one endpoint is asked next, and what its answers come to: windows, watermarks, sweeps.
//!
//! Pages come in, with the service's own time; readings come out. Nothing here asks anybody, waits
//! or reads a clock, so that every order of events can be played to it. How a lane stands is its
//! [`Place`], which goes with every reading; all else is memory that costs repeats when lost.
//!
//! A poll reads from the watermark less the lookback. Where that is more than a page (some thousand seats),
//! reading it all each time would leave no requests for sweeps and make every alert late: then most polls
//! read from the watermark only, which is all that its promise needs, and one in a while looks back.

mod plan;

use std::collections::BTreeSet;

use super::api::Ask;
use super::audit::{Again, Audit, Check, Counts};
use super::budget::Purpose;
use super::known::Known;
use super::lateness::Late;
use super::page::Page;
use super::place::{Hour, Place};
use super::reader::Reader;
use super::walk::{News, Next, Walk};
use crate::record::scan::Origin;
use crate::record::{Millis, Timestamp};
use crate::source::Reading;

/// Polls in a row that may miss rows, after which reading goes on all the same: later ones look back.
const PATIENCE: u32 = 5;

/// How a lane is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What window times are rounded to.
    pub resolution: Millis,
    /// Time between polls, and between two checks of an hour.
    pub every: Millis,
    /// How late a row may appear, or to begin with.
    pub settle: Millis,
    /// True where that follows how late rows do appear.
    pub settle_auto: bool,
    /// How much of what was read is read again.
    pub lookback: Millis,
    /// How far back the first poll goes.
    pub since: Millis,
}

impl Pace {
    fn round(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0 - at.0.rem_euclid(self.resolution.0))
    }
}

/// Why an hour is read by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swept {
    /// Rows of it were open.
    Open(Hour),
    /// Its total is compared.
    Compared(Check),
}

/// One endpoint, as far as it was read.
#[derive(Debug)]
pub(super) struct Lane {
    pace: Pace,
    reader: Reader,
    place: Option<Place>,
    known: Known,
    /// Hours with rows that may have been open in an earlier life: not swept since.
    unsure: BTreeSet<Hour>,
    late: Late,
    /// Rows of the poll under way are read as they appear: they were not there a moment ago.
    live: bool,
    /// A poll of this life has been read whole, up to its own now.
    awake: bool,
    poll: Option<Walk>,
    sweep: Option<(Swept, Walk)>,
    audit: Audit,
    /// While catching up: how much is read at a time.
    width: Option<Millis>,
    /// Where the watermark stood at the last poll that looked back, and when that was, if it took more
    /// than one page.
    looked: Option<(Timestamp, Timestamp)>,
    /// The poll under way looks back.
    looks_back: bool,
    /// Rows that were missing at the last poll, once told.
    missing: u64,
    /// Polls in a row of which nobody is sure that all rows came.
    unsure_polls: u32,
    remarks: Vec<String>,
}

impl Lane {
    pub fn new(origin: Origin, pace: Pace) -> Self {
        Self {
            pace,
            reader: Reader::new(origin),
            place: None,
            known: Known::default(),
            unsure: BTreeSet::new(),
            late: Late::default(),
            live: false,
            awake: false,
            poll: None,
            sweep: None,
            audit: Audit::default(),
            width: None,
            looked: None,
            looks_back: true,
            missing: 0,
            unsure_polls: 0,
            remarks: Vec::new(),
        }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Begins where an earlier life stopped; anew, where the cursor is empty.
    pub fn resume(&mut self, cursor: &str) -> Result<(), String> {
        self.place = if cursor.is_empty() { None } else { Some(Place::parse(cursor)?) };
        (self.poll, self.sweep, self.known) = (None, None, Known::default());
        if let Some(settle) = self.place.as_ref().and_then(|place| place.settle) {
            self.follow(settle);
        }
        (self.awake, self.looked) = (false, None);
        if let Some(place) = &mut self.place {
            place.stop_counting(self.pace.lookback);
        }
        let earlier = self.place.as_ref().and_then(Place::counted_before);
        self.audit.restart(earlier);
        self.unsure = self.place.iter().flat_map(Place::open).collect();
        Ok(())
    }

    /// How long until there is something to sweep at `now`, the service's; none while nothing is open.
    pub fn sweep_wait(&self, now: Timestamp) -> Option<Millis> {
        if self.sweep.is_some() {
            return Some(Millis::ZERO);
        }
        let place = self.place.as_ref()?;
        if self.audit.due(place).is_some() {
            return Some(Millis::ZERO);
        }
        let (_, checked) = place.stalest()?;
        Some((checked + self.pace.every - now).max(Millis::ZERO))
    }

    /// True when an hour's total was greater than what was counted.
    #[cfg(test)]
    pub fn is_to_read_an_hour_again(&self) -> bool {
        self.place.as_ref().is_some_and(|place| matches!(self.audit.due(place), Some(Check::Rows(..))))
    }

    /// True when more than a poll's time is yet to be read.
    pub fn is_behind(&self, now: Timestamp) -> bool {
        let step = self.pace.every.max(self.pace.resolution);
        self.place.as_ref().is_none_or(|place| place.to + step < self.pace.round(now))
    }

    /// The next page to ask for, when the service's clock is at `now`; the same one until a page came.
    pub fn ask(&mut self, purpose: Purpose, now: Timestamp) -> Option<Ask> {
        match purpose {
            Purpose::Poll => {
                if self.poll.is_none() {
                    self.poll = Some(self.plan_poll(now));
                }
                self.poll.as_ref().map(Walk::ask)
            }
            Purpose::Sweep => {
                if self.sweep.is_none() {
                    self.sweep = self.plan_sweep(now);
                }
                self.sweep.as_ref().map(|(_, walk)| walk.ask())
            }
        }
    }

    /// Gives a walk up: the next one begins anew.
    pub fn drop_walk(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Poll => self.poll = None,
            Purpose::Sweep => self.sweep = None,
        }
    }

    /// True while a poll is under way.
    pub fn is_polling(&self) -> bool {
        self.poll.is_some()
    }

    /// The page was too long to be read: asks for half as many rows, and passes over one that is too
    /// long by itself.
    pub fn ask_less(&mut self, purpose: Purpose) {
        let walk = match purpose {
            Purpose::Poll => self.poll.as_mut(),
            Purpose::Sweep => self.sweep.as_mut().map(|(_, walk)| walk),
        };
        let Some(walk) = walk else { return };
        if walk.limit > 1 {
            walk.limit /= 2;
        } else {
            walk.skip();
            self.remarks.push("a row is too long to be read; it was passed over".to_owned());
        }
    }

    /// Takes in the page that was asked for; `date` is what the service's clock said with it.
    pub fn take(&mut self, purpose: Purpose, page: Page, date: Timestamp) -> Option<Reading> {
        match purpose {
            Purpose::Poll => {
                let mut walk = self.poll.take()?;
                if walk.is_new() {
                    walk.began = walk.began.min(date);
                    if let Some(narrower) = self.narrower(&walk, page.total, date) {
                        self.poll = Some(narrower);
                        return None;
                    }
                }
                let late = self.live && walk.is_first_pass();
                match self.walk_on(&mut walk, page, date, late) {
                    Next::Over => Some(self.end_poll(walk, date)),
                    next @ (Next::Ask | Next::Give) => {
                        let given = self.part(next, &mut walk, date);
                        self.poll = Some(walk);
                        given
                    }
                }
            }
            Purpose::Sweep => {
                let (swept, mut walk) = self.sweep.take()?;
                if let Swept::Compared(Check::Total(hour, count)) = swept {
                    if let Some(place) = &mut self.place {
                        self.audit.told(hour, count, page.total, place);
                    }
                    return None;
                }
                if walk.is_new() {
                    walk.began = walk.began.min(date);
                }
                match self.walk_on(&mut walk, page, date, false) {
                    Next::Over => Some(self.end_sweep(swept, walk, date)),
                    next @ (Next::Ask | Next::Give) => {
                        let given = self.part(next, &mut walk, date);
                        self.sweep = Some((swept, walk));
                        given
                    }
                }
            }
        }
    }

    fn walk_on(&mut self, walk: &mut Walk, page: Page, date: Timestamp, late: bool) -> Next {
        let rows = self.reader.read(page.rows, walk, &self.known, date);
        if late {
            let new = rows.iter().filter(|row| !row.ahead && !self.known.has(row.found.id));
            for row in new {
                self.late.note((walk.began - row.found.start).max(Millis::ZERO), date);
            }
        }
        walk.take(page.total, rows)
    }

    /// What is given before a walk is over, if anything.
    fn part(&mut self, next: Next, walk: &mut Walk, date: Timestamp) -> Option<Reading> {
        if next != Next::Give {
            return None;
        }
        let news = walk.give(&mut self.known, date);
        // The watermark stands, and so does all else: a new life reads the window again.
        Some(self.reading(news, false, date))
    }

    fn end_poll(&mut self, mut walk: Walk, date: Timestamp) -> Reading {
        let news = walk.finish(&mut self.known, date);
        let (settle, missing) = (self.pace.settle, news.missing);
        self.tell_missing(&walk, missing);
        if news.unsure && self.unsure_polls == PATIENCE && missing == 0 {
            self.remarks.push(format!(
                "{PATIENCE} polls in a row did not see the window from {} to {} at rest; reading goes on, and what \
                 was missed comes late",
                walk.from, walk.to
            ));
        }
        if news.unsure && self.unsure_polls < PATIENCE {
            // The watermark stands, and the window is read again.
            self.unsure_polls += 1;
            return self.reading(news, false, date);
        }
        self.unsure_polls = if news.unsure { self.unsure_polls + 1 } else { 0 };
        if self.looks_back {
            let wide = self.place.as_ref().filter(|_| walk.is_wide());
            self.looked = wide.map(|place| (place.start, walk.began));
        }
        // The window may have ended ahead of the service's clock.
        let to = walk.to.min(self.pace.round(walk.began));
        if let Some(place) = &mut self.place {
            for hour in &walk.open {
                place.opened(*hour, walk.began);
            }
            for hour in place.open_since(walk.from) {
                place.checked(hour, walk.began, walk.open.contains(&hour), news.unsure, settle);
                if !news.unsure {
                    self.unsure.remove(&hour);
                }
            }
            place.advance(to, settle);
        }
        // All that was there when it was begun; reading it may have taken long.
        if !self.awake && walk.to >= self.pace.round(walk.began) {
            self.awake = true;
            if let Some(place) = &mut self.place {
                place.begin_counting();
            }
        }
        if self.pace.settle_auto {
            self.follow(self.late.settle(self.pace.settle));
        }
        self.width = self.width.map(|width| Millis(width.0 * 2)).filter(|_| self.is_behind(date));
        self.reading(news, true, date)
    }

    fn tell_missing(&mut self, walk: &Walk, missing: u64) {
        if missing > 0 && missing != self.missing {
            self.remarks.push(format!(
                "{missing} {} missing against the total of the window from {} to {}",
                if missing == 1 { "row is" } else { "rows are" },
                walk.from,
                walk.to
            ));
        }
        self.missing = missing;
    }

    fn end_sweep(&mut self, swept: Swept, mut walk: Walk, date: Timestamp) -> Reading {
        let news = walk.finish(&mut self.known, date);
        let hour = match swept {
            Swept::Open(hour) => hour,
            Swept::Compared(check) => return self.end_check(check, &walk, news, date),
        };
        if let Some(place) = &mut self.place {
            for open in &walk.open {
                place.opened(*open, walk.began);
            }
            let missed = news.unsure;
            // A poll may have met open rows of the hour that began after this window.
            let cut = walk.to < hour.end() && walk.to < place.to;
            place.checked(hour, walk.began, cut || !walk.open.is_empty(), missed, self.pace.settle);
            if !missed {
                self.unsure.remove(&hour);
            }
        }
        self.reading(news, true, date)
    }

    fn end_check(&mut self, check: Check, walk: &Walk, news: News, date: Timestamp) -> Reading {
        let (Check::Total(hour, count) | Check::Rows(hour, count)) = check;
        let late = news.met.iter().filter(|start| Hour::of(**start) == hour).count();
        let again = Again { rows: walk.within(hour), late, unsure: news.unsure };
        if let Some(place) = &mut self.place {
            for open in &walk.open {
                place.opened(*open, walk.began);
            }
            self.remarks.extend(self.audit.read(hour, count, again, place));
        }
        self.reading(news, true, date)
    }

    /// Settles so long after; what is complete is never taken back.
    fn follow(&mut self, settle: Millis) {
        if self.pace.settle_auto {
            self.pace.settle = settle;
            if let Some(place) = &mut self.place {
                place.settle = Some(settle);
            }
        }
    }

    fn reading(&mut self, news: News, complete: bool, date: Timestamp) -> Reading {
        let mut reading = Reading {
            rows: news.rows,
            twins: news.twins,
            now: Some(date),
            ahead: news.ahead,
            lateness: self.late.shown(self.pace.settle),
            behind: !self.awake,
            remarks: std::mem::take(&mut self.remarks),
            ..Reading::default()
        };
        if let Some(place) = &mut self.place {
            let mut met = Counts::new();
            for start in &news.met {
                *met.entry(Hour::of(*start)).or_default() += 1;
            }
            place.count(&met);
            place.forget(date);
            if self.known.was_crowded() {
                let text = "more rows came than are remembered; the totals of their hours are not compared";
                self.remarks.push(text.to_owned());
                place.forget_counts();
                self.audit.restart(None);
            }
            // Until its hour has been compared, and perhaps read again, a row is known.
            let pinned = self.audit.oldest(place).map(Hour::start);
            let within = self.pace.lookback + self.pace.settle + self.pace.every;
            self.known.forget(date, within, pinned);
            if self.known.has_overflowed() {
                self.unsure.extend(place.open());
            }
            self.unsure.retain(|hour| place.whole_at(*hour).is_some());
            reading.watermark = complete.then_some((place.start, place.end));
            reading.cursor = place.cursor();
        }
        reading
    }
}
