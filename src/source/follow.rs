//! Files that the daemon reads: followed as they grow, or read once to their end.
//!
//! One source is one lane, whatever its pattern matches. Of a plain file only whole lines are taken;
//! a half-written last line waits. Packed files are read whole, once. A file is known by its place
//! on the disk (device and inode) and its first bytes, not by its name: one that was renamed goes on
//! where it was, one that was cut short or replaced begins anew. The file that is furthest behind is
//! read first, so that what several files hold comes nearly by time. One that cannot be read on, because it
//! is packed and breaks off, holds up no other: it is told of and read on once it changes. For some minutes,
//! in which it may still be copied, the watermark waits for it.
//!
//! In followed files now is the daemon's clock. Rows dated more than five minutes ahead of it are held,
//! in the cursor too, and told of, until their time has come. The watermark is the newest time less
//! `settle`, and never within `settle` of the clock, so that no row can carry it past those to come;
//! once nothing has come for so long, it moves on with the clock, by what that went on from look to look:
//! a clock that leaps carries it nowhere. Where it is ahead of the clock all the same, because rows were
//! dated by a clock that was ahead, that is told. In files that are read once, the rows
//! say what now is: one dated ahead of all others is held until another confirms its time. Reading
//! blocks for as long as a few megabytes take, and waits for nobody.

mod cursor;
mod files;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Options, Secrets, fields};
use crate::record::fact::Facts;
use crate::record::scan::{Mapping, Origin, Scanner, want_essentials};
use crate::record::{Batch, Columns, Locator, Millis, Timestamp};
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;

use super::live::{Faulty, LaneSpec, LiveSource, Reading, Step, Stepping, Trouble};
use super::now::AHEAD;
use super::{Kind, NowGuard};
use cursor::Cursor;
use files::{Behind, Files, Taken};

/// Files that the daemon reads.
pub const KIND: Kind = Kind {
    name: "file",
    keys: &KEYS,
    example: "name: archive
kind: file
path: \"in/*.ndjson.zst\"
follow: true
every: 1s
settle: 60s
fields: {user_name: account, start_time: ts}
",
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a file source",
    about: "files of rows, one JSON object a line: plain, gzip or zstd",
    open: Open::Closed,
    keys: &[
        need(
            "path",
            Takes::Text,
            "a file, or a pattern with `*`, `?`, `[…]` and `**`; relative to the configuration",
            "path: \"in/*.ndjson.zst\"",
        ),
        may(
            "follow",
            Takes::Flag,
            "files are read on as they grow, and new ones are found; else each is read once",
            "follow: true",
        ),
        may("every", Takes::Duration, "time between looks at followed files", "every: 1s"),
        may("settle", Takes::Duration, "how far rows may be out of order", "settle: 60s"),
        may(
            "fields",
            Takes::Map(&fields::FIELDS),
            "how foreign rows name what rules name",
            "fields: {user_name: account, start_time: ts}",
        ),
    ],
};

const EVERY: Millis = Millis::secs(1);
const SETTLE: Millis = Millis::secs(60);
/// Rows of one reading.
const MAX_ROWS: usize = 4 << 20;
/// From one look to the next the clock goes on by `every` and this at most: what is more was no time that
/// passed, but a clock that was set or a machine that slept.
const LOOK_LATE: Millis = Millis::mins(1);
/// Least time between two readings that only move the watermark on: each is kept.
const IDLE_STEP: Millis = Millis::secs(10);
/// Rows that are held, and their bytes: they stand in every cursor.
const MAX_HELD: usize = 200;
const MAX_HELD_BYTES: usize = 256 << 10;
/// While rows come that are ahead of now, it is told so often.
const AHEAD_TOLD_EVERY: Millis = Millis::mins(10);
/// Remarks of one reading.
const MAX_REMARKS: usize = 20;
/// Time until a look after files that could not be read.
const AFTER_TROUBLE: Millis = Millis::secs(10);
/// How long nothing is said once all is read for good.
const DONE: Millis = Millis::hours(1);

