//! The files of one source: which there are, how far each is read, and the next whole lines.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::cursor::{Place, Stamp};
use crate::record::scan::{MAX_LINE, Scanner};
use crate::record::{Locator, Millis, Timestamp};
use crate::source::file::{BOM, Form, open};
use crate::source::{Blocks, Input};

/// Files of one source; each stands in every cursor.
const MAX_FILES: usize = 1_000;
/// Files that are held open, so that what is written to one after it was renamed is still read.
const MAX_OPEN: usize = 64;
/// First bytes by which a file is known again.
const HEAD: u32 = 1_024;
/// A renamed file is still written to until its writer has opened the new one.
const GONE_KEPT: Millis = Millis::mins(5);
/// A file that cannot be read on and has not changed for so long is damaged, not half copied: nothing waits
/// for it any more.
const GIVE_UP: Millis = Millis::mins(10);
/// One that has not changed for so long, or is not whole after [`GIVE_UP`], is told of: copying takes a while.
const TELL: Millis = Millis::secs(30);
/// Least time until the same file is tried again: a packed one is read from its beginning.
const TRY_AGAIN: Millis = Millis::secs(10);
/// Remarks that are made once only.
const MAX_TOLD: usize = 1_000;

/// Lines that were read.
pub(super) struct Taken {
    /// Whole lines, each ended by a line feed.
    pub rows: String,
    /// Number of the file.
    pub from: usize,
    /// Its path.
    pub path: String,
    /// Lines of the file before the first of them; none where nobody has counted them.
    pub before: Option<u64>,
    /// Lines among them that were left out, counted from the first, which is 0.
    pub out: Vec<u64>,
}

impl Taken {
    /// Where the line is that `rows` has as number `row`, the first being 0.
    pub(super) fn place(&self, row: u64) -> String {
        let Some(before) = self.before else { return format!("`{}`", self.path) };
        let mut line = row;
        for out in &self.out {
            line += u64::from(*out <= line);
        }
        format!("`{}`, line {}", self.path, before + line + 1)
    }
}

/// Lines of a file, and which among them were left out.
#[derive(Debug, Default)]
struct Lines {
    text: String,
    out: Vec<u64>,
    /// Lines, those that were left out too.
    count: u64,
}

/// What is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Every file is read to its end.
    Nothing,
    /// A file that has shown no time yet.
    Unknown,
    /// A file that has come this far.
    At(Timestamp),
}

/// All files of one source.
#[derive(Debug)]
pub(super) struct Files {
    pattern: String,
    follow: bool,
    list: Vec<Known>,
    looked: bool,
    told: BTreeSet<String>,
}

/// One file.
#[derive(Debug)]
struct Known {
    place: Place,
    /// Held open where it is followed.
    file: Option<File>,
    /// Where it is read whole.
    blocks: Option<Reader>,
    /// None while it is too short to tell.
    form: Option<Form>,
    len: u64,
    /// Up to here there is no further whole line.
    seen: u64,
    /// Lines that were passed over before those that were read last.
    passed: u64,
    /// Time of its first row, where it was asked for.
    first: Option<Timestamp>,
    /// When it was read last.
    touched: Timestamp,
    /// Since when no path of the pattern leads to it.
    gone: Option<Timestamp>,
    /// It cannot be read on.
    stuck: Option<Stuck>,
    /// An earlier life has begun with it.
    begun: bool,
}

/// Why and since when a file cannot be read on. The other files of the source are.
#[derive(Debug)]
struct Stuck {
    why: String,
    /// Its content is at fault: as long as that is the same there is no use in another try.
    content: bool,
    /// As it was when it was tried last.
    stamp: Stamp,
    /// When that was.
    tried: Timestamp,
    /// Since when it is as it is.
    since: Timestamp,
    /// Since when it cannot be read on, however it changed.
    first: Timestamp,
    /// It is to be tried now.
    again: bool,
    /// It is told of.
    told: bool,
}

/// [`Blocks`], which hold a thread and have nothing to show.
struct Reader(Blocks);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("offset", &self.0.offset()).finish_non_exhaustive()
    }
}

