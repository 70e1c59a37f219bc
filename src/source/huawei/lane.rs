//! What one endpoint is asked next, and what its answers come to: windows, watermarks, sweeps.
//!
//! Pages come in, with the service's own time; readings come out. Nothing here asks anybody, waits
//! or reads a clock, so that every order of events can be played to it. How a lane stands is its
//! [`Place`], which goes with every reading; all else is memory that costs repeats when lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::api::Ask;
use super::audit::{Again, Audit, Check, Counts};
use super::budget::Purpose;
use super::known::{Found, Known, Scope};
use super::lateness::Late;
use super::page::Page;
use super::place::{Hour, KEPT, Place};
use super::walk::{News, Next, Read, Walk};
use crate::record::fact::Facts;
use crate::record::scan::{Endpoint, Origin, Scanner};
use crate::record::{Column, Columns, Locator, Millis, Phase, RowId, Timestamp};
use crate::source::Reading;

/// Rows of a page: the most that every endpoint gives.
const PAGE: u32 = 100;
/// A window with more rows is split: what was read is kept before it is lost to a failure.
const MAX_WINDOW_ROWS: u64 = 10_000;
/// Polls in a row that may miss rows, after which reading goes on all the same: later ones look back.
const PATIENCE: u32 = 5;
/// How far ahead of now a row may be dated.
const AHEAD: Millis = Millis::mins(5);
/// How far within the kept days windows begin: the service's clock goes on while it is asked.
const EDGE: Millis = Millis::mins(10);

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
    scanner: Scanner,
    /// The columns that tell whether a row has a key.
    key: Column,
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
    /// The last poll took more than one page.
    wide: bool,
    /// Rows that were missing at the last poll, once told.
    missing: u64,
    /// Polls in a row of which nobody is sure that all rows came.
    unsure_polls: u32,
    /// Pages that were read.
    pages: u64,
    remarks: Vec<String>,
}