fn build(
    name: &str,
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Box<dyn LiveSource>> {
    let before = problems.errors();
    let path = options.text(problems, "path");
    let follow = options.flag(problems, "follow").unwrap_or(false);
    let every = options.duration_in(problems, "every", (Millis::secs(1), Millis::hours(1)));
    let settle = options.duration_in(problems, "settle", (Millis::secs(1), Millis::days(1)));
    let mapping = match options.node("fields") {
        Some(node) => fields::mapping(node, problems)?,
        None => Mapping::default(),
    };
    let path = path?;
    if let Err(error) = glob::Pattern::new(&path) {
        let hint = "`[` and `*` mean something here: write `[[]` for a bracket that stands for itself";
        options.fault(problems, "path", format!("`{path}` is no pattern: {}", error.msg), hint);
    }
    if problems.errors() > before {
        return None;
    }
    let folder = glob::Pattern::escape(&secrets.folder.to_string_lossy());
    let pattern = PathBuf::from(folder).join(&path);
    let settings = Settings {
        lane: format!("{name}/{path}"),
        pattern: pattern.to_string_lossy().into_owned(),
        shown: path,
        follow,
        every: every.unwrap_or(EVERY),
        settle: settle.unwrap_or(SETTLE),
        mapping,
    };
    Some(Box::new(Follow::new(settings)))
}

/// What a source is built from.
#[derive(Debug)]
struct Settings {
    lane: String,
    /// With the configuration's folder before it.
    pattern: String,
    /// As it is spelt.
    shown: String,
    follow: bool,
    every: Millis,
    settle: Millis,
    mapping: Mapping,
}

/// One source of files.
#[derive(Debug)]
struct Follow {
    settings: Settings,
    scanner: Scanner,
    guard: NowGuard,
    files: Files,
    /// The watermark that was told last.
    told: Option<Timestamp>,
    /// This life has given a reading: rules wait for the first one, rows or none.
    given: bool,
    /// How long nothing has come, by what the daemon's clock went on from step to step.
    quiet: Millis,
    /// What the clock said at the last step.
    clock_said: Option<Timestamp>,
    /// When the files were looked at last.
    looked: Option<Timestamp>,
    /// Where the next block's rows are, for the guard: counts bytes over all files.
    read: u64,
    /// Held rows that stood in the cursor, to be judged again.
    again: Vec<String>,
    /// Rows that go out with the next reading.
    pending: String,
    /// Where those stand that make no record.
    faulty: Vec<Faulty>,
    /// No look before, after a trouble.
    rest: Option<Timestamp>,
    /// True once all is read that ever will be.
    over: bool,
    remarks: Vec<String>,
    /// Why there is nothing to read yet, and whether that was told.
    nothing: (Option<String>, bool),
    ahead: Ahead,
}

/// Rows that were set aside because they are ahead of now, and have not been told of.
#[derive(Debug, Default)]
struct Ahead {
    rows: u64,
    /// Of those, for good: more were held than can be.
    left_out: u64,
    first: Option<Timestamp>,
    told: Option<Timestamp>,
}

impl Follow {
    fn new(settings: Settings) -> Self {
        let mut columns = Columns::default();
        want_essentials(&mut columns);
        let origin = Origin::file(settings.mapping.clone());
        let scanner = Scanner::new(columns.freeze(), Arc::new(Facts::default()), origin);
        Self {
            files: Files::new(settings.pattern.clone(), settings.follow),
            guard: judge_of_now(settings.follow, None),
            settings,
            scanner,
            told: None,
            given: false,
            quiet: Millis::ZERO,
            clock_said: None,
            looked: None,
            read: 0,
            again: Vec::new(),
            pending: String::new(),
            faulty: Vec::new(),
            rest: None,
            over: false,
            remarks: Vec::new(),
            nothing: (None, false),
            ahead: Ahead::default(),
        }
    }

    /// The next thing, at once.
    fn next(&mut self, now: Timestamp) -> Step {
        self.time_passes(now);
        let released = lines_of(self.guard.at(now).as_ref());
        self.pending.push_str(&released);
        if !self.again.is_empty() {
            let rows = std::mem::take(&mut self.again).join("\n") + "\n";
            self.pending = self.judge(&rows, None).0;
        }
        // A clock that was set back must not stop it.
        if let Some(rest) = self.rest.take_if(|rest| now < *rest && *rest - now <= AFTER_TROUBLE) {
            self.rest = Some(rest);
            return Step::Wait(rest - now);
        }
        self.rest = None;
        if !self.files.any_unread()
            && let Some(wait) = self.wait_until_looking(now)
        {
            return Step::Wait(wait);
        }
        if !self.files.any_unread() {
            let first = self.looked.is_none();
            self.looked = Some(now);
            if let Err(fault) = self.files.look(now, &self.scanner, &mut self.remarks) {
                return self.failed(now, fault);
            }
            if first && self.files.is_empty() {
                let message = format!("no file matches `{}`", self.settings.shown);
                if !self.settings.follow {
                    (self.looked, self.files) = (None, Files::new(self.settings.pattern.clone(), false));
                    return self.failed(now, message);
                }
                self.nothing.0 = Some(format!("{message} yet"));
            }
            if !self.files.is_empty() {
                self.nothing.0 = None;
            }
        }
        let Some(taken) = self.files.read(MAX_ROWS, now, &mut self.remarks) else {
            return self.idle(now);
        };
        self.quiet = Millis::ZERO;
        let (rows, newest) = self.judge(&taken.rows, Some(&taken));
        self.files.has_read(taken.from, newest);
        let watermark = self.watermark(now);
        self.tell_ahead(now);
        Step::Read(Box::new(self.reading(rows, watermark)))
    }

    /// Sets aside the rows that are ahead of now, and lets go of those whose time has come: the rows
    /// to be taken in, and the newest time among them.
    fn judge(&mut self, rows: &str, taken: Option<&Taken>) -> (String, Option<Timestamp>) {
        let base = self.read;
        self.read += rows.len() as u64;
        let mut batch = self.scanner.scan(rows.to_owned(), Locator(base));
        self.faulty.extend(taken.iter().flat_map(|taken| faulty(&batch, taken, base)));
        let released = self.guard.admit(&mut batch);
        let newest = batch.rows.iter().filter(|row| !row.held).map(|row| row.start).max();
        let mut kept = std::mem::take(&mut self.pending);
        kept.push_str(&lines_of(released.as_ref()));
        let mut held = batch.rows.iter().filter(|row| row.held).map(|row| row.locator.0).peekable();
        let mut offset = base;
        for line in rows.split_inclusive('\n') {
            let here = offset;
            offset += line.len() as u64;
            if held.next_if(|at| (here..offset).contains(at)).is_none() {
                kept.push_str(line);
            }
        }
        let set_aside = batch.rows.iter().filter(|row| row.held);
        self.ahead.rows += set_aside.clone().count() as u64;
        self.ahead.first = self.ahead.first.or_else(|| set_aside.map(|row| row.start).next());
        while self.guard.held_lines().count() > MAX_HELD || self.held_bytes() > MAX_HELD_BYTES {
            if self.guard.forget_furthest().is_none() {
                break;
            }
            self.ahead.left_out += 1;
        }
        (kept, newest)
    }

    /// Tells of rows that were set aside, now and then.
    fn tell_ahead(&mut self, now: Timestamp) {
        let Ahead { rows, left_out, first, told } = std::mem::take(&mut self.ahead);
        let again = told.is_none_or(|told| now < told || now - told >= AHEAD_TOLD_EVERY);
        // In files that are read once, others may yet confirm them; the end of the files tells.
        let due = rows > 0 && again && (self.settings.follow || left_out > 0);
        let Some(first) = first.filter(|_| due) else {
            self.ahead = Ahead { rows, left_out, first, told };
            return;
        };
        self.ahead.told = Some(now);
        let whose = if self.settings.follow { "now" } else { "all others" };
        let (rows, are) = if rows == 1 { ("1 row".into(), "is") } else { (format!("{rows} rows"), "are") };
        let more = if left_out > 0 {
            format!(" {left_out} dated furthest ahead are left out: no more than {MAX_HELD} wait")
        } else {
            String::new()
        };
        self.remarks.push(format!(
            "{rows} of `{}` {are} dated more than 5 min ahead of {whose}, the first {first}, and set aside until then; is the clock or the zone of what writes them right?{more}",
            self.settings.shown
        ));
    }

    fn held_bytes(&self) -> usize {
        self.guard.held_lines().map(str::len).sum()
    }

    fn time_passes(&mut self, now: Timestamp) {
        let went_on = self.clock_said.replace(now).map_or(Millis::ZERO, |said| now - said);
        let most = self.settings.every + LOOK_LATE;
        self.quiet = self.quiet + went_on.clamp(Millis::ZERO, most);
    }

    /// Nothing more is there now.
    fn idle(&mut self, now: Timestamp) -> Step {
        let (settle, since) = (self.settings.settle, self.quiet);
        let quiet = since >= settle;
        let mut rows = std::mem::take(&mut self.pending);
        if !self.settings.follow && self.files.furthest_behind() == Behind::Nothing && !self.over {
            self.over = true;
            let (released, faults) = self.guard.finish();
            rows.push_str(&lines_of(released.as_ref()));
            if !faults.is_empty() {
                let count = faults.len();
                self.remarks.push(format!("{count} rows are dated ahead of all others and left out"));
            }
        } else if quiet && !self.settings.follow && self.guard.newest().is_none() {
            // Nothing will confirm the only rows there are.
            rows.push_str(&lines_of(self.guard.finish().0.as_ref()));
        }
        let watermark = if self.over {
            self.guard.last()
        } else if self.settings.follow && quiet && self.files.furthest_behind() == Behind::Nothing {
            let idle = self.guard.newest().map(|newest| (newest + since - settle).min(now - settle));
            idle.max(self.told)
        } else {
            self.watermark(now)
        };
        self.tell_ahead(now);
        // Each reading is kept: what only moves on with the clock is not told every second.
        let least = if quiet && self.settings.follow { IDLE_STEP } else { Millis(1) };
        let moves = match (watermark, self.told) {
            (Some(watermark), Some(told)) => watermark - told >= least,
            (watermark, None) => watermark.is_some(),
            (None, Some(_)) => false,
        };
        let told = self.nothing.0.is_some() == self.nothing.1;
        if rows.is_empty() && !moves && self.remarks.is_empty() && told && self.given {
            return Step::Wait(self.wait_until_looking(now).unwrap_or(self.settings.every));
        }
        let watermark = watermark.filter(|_| moves);
        Step::Read(Box::new(self.reading(rows, watermark)))
    }

    /// How long it is until the files are looked at again; none: now.
    fn wait_until_looking(&self, now: Timestamp) -> Option<Millis> {
        let looked = self.looked?;
        if self.over && !self.files.any_stuck() {
            return Some(DONE);
        }
        if !self.settings.follow && !self.over {
            return None;
        }
        let next = looked + self.settings.every;
        // A clock that was set back must not stop it.
        (now < next && now >= looked).then(|| next - now)
    }

    /// Complete up to here, while rows come: no further than the file that is furthest behind.
    fn watermark(&self, now: Timestamp) -> Option<Timestamp> {
        let newest = self.guard.newest()?;
        let settle = self.settings.settle;
        let behind = match self.files.furthest_behind() {
            Behind::Unknown => return self.told,
            Behind::At(behind) => behind.min(newest),
            Behind::Nothing => newest,
        };
        // What comes by a clock like ours is complete up to now at most.
        let behind = if self.settings.follow { behind.min(now) } else { behind };
        Some(behind - settle).max(self.told)
    }

    fn reading(&mut self, rows: String, watermark: Option<Timestamp>) -> Reading {
        self.told = watermark.max(self.told);
        self.given = true;
        self.nothing.1 = self.nothing.0.is_some();
        let held = self.guard.held_lines().map(str::to_owned).collect::<Vec<_>>();
        let ahead = held.len() as u64;
        let cursor =
            Cursor { files: self.files.places(), newest: self.guard.newest(), told: self.told, held };
        Reading {
            lane: 0,
            rows,
            twins: Vec::new(),
            watermark: self.told.map(|told| (told, told)),
            cursor: cursor.to_json(),
            now: self.guard.newest(),
            ahead,
            lateness: None,
            behind: self.files.any_unread(),
            nothing: self.nothing.0.clone(),
            remarks: self.some_remarks(),
            faulty: std::mem::take(&mut self.faulty),
        }
    }

    fn some_remarks(&mut self) -> Vec<String> {
        let mut remarks = std::mem::take(&mut self.remarks);
        if remarks.len() > MAX_REMARKS {
            let more = remarks.len() - MAX_REMARKS;
            remarks.truncate(MAX_REMARKS);
            remarks.push(format!("and {more} more remarks on files"));
        }
        remarks
    }

    fn failed(&mut self, now: Timestamp, fault: String) -> Step {
        self.rest = Some(now + AFTER_TROUBLE);
        Step::Failed { lane: 0, trouble: Trouble::Passing(fault) }
    }
}

/// What says which rows are ahead of now, where no time newer than `newest` is known.
fn judge_of_now(follow: bool, newest: Option<Timestamp>) -> NowGuard {
    let guard = NowGuard::resumed(newest);
    if follow { guard.by_clock() } else { guard }
}

/// Rows of `batch` that make no record, and where they stand in their file. `base` is where it begins.
fn faulty(batch: &Batch, taken: &Taken, base: u64) -> Vec<Faulty> {
    let (mut row, mut counted) = (0, 0);
    let mut found = Vec::with_capacity(batch.faults.len());
    for fault in &batch.faults {
        let at = usize::try_from(fault.locator.0.saturating_sub(base)).unwrap_or(usize::MAX);
        let Some(before) = taken.rows.as_bytes().get(counted..at) else { continue };
        row += memchr::memchr_iter(b'\n', before).count() as u64;
        counted = at;
        found.push(Faulty { excerpt: fault.excerpt.clone(), place: taken.place(row) });
    }
    found
}

/// The lines of rows that are let go of.
fn lines_of(batch: Option<&Batch>) -> String {
    let batch = batch.into_iter();
    batch.flat_map(|batch| (0..batch.rows.len()).flat_map(|number| [batch.line(number), "\n"])).collect()
}

impl LiveSource for Follow {
    fn lanes(&self) -> Vec<LaneSpec> {
        let origin = Origin::file(self.settings.mapping.clone());
        vec![LaneSpec { name: self.settings.lane.clone(), origin }]
    }

    fn resume(&mut self, _lane: usize, cursor: &str) -> Result<(), String> {
        let cursor = Cursor::of_json(cursor)?;
        self.told = cursor.told;
        self.again = cursor.held;
        self.guard = judge_of_now(self.settings.follow, cursor.newest);
        self.files.resume(cursor.files);
        Ok(())
    }

    fn step(&mut self, now: Timestamp) -> Stepping<'_> {
        Box::pin(async move { self.next(now) })
    }

    fn broken(&self) -> Option<String> {
        self.files.broken()
    }

    fn complete_ahead(&self, now: Timestamp) -> Option<Timestamp> {
        self.told.filter(|told| self.settings.follow && *told > now + AHEAD)
    }
}