/// What a path leads to.
struct Found {
    path: String,
    dev: u64,
    ino: u64,
    len: u64,
    changed: Timestamp,
}

impl Found {
    fn at(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let changed = Timestamp(meta.ctime() * 1_000 + meta.ctime_nsec() / 1_000_000);
        let path = path.to_str()?.to_owned();
        Some(Self { path, dev: meta.dev(), ino: meta.ino(), len: meta.len(), changed })
    }

    fn stamp(&self) -> Stamp {
        Stamp { len: self.len, changed: self.changed }
    }

    fn is(&self, place: &Place) -> bool {
        (self.dev, self.ino) == (place.dev, place.ino)
    }
}

/// Looking.
impl Files {
    pub(super) fn new(pattern: String, follow: bool) -> Self {
        Self { pattern, follow, list: Vec::new(), looked: false, told: BTreeSet::new() }
    }

    /// Goes on where an earlier life stopped.
    pub(super) fn resume(&mut self, places: Vec<Place>) {
        let begun = |place: &Place| !place.done && (place.offset > 0 || place.given_up.is_some());
        let known = |place: Place| Known { begun: begun(&place), ..Known::resumed(place) };
        self.list = places.into_iter().map(known).collect();
        self.looked = false;
    }

    pub(super) fn places(&self) -> Vec<Place> {
        self.list.iter().map(|known| known.place.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True where lines are at hand.
    pub(super) fn any_unread(&self) -> bool {
        self.list.iter().any(|known| known.is_unread(self.follow))
    }

    /// Files that cannot be read on, and why.
    pub(super) fn broken(&self) -> Option<String> {
        let mut broken = self.list.iter().filter_map(Known::broken);
        let first = broken.next()?;
        Some(match broken.count() {
            0 => first,
            1 => format!("{first} (and 1 more file)"),
            more => format!("{first} (and {more} more files)"),
        })
    }

    /// True where a file cannot be read on, whether it is told of or not.
    pub(super) fn any_stuck(&self) -> bool {
        self.list.iter().any(|known| known.stuck.is_some())
    }

    /// How far the file that is furthest behind has come, of those that are waited for.
    pub(super) fn furthest_behind(&self) -> Behind {
        let open = |known: &&Known| match &known.stuck {
            Some(stuck) => known.place.given_up != Some(stuck.stamp),
            None => known.is_unread(self.follow),
        };
        let times: Vec<Option<Timestamp>> = self.list.iter().filter(open).map(Known::time).collect();
        match times.iter().min() {
            None => Behind::Nothing,
            Some(None) => Behind::Unknown,
            Some(Some(time)) => Behind::At(*time),
        }
    }

    /// Finds the files that there are now, those that were renamed, cut short or replaced among them.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        scanner: &Scanner,
        remarks: &mut Vec<String>,
    ) -> Result<(), String> {
        self.look_at_stuck(now, remarks);
        if self.looked && !self.follow {
            return Ok(());
        }
        let found = self.found(remarks)?;
        self.looked = true;
        for file in &found {
            match self.list.iter_mut().find(|known| file.is(&known.place)) {
                Some(known) => known.is_there(file, self.follow, remarks),
                None => self.list.push(Known::new(file, now)),
            }
        }
        for known in &mut self.list {
            if !found.iter().any(|file| file.is(&known.place)) {
                known.is_not_there(now);
            }
        }
        let follow = self.follow;
        self.list.retain(|known| {
            let lost = known.gone.is_some() && known.file.is_none() && !known.place.done;
            let replaced = || found.iter().any(|file| file.path == known.place.path);
            if lost && follow && !replaced() {
                remarks.push(known.is_gone());
            }
            !known.is_over(now) && !lost
        });
        self.close_idle();
        let unread = self.list.iter().filter(|known| known.is_unread(follow)).count();
        if unread > 1 {
            self.list
                .iter_mut()
                .filter(|known| known.time().is_none())
                .for_each(|known| known.probe(scanner));
        }
        Ok(())
    }

    fn found(&mut self, remarks: &mut Vec<String>) -> Result<Vec<Found>, String> {
        let paths = glob::glob(&self.pattern).map_err(|error| error.to_string())?;
        let mut found: Vec<Found> = Vec::new();
        for path in paths {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    let (path, error) = (error.path().display().to_string(), error.error().to_string());
                    self.once(format!("cannot look into `{path}`: {error}"), remarks);
                    continue;
                }
            };
            let Some(file) = Found::at(&path) else { continue };
            if found.len() == MAX_FILES {
                let message =
                    format!("more than {MAX_FILES} files match; the rest waits until some are moved away");
                self.once(message, remarks);
                break;
            }
            // Two names of one file are one file.
            if !found.iter().any(|other| (other.dev, other.ino) == (file.dev, file.ino)) {
                found.push(file);
            }
        }
        Ok(found)
    }

    fn once(&mut self, remark: String, remarks: &mut Vec<String>) {
        if self.told.len() < MAX_TOLD && self.told.insert(remark.clone()) {
            remarks.push(remark);
        }
    }

    /// Tries those again that have changed, and waits no longer for those that have not for long.
    fn look_at_stuck(&mut self, now: Timestamp, remarks: &mut Vec<String>) {
        let follow = self.follow;
        self.list.retain_mut(|known| {
            let Some(stuck) = &mut known.stuck else { return true };
            let here = Found::at(Path::new(&known.place.path)).filter(|file| file.is(&known.place));
            // Where files are followed, it is looked for under other names.
            if here.is_none() && !follow {
                remarks.push(known.is_gone());
                return false;
            }
            // A clock that was set back must not stop it.
            for at in [&mut stuck.tried, &mut stuck.since, &mut stuck.first] {
                *at = now.min(*at);
            }
            let changed = here.as_ref().is_some_and(|file| file.stamp() != stuck.stamp);
            stuck.again = (changed || !stuck.content) && now - stuck.tried >= TRY_AGAIN;
            stuck.told |= now - stuck.since >= TELL || now - stuck.first >= GIVE_UP;
            if let Some(file) = here {
                known.len = file.len;
            }
            if !changed && now - stuck.since >= GIVE_UP && known.place.given_up != Some(stuck.stamp) {
                known.place.given_up = Some(stuck.stamp);
                remarks.push(format!("`{}` is waited for no longer: {}", known.place.path, stuck.why));
            }
            true
        });
    }

    /// Lets go of files that were read longest ago.
    fn close_idle(&mut self) {
        let mut open: Vec<&mut Known> = self.list.iter_mut().filter(|known| known.file.is_some()).collect();
        if open.len() > MAX_OPEN {
            open.sort_by_key(|known| known.touched);
            let surplus = open.len() - MAX_OPEN;
            open.into_iter().take(surplus).for_each(|known| known.file = None);
        }
    }
}