impl Lane {
    pub fn new(origin: Origin, pace: Pace) -> Self {
        let mut columns = Columns::default();
        let key = columns.want_known(match origin.endpoint {
            Some(Endpoint::DesktopLogins) => "transaction_id",
            Some(Endpoint::UserEvents) => "raw.event_trace_id",
            Some(Endpoint::AppLogins | Endpoint::AppLaunches | Endpoint::Sessions) | None => "id",
        });
        let scanner = Scanner::new(columns.freeze(), Arc::new(Facts::default()), origin);
        Self {
            pace,
            scanner,
            key,
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
            wide: false,
            missing: 0,
            unsure_polls: 0,
            pages: 0,
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
        self.awake = false;
        self.audit.restart();
        if let Some(place) = &mut self.place {
            place.stop_counting(self.pace.lookback);
        }
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

    fn oldest(&self, now: Timestamp) -> Timestamp {
        self.pace.round(now - KEPT + EDGE)
    }

    fn walk(&self, from: Timestamp, to: Timestamp, began: Timestamp, limit: u32) -> Walk {
        let resolution = self.pace.resolution;
        Walk::new((from, to.max(from + resolution)), resolution, began, limit)
    }

    fn plan_poll(&mut self, now: Timestamp) -> Walk {
        let oldest = self.oldest(now);
        let end = self.pace.round(now);
        let first = self.pace.round(now - self.pace.since).max(oldest);
        let usual = Millis(3 * self.pace.every.max(self.pace.resolution).0);
        let place = self.place.get_or_insert_with(|| Place::new(first));
        self.live = self.awake && place.to + usual >= end;
        if place.to < now - KEPT {
            self.remarks.push(format!(
                "what happened from {} to {oldest} was not read: the service keeps {KEPT}",
                place.start
            ));
            // Told once; the watermark moves when the window is read.
            place.to = oldest;
        }
        let from = self.pace.round(place.start - self.pace.lookback).max(oldest);
        let to = self.width.map_or(end, |width| end.min(self.pace.round(place.to + width)));
        let mut walk = self.walk(from, to, now, PAGE);
        if self.wide {
            walk.apart_from(self.pace.round(to - self.pace.settle));
        }
        walk
    }

    fn plan_sweep(&mut self, now: Timestamp) -> Option<(Swept, Walk)> {
        let place = self.place.as_ref()?;
        if let Some(check) = self.audit.due(place) {
            let hour = check.hour();
            // An end may belong to its window or not: the total leaves out the last moment, of which at
            // worst as many rows go unseen as it has.
            let from = hour.start().max(self.oldest(now));
            let (to, limit) = match check {
                Check::Total(..) => (hour.end() - self.pace.resolution, 1),
                Check::Rows(..) => (hour.end(), PAGE),
            };
            let mut walk = self.walk(from, to, now, limit);
            walk.scope = Scope::Began(hour);
            return Some((Swept::Compared(check), walk));
        }
        let (hour, _) = place.stalest()?;
        // What ended before the hour was last read whole was given then, as ended.
        let whole_at = place.whole_at(hour).filter(|_| self.unsure.contains(&hour));
        let scope = whole_at.map_or(Scope::Open, |at| Scope::OpenSince(at - self.pace.settle));
        let from = self.pace.round(hour.start() - self.pace.resolution).max(self.oldest(now));
        let to = hour.end().min(self.pace.round(now));
        let mut walk = self.walk(from, to, now, PAGE);
        walk.scope = scope;
        Some((Swept::Open(hour), walk))
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

    /// A poll of less, where the window has too many rows for one reading.
    fn narrower(&mut self, walk: &Walk, total: Option<u64>, date: Timestamp) -> Option<Walk> {
        let place = self.place.as_ref()?;
        if total.unwrap_or_default() <= MAX_WINDOW_ROWS {
            return None;
        }
        let half = Millis((walk.to.min(date) - place.to).0 / 2);
        let to = self.pace.round(place.to + half);
        (half > self.pace.resolution && to > place.to && to < walk.to).then(|| {
            self.width = Some(half);
            self.walk(walk.from, to, walk.began, walk.limit)
        })
    }

    fn walk_on(&mut self, walk: &mut Walk, page: Page, date: Timestamp, late: bool) -> Next {
        self.pages += 1;
        let rows = self.read(page.rows, walk, date);
        if late {
            let new = rows.iter().filter(|row| !row.ahead && !self.known.has(row.found.id));
            for row in new {
                self.late.note((walk.began - row.found.start).max(Millis::ZERO), date);
            }
        }
        walk.take(page.total, rows)
    }

    /// What the rows of a page are. A row that makes no record is given too: it is quarantined, not lost.
    fn read(&self, rows: Vec<String>, walk: &mut Walk, date: Timestamp) -> Vec<Read> {
        let mut block = String::with_capacity(rows.iter().map(|row| row.len() + 1).sum());
        // Not at the beginning of a file: a mark there is no mark here.
        let base = Locator(1);
        let mut places = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            places.insert(base.0 + block.len() as u64, number);
            block.push_str(row);
            block.push('\n');
        }
        let batch = self.scanner.scan(block, base);
        let mut records: Vec<Option<usize>> = vec![None; rows.len()];
        for (record, row) in batch.rows.iter().enumerate() {
            if let Some(number) = places.get(&row.locator.0) {
                records[*number] = Some(record);
            }
        }
        let mut nths: HashMap<RowId, u32> = HashMap::new();
        let mut read = Vec::with_capacity(rows.len());
        for (line, record) in rows.into_iter().zip(records) {
            let row = record.map(|record| (&batch.rows[record], batch.record(record, Phase::Start)));
            let (id, version, (start, end), open, keyed) = match row {
                Some((row, record)) => {
                    let keyed = record.get(self.key).text().is_some_and(|key| !key.is_empty());
                    (row.id, row.version, (row.start, row.end), row.open && row.start + KEPT > date, keyed)
                }
                None => (digest(&line), 0, (date, Some(Timestamp::MIN)), false, true),
            };
            let nth = nths.entry(id).or_default();
            let before = if keyed { 0 } else { walk.count_like(id, version) };
            let line = (!self.known.is_old(id, version, before)).then_some(line);
            let found = Found { id, version, start, end, open, keyed, page: self.pages, line };
            read.push(Read { found, nth: *nth, ahead: start > date + AHEAD });
            *nth += 1;
        }
        read
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
        self.wide = walk.is_wide();
        if news.unsure && self.unsure_polls < PATIENCE {
            // The watermark stands, and the window is read again.
            self.unsure_polls += 1;
            return self.reading(news, false, date);
        }
        self.unsure_polls = 0;
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
        if let Some(place) = &mut self.place {
            for open in &walk.open {
                place.opened(*open, walk.began);
            }
        }
        let late = news.met.iter().filter(|start| Hour::of(**start) == hour).count();
        let again = Again { rows: walk.within(hour), late, unsure: news.unsure };
        self.remarks.extend(self.audit.read(hour, count, again));
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
                self.audit.restart();
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

/// The identity of a row that makes no record: its bytes.
fn digest(line: &str) -> RowId {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(line.as_bytes()).as_bytes()[..16]);
    RowId(id)
}
