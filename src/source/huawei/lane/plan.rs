//! Which window is read next: of polls, of hours with open rows, of hours whose total is compared.

use super::super::audit::Check;
use super::super::known::Scope;
use super::super::place::{KEPT, Place};
use super::super::walk::Walk;
use super::{Lane, Swept};
use crate::record::{Millis, Timestamp};

/// Rows of a page: the most that every endpoint gives.
const PAGE: u32 = 100;
/// A window with more rows is split: what was read is kept before it is lost to a failure.
const MAX_WINDOW_ROWS: u64 = 10_000;
/// How far within the kept days windows begin: the service's clock goes on while it is asked.
const EDGE: Millis = Millis::mins(10);
/// How often within its length the lookback is read, where it takes more than a page.
const LOOKS: i64 = 5;

impl Lane {
    fn oldest(&self, now: Timestamp) -> Timestamp {
        self.pace.round(now - KEPT + EDGE)
    }

    fn walk(&self, from: Timestamp, to: Timestamp, began: Timestamp, limit: u32) -> Walk {
        let resolution = self.pace.resolution;
        Walk::new((from, to.max(from + resolution)), resolution, began, limit)
    }

    pub(super) fn plan_poll(&mut self, now: Timestamp) -> Walk {
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
        // Where much is read again and again, most polls leave it at what is new; what appears late is met
        // by the next one that looks back, as far as the one before it did.
        let looked = self.looked.filter(|_| self.awake);
        self.looks_back = looked.is_none_or(|(_, at)| at + Millis(self.pace.lookback.0 / LOOKS) <= now);
        let from = if self.looks_back {
            looked.map_or(place.start, |(start, _)| start.min(place.start)) - self.pace.lookback
        } else {
            place.start - self.pace.resolution
        };
        let from = self.pace.round(from).max(oldest);
        let to = self.width.map_or(end, |width| end.min(self.pace.round(place.to + width)));
        let mut walk = self.walk(from, to, now, PAGE);
        if self.looked.is_some() {
            walk.apart_from(self.pace.round(to - self.pace.settle));
        }
        walk
    }

    pub(super) fn plan_sweep(&mut self, now: Timestamp) -> Option<(Swept, Walk)> {
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

    /// A poll of less, where the window has too many rows for one reading.
    pub(super) fn narrower(&mut self, walk: &Walk, total: Option<u64>, date: Timestamp) -> Option<Walk> {
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
}