/// Reading.
impl Files {
    /// About `most` bytes of whole lines of the file that is furthest behind; none where there are none. One
    /// that cannot be read on holds up no other.
    pub(super) fn read(&mut self, most: usize, now: Timestamp, remarks: &mut Vec<String>) -> Option<Taken> {
        loop {
            let follow = self.follow;
            let unread = self.list.iter().enumerate().filter(|(_, known)| known.is_unread(follow));
            let next = unread.min_by_key(|(_, known)| (known.time(), known.place.path.clone()));
            let from = next.map(|(from, _)| from)?;
            let known = &mut self.list[from];
            known.touched = now;
            let before = known.place.lines;
            let Lines { text: rows, out, .. } = match known.read(most, follow, remarks) {
                Ok(rows) => rows,
                Err(error) => {
                    known.is_stuck(&error, now);
                    continue;
                }
            };
            known.is_read();
            if !rows.is_empty() {
                // Its head may have been passed over, or an old line that has no end.
                let before = before.map(|before| before + std::mem::take(&mut known.passed));
                return Some(Taken { rows, from, path: known.place.path.clone(), before, out });
            }
        }
    }

    /// The newest time of what was read from file number `from`.
    pub(super) fn has_read(&mut self, from: usize, newest: Option<Timestamp>) {
        if let Some(known) = self.list.get_mut(from) {
            known.place.newest = known.place.newest.max(newest);
        }
    }
}

impl Known {
    fn new(file: &Found, now: Timestamp) -> Self {
        let place = Place {
            path: file.path.clone(),
            dev: file.dev,
            ino: file.ino,
            head: (digest(&[]), 0),
            offset: 0,
            lines: Some(0),
            passing: false,
            done: false,
            newest: None,
            given_up: None,
        };
        Self { len: file.len, touched: now, ..Self::resumed(place) }
    }

    fn resumed(place: Place) -> Self {
        Self {
            place,
            file: None,
            blocks: None,
            form: None,
            len: 0,
            seen: 0,
            passed: 0,
            first: None,
            touched: Timestamp::MIN,
            gone: None,
            stuck: None,
            begun: false,
        }
    }

    /// How far it has come in time.
    fn time(&self) -> Option<Timestamp> {
        self.place.newest.or(self.first)
    }

    fn is_unread(&self, follow: bool) -> bool {
        let more = match (follow, self.form) {
            // It is read whole.
            (_, Some(Form::Gzip | Form::Zstd)) | (false, Some(Form::Plain) | None) => true,
            (true, Some(Form::Plain) | None) => self.len > self.place.offset.max(self.seen),
        };
        more && !self.place.done && self.stuck.as_ref().is_none_or(|stuck| stuck.again)
    }

    /// It cannot be read on, now.
    fn is_stuck(&mut self, error: &io::Error, now: Timestamp) {
        self.blocks = None;
        let here = Found::at(Path::new(&self.place.path));
        let stamp = here.map_or(Stamp { len: self.len, changed: Timestamp::MIN }, |file| file.stamp());
        let before = self.stuck.take();
        let same = before.as_ref().filter(|before| before.stamp == stamp);
        self.stuck = Some(Stuck {
            why: error.to_string(),
            // What the system says is the system's.
            content: error.raw_os_error().is_none(),
            stamp,
            tried: now,
            since: same.map_or(now, |before| before.since),
            first: before.as_ref().map_or(now, |before| before.first),
            again: false,
            // An earlier life has told of it.
            told: self.begun || before.is_some_and(|before| before.told),
        });
    }

    /// Lines of it were read. Of a packed file the fault may be yet to come.
    fn is_read(&mut self) {
        if self.form == Some(Form::Plain) || self.place.done {
            (self.stuck, self.place.given_up) = (None, None);
        }
    }

    /// Why it cannot be read on, where that is told.
    fn broken(&self) -> Option<String> {
        let stuck = self.stuck.as_ref().filter(|stuck| stuck.told)?;
        let waits = if self.place.given_up == Some(stuck.stamp) {
            "rules wait for it no longer"
        } else {
            "rules wait for it, for 10 min at most"
        };
        Some(format!("cannot read `{}`: {} ({waits})", self.place.path, stuck.why))
    }

    fn is_gone(&self) -> String {
        format!("`{}` is gone; what came after byte {} is not read", self.place.path, self.place.offset)
    }

    /// True for a file that is gone and read.
    fn is_over(&self, now: Timestamp) -> bool {
        let idle = self.gone.is_some_and(|since| now - since.max(self.touched) >= GONE_KEPT);
        self.gone.is_some() && (self.place.done || idle && self.len <= self.place.offset.max(self.seen))
    }

    /// A path of the pattern leads to it.
    fn is_there(&mut self, file: &Found, follow: bool, remarks: &mut Vec<String>) {
        self.gone = None;
        self.place.path.clone_from(&file.path);
        self.tell_form(file.len);
        let whole = !follow || matches!(self.form, Some(Form::Gzip | Form::Zstd)) || self.place.done;
        if file.len < self.place.offset && !whole {
            self.begin_anew("was cut short", remarks);
        }
        self.len = file.len;
    }

    /// One that an earlier life was reading may be packed: its place is one in what it unpacks to.
    fn tell_form(&mut self, len: u64) {
        let mut first = [0; 4];
        if self.form.is_some() || len >= self.place.offset {
            return;
        }
        if let Ok(read) = open(Path::new(&self.place.path)).and_then(|file| read_at(&file, &mut first, 0)) {
            self.form = Some(Form::of(&first[..read])).filter(|form| *form != Form::Plain);
        }
    }

    /// No path of the pattern leads to it: it was renamed or deleted. What is held open is read on;
    /// what is not is looked for where it was. One that cannot be read on was taken away for that.
    fn is_not_there(&mut self, now: Timestamp) {
        self.gone.get_or_insert(now);
        if self.stuck.is_some() {
            self.file = None;
            return;
        }
        if self.place.done {
            return;
        }
        if self.file.is_none() {
            let folder = Path::new(&self.place.path).parent().map(Path::to_owned).unwrap_or_default();
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            let names = folder.read_dir().into_iter().flatten().flatten().take(MAX_FILES * 10);
            let here = names
                .map(|entry| entry.path())
                .find(|path| Found::at(path).is_some_and(|file| file.is(&self.place)));
            if let Some(path) = here {
                self.file = open(&path).ok();
                self.place.path = path.to_string_lossy().into_owned();
            }
        }
        if let Some(meta) = self.file.as_ref().and_then(|file| file.metadata().ok()) {
            self.len = meta.len();
        }
    }

    fn begin_anew(&mut self, why: &str, remarks: &mut Vec<String>) {
        remarks.push(format!("`{}` {why}: it is read from its beginning", self.place.path));
        let place = &mut self.place;
        (place.offset, place.passing, place.done, place.head) = (0, false, false, (digest(&[]), 0));
        place.lines = Some(0);
        (self.seen, self.form, self.file, self.blocks) = (0, None, None, None);
    }

    /// Looks for the time of its first row.
    fn probe(&mut self, scanner: &Scanner) {
        let blocks = Input::open(Path::new(&self.place.path)).blocks();
        if let Some(Ok(block)) = blocks.ok().and_then(|mut blocks| blocks.next()) {
            self.first = block.scan(scanner, Locator(0)).rows.first().map(|row| row.start);
        }
    }

    fn read(&mut self, most: usize, follow: bool, remarks: &mut Vec<String>) -> io::Result<Lines> {
        if self.form.is_none() {
            let mut first = [0; 4];
            let len = read_at(self.opened()?, &mut first, 0)?;
            let told = len == first.len() || first[..len].contains(&b'\n') || !follow;
            if !told {
                self.seen = self.len;
                return Ok(Lines::default());
            }
            self.form = Some(Form::of(&first[..len]));
        }
        if follow && self.form == Some(Form::Plain) {
            self.read_on(most, remarks)
        } else {
            self.file = None;
            self.read_whole(most, remarks)
        }
    }

    fn opened(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.file = Some(open(Path::new(&self.place.path))?);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whole lines of a file that grows.
    fn read_on(&mut self, most: usize, remarks: &mut Vec<String>) -> io::Result<Lines> {
        if !self.is_the_same()? {
            self.begin_anew("holds something else now", remarks);
            return Ok(Lines::default());
        }
        let offset = self.place.offset;
        let want = usize::try_from(self.len - offset).unwrap_or(most).min(most + 1);
        let mut bytes = vec![0; want];
        let len = read_at(self.opened()?, &mut bytes, offset)?;
        bytes.truncate(len);
        let begin = if offset == 0 && bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let mut lines = begin..bytes.len();
        if self.place.passing {
            match memchr::memchr(b'\n', &bytes) {
                Some(end) => {
                    (lines.start, self.place.passing) = (end + 1, false);
                    self.passed += 1;
                }
                None => lines.start = bytes.len(),
            }
        }
        match memchr::memrchr(b'\n', &bytes[lines.clone()]) {
            Some(last) => lines.end = lines.start + last + 1,
            None if lines.len() > MAX_LINE => {
                let at = offset + lines.start as u64;
                remarks.push(format!(
                    "`{}` at byte {at}: a line of more than 4 MiB is left out",
                    self.place.path
                ));
                self.place.passing = true;
                lines.start = lines.end;
            }
            None => lines.end = lines.start,
        }
        let at = offset + lines.start as u64;
        self.place.offset = offset + lines.end as u64;
        self.seen = offset + bytes.len() as u64;
        // A buffer that was full has more behind it.
        if bytes.len() > most {
            self.seen = self.place.offset;
        } else if len < want {
            self.len = self.seen;
        }
        self.remember_head()?;
        bytes.truncate(lines.end);
        bytes.drain(..lines.start);
        let read = text_of(bytes, at, &self.place.path, remarks);
        self.place.lines = self.place.lines.map(|lines| lines + self.passed + read.count);
        if read.text.is_empty() {
            self.passed = 0;
        }
        Ok(read)
    }

    /// True where the first bytes are those that were read.
    fn is_the_same(&mut self) -> io::Result<bool> {
        let (digest_then, len) = self.place.head;
        let (dev, ino) = (self.place.dev, self.place.ino);
        let meta = self.opened()?.metadata()?;
        Ok((meta.dev(), meta.ino()) == (dev, ino) && self.head(len)? == digest_then)
    }

    fn remember_head(&mut self) -> io::Result<()> {
        let len = u32::try_from(self.place.offset).unwrap_or(HEAD).min(HEAD);
        if len > self.place.head.1 {
            self.place.head = (self.head(len)?, len);
        }
        Ok(())
    }

    fn head(&mut self, len: u32) -> io::Result<u64> {
        let mut first = vec![0; len as usize];
        let read = read_at(self.opened()?, &mut first, 0)?;
        Ok(digest(&first[..read]))
    }

    /// The next lines of a file that is read whole; at its end it is done.
    fn read_whole(&mut self, most: usize, remarks: &mut Vec<String>) -> io::Result<Lines> {
        if self.blocks.is_none() {
            let blocks = Input::open(Path::new(&self.place.path)).blocks();
            self.blocks = Some(Reader(blocks.map_err(|error| error.source)?));
        }
        let path = self.place.path.clone();
        let mut rows = Lines::default();
        while let Some(Reader(blocks)) = &mut self.blocks {
            let Some(block) = blocks.next() else {
                self.blocks = None;
                self.place.done = true;
                break;
            };
            let block = match block {
                Ok(block) => block,
                // What was read before is told first; the fault comes again.
                Err(_) if !rows.text.is_empty() => {
                    self.blocks = None;
                    break;
                }
                Err(error) => return Err(error.source),
            };
            for fault in &block.faults {
                remarks.push(format!(
                    "`{path}` at byte {}: a line of more than 4 MiB is left out",
                    fault.locator.0
                ));
            }
            // What an earlier life has read.
            let old = self.place.offset.saturating_sub(block.offset);
            let old = usize::try_from(old).unwrap_or(usize::MAX).min(block.bytes.len());
            let at = block.offset + old as u64;
            let bytes = block.bytes[old..].to_vec();
            self.place.offset = self.place.offset.max(at + bytes.len() as u64);
            let more = text_of(bytes, at, &path, remarks);
            rows.out.extend(more.out.iter().map(|out| rows.count + out));
            rows.text.push_str(&more.text);
            // A line that is too long stands in no block.
            rows.count += more.count + block.faults.len() as u64;
            if rows.text.len() >= most / 2 {
                break;
            }
        }
        self.place.lines = self.place.lines.map(|lines| lines + rows.count);
        if !rows.text.is_empty() && !rows.text.ends_with('\n') {
            rows.text.push('\n');
        }
        Ok(rows)
    }
}

/// Lines as text; those that are none are left out and told of together.
fn text_of(bytes: Vec<u8>, at: u64, path: &str, remarks: &mut Vec<String>) -> Lines {
    let count = memchr::memchr_iter(b'\n', &bytes).count() as u64;
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Lines { text, out: Vec::new(), count },
        Err(error) => error.into_bytes(),
    };
    let (mut text, mut offset, mut bad, mut out) = (String::new(), at, None, Vec::new());
    for (number, line) in (0..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if let Ok(line) = std::str::from_utf8(line) {
            text.push_str(line);
        } else {
            bad = bad.map(|(first, count)| (first, count + 1)).or(Some((offset, 1_u64)));
            out.push(number);
        }
        offset += line.len() as u64;
    }
    if let Some((first, count)) = bad {
        remarks.push(format!(
            "`{path}`: {count} lines are not UTF-8 and are left out, the first at byte {first}"
        ));
    }
    Lines { text, out, count }
}

/// Reads until `into` is full or the file ends.
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match file.read_at(&mut into[len..], offset + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
