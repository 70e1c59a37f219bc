//! Files of lines: plain, gzip or zstd, told by their first bytes, or standard input.
//!
//! Reading is in blocks of whole lines, in memory bounded by the longest line that is accepted,
//! whatever the file holds; places are counted in the text as it is unpacked. Unpacking runs on a
//! thread of its own. A line can be fetched again by its place: evidence is shown, not kept.
//! Nothing here looks into a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};

use crate::record::batch::BadRow;
use crate::record::scan::{Fault, MAX_EXCERPT, MAX_LINE, Scanner, excerpt};
use crate::record::{Batch, Locator};
use crate::rule::problem::safe_path;

use super::gzip::{Behind, Members};
use super::spool::{self, Spool};

/// Bytes of a block: enough lines to make a batch worth its overhead, few enough for the caches.
const BLOCK: usize = 128 << 10;
/// Room behind a block for what scanning adds to it.
const ROOM: usize = 32 << 10;
/// Buffers kept for the next blocks.
const MAX_SPARE: usize = 16;
/// Unpacked blocks that wait to be read.
const AHEAD: usize = 4;
/// Bytes before a line that are read again to tell its number: a moment's work.
const MAX_COUNTED: u64 = 1 << 30;
/// Bytes that are read at a time where single lines are: most are shorter, and far from each other.
const FETCHED: usize = 2 << 10;
/// The path that means standard input.
const STDIN: &str = "-";
/// What a byte-order mark is in UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A file that cannot be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub struct ReadError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl ReadError {
    fn words(&self) -> String {
        let path = safe_path(&self.path);
        // The file itself may be well.
        spool::no_file_for(&format!("to read `{path}`"), &self.source)
            .unwrap_or_else(|| format!("cannot read `{path}`"))
    }
}

/// How far a file was read that could not be read on.
#[derive(Debug, thiserror::Error)]
#[error("{}; get the file again, or leave it out", self.what())]
struct BrokeOff {
    at: u64,
    packed: bool,
    source: io::Error,
}

impl BrokeOff {
    fn what(&self) -> String {
        match (self.at, self.packed) {
            (0, _) => "it breaks off in its first line, and nothing of it was read".to_owned(),
            (at, true) => format!(
                "it breaks off at byte {at} of what it unpacks to, and all lines before that were read"
            ),
            (at, false) => format!("it breaks off at byte {at}, and all lines before that were read"),
        }
    }
}

/// A file to be read, once or again.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    at: Whereabouts,
    /// How it is packed, once somebody has begun to read it.
    form: OnceLock<Form>,
}

/// Where the bytes of an input are.
#[derive(Debug)]
enum Whereabouts {
    /// In the file at its path.
    Path,
    /// In what gives itself once, standard input or a pipe: a copy is made of what is read.
    Stream(Spool),
    /// In a temporary file.
    Spool(Spool),
}

/// Bytes that can be read again, at any place.
trait Again: Read + Seek {}

impl<T: Read + Seek> Again for T {}

/// Whole lines of a file.
#[derive(Debug)]
pub struct Block {
    /// Where its first byte is, in the file as unpacked.
    pub offset: u64,
    /// The lines.
    pub bytes: Vec<u8>,
    /// Lines before these that were too long to be read; located in the file as unpacked.
    pub faults: Vec<BadRow>,
}

impl Block {
    /// Scans the block. `file` is the locator of the file's first byte: places within the file are
    /// added to it.
    pub fn scan(self, scanner: &Scanner, file: Locator) -> Batch {
        let mut batch = scanner.scan_bytes(self.bytes, Locator(file.0 + self.offset));
        batch.read += self.faults.len() as u64;
        let skipped = self.faults.into_iter();
        let skipped = skipped.map(|bad| BadRow { locator: Locator(file.0 + bad.locator.0), ..bad });
        batch.faults.splice(0..0, skipped);
        batch
    }
}

impl Input {
    /// The file at `path`; `-` is standard input.
    pub fn open(path: &Path) -> Self {
        let given_once = |path: &Path| path.metadata().is_ok_and(|data| !data.is_file() && !data.is_dir());
        let at = if path == Path::new(STDIN) || given_once(path) {
            Whereabouts::Stream(Spool::default())
        } else {
            Whereabouts::Path
        };
        Self { path: path.to_owned(), at, form: OnceLock::new() }
    }

    /// What is in `spool`; what is told of it calls it `path`.
    pub fn spooled(path: PathBuf, spool: Spool) -> Self {
        Self { path, at: Whereabouts::Spool(spool), form: OnceLock::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be read from its path more than once: a regular file, and not a pipe or standard input.
    pub fn is_file(&self) -> bool {
        matches!(self.at, Whereabouts::Path) && self.path.is_file()
    }

    /// Reads it from its beginning. What gives itself once does so here.
    pub fn blocks(&self) -> Result<Blocks, ReadError> {
        let raw: Box<dyn Read + Send> = match &self.at {
            Whereabouts::Path => Box::new(self.file()?),
            Whereabouts::Stream(spool) if self.path == Path::new(STDIN) => {
                Box::new(Spooled { from: io::stdin(), spool: spool.clone() })
            }
            Whereabouts::Stream(spool) => Box::new(Spooled { from: self.file()?, spool: spool.clone() }),
            Whereabouts::Spool(spool) => Box::new(spool.reader()),
        };
        let (form, first, raw) = told(raw).map_err(|source| self.error(source))?;
        if let Some(name) = utf16(first) {
            let hint =
                format!("it is in UTF-16: `iconv -f {name} -t UTF-8` makes text of it that can be read");
            return Err(self.error(io::Error::new(io::ErrorKind::InvalidData, hint)));
        }
        self.form.get_or_init(|| form);
        let unpacked = unpack(form, raw).map_err(|source| self.error(source))?;
        Ok(Blocks::new(self.path.clone(), unpacked, form != Form::Plain))
    }

    /// The lines at `offsets`, which are sorted; an empty one where there is none. Of a packed file
    /// all that stands before the last one is read again.
    pub fn fetch(&self, offsets: &[u64]) -> Result<Vec<String>, ReadError> {
        self.again().and_then(|file| lines_at(file, offsets)).map_err(|source| self.error(source))
    }

    /// What is in it, from its beginning, if it is packed. None where it is plain, where nobody has read it yet
    /// and where it cannot be read again.
    pub(super) fn unpacked(&self) -> Option<Box<dyn Read>> {
        self.form.get().filter(|form| **form != Form::Plain)?;
        let (file, form) = rewound(self.again().ok()?).ok()?;
        unpacked_here(form, file).ok()
    }

    /// The number of the line at `offset`, from 1; none for a packed file, far into a long one and
    /// where the file cannot be read again.
    pub fn line_number(&self, offset: u64) -> Option<u64> {
        if offset > MAX_COUNTED {
            return None;
        }
        number_at(self.again().ok()?, offset)
    }

    fn again(&self) -> io::Result<Box<dyn Again>> {
        Ok(match &self.at {
            Whereabouts::Path => Box::new(open(&self.path)?),
            Whereabouts::Stream(spool) | Whereabouts::Spool(spool) => Box::new(spool.reader()),
        })
    }

    fn file(&self) -> Result<File, ReadError> {
        let opened = open(&self.path).and_then(|file| {
            if file.metadata()?.is_dir() {
                let files = self.path.join("*.ndjson");
                let hint = format!("it is a folder: name the files in it, such as `{}`", safe_path(&files));
                return Err(io::Error::new(io::ErrorKind::IsADirectory, hint));
            }
            Ok(file)
        });
        opened.map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> ReadError {
        ReadError { path: self.path.clone(), source }
    }
}

#[expect(clippy::disallowed_methods, reason = "files are read here and nowhere else")]
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// The file at its beginning, and how it is packed.
fn rewound<R: Again>(mut file: R) -> io::Result<(R, Form)> {
    file.rewind()?;
    let mut first = [0; 4];
    let len = fill(&mut file, &mut first)?;
    file.rewind()?;
    Ok((file, Form::of(&first[..len])))
}

fn lines_at(file: impl Again + 'static, offsets: &[u64]) -> io::Result<Vec<String>> {
    let (file, form) = rewound(file)?;
    if form == Form::Plain {
        return plain_lines_at(file, offsets);
    }
    let mut lines: Vec<(u64, String)> = Vec::with_capacity(offsets.len());
    // By itself: a thread of its own would go on to read when this is done.
    each_line(&mut BufReader::new(unpacked_here(form, file)?), offsets, |offset, line| {
        lines.push((offset, shown(line)));
        Ok(())
    })?;
    let line = |offset: &u64| lines.binary_search_by_key(offset, |(at, _)| *at).ok();
    Ok(offsets.iter().map(|offset| line(offset).map_or_else(String::new, |at| lines[at].1.clone())).collect())
}

/// The lines at `offsets`, which are sorted, of a plain file that is at its beginning.
pub(super) fn plain_lines_at(file: impl Read + Seek, offsets: &[u64]) -> io::Result<Vec<String>> {
    let (mut file, mut at) = (BufReader::with_capacity(FETCHED, file), 0);
    let mut lines = Vec::with_capacity(offsets.len());
    for offset in offsets {
        // What is near has been read already.
        file.seek_relative(offset.cast_signed() - at)?;
        let mut bytes = Vec::new();
        at = (offset + read_line(&mut file, &mut bytes)?).cast_signed();
        lines.push(shown(&bytes));
    }
    Ok(lines)
}

/// Gives `each` the line at each of `offsets`, which are sorted, once: with its offset, without its end.
pub(super) fn each_line(
    unpacked: &mut impl BufRead,
    offsets: &[u64],
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (mut at, mut line) = (0, Vec::new());
    for same in offsets.chunk_by(|one, other| one == other) {
        let Some(offset) = same.first() else { continue };
        at += io::copy(&mut unpacked.take(offset.saturating_sub(at)), &mut io::sink())?;
        line.clear();
        at += read_line(unpacked, &mut line)?;
        each(*offset, line.strip_suffix(b"\n").unwrap_or(&line))?;
    }
    Ok(())
}

/// The number of the line at `offset` of a plain file.
fn number_at(file: impl Again, offset: u64) -> Option<u64> {
    let (mut file, form) = rewound(file).ok()?;
    if form != Form::Plain {
        return None;
    }
    let (mut left, mut number) = (usize::try_from(offset).ok()?, 1);
    let mut bytes = vec![0; BLOCK];
    while left > 0 {
        let most = left.min(BLOCK);
        let len = fill(&mut file, &mut bytes[..most]).ok()?;
        number += memchr::memchr_iter(b'\n', &bytes[..len]).count() as u64;
        left = if len < most { return None } else { left - len };
    }
    Some(number)
}

/// Reads one line, or as much of it as a line may have.
fn read_line(file: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<u64> {
    Ok(file.take(MAX_LINE as u64 + 1).read_until(b'\n', bytes)? as u64)
}

fn shown(line: &[u8]) -> String {
    let line = line.trim_ascii();
    std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line).into_owned(), str::to_owned)
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Gzip,
    Zstd,
}

impl Form {
    pub(super) fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one to be skipped before the first.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Tells a stream's form; gives the whole stream back.
fn told(mut raw: Box<dyn Read + Send>) -> io::Result<(Form, [u8; 4], Box<dyn Read + Send>)> {
    let mut first = [0; 4];
    let len = fill(&mut raw, &mut first)?;
    let form = Form::of(&first[..len]);
    Ok((form, first, Box::new(Cursor::new(first[..len].to_vec()).chain(raw))))
}

/// What a text that begins so is called, if it is in UTF-16: it has the byte-order mark of that, or every other
/// byte is zero, which none is in JSON.
fn utf16(first: [u8; 4]) -> Option<&'static str> {
    match first {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [1..=255, 0, 1..=255, 0] => Some("UTF-16LE"),
        [0, 1..=255, 0, 1..=255] => Some("UTF-16BE"),
        _ => None,
    }
}

/// Reads until `into` is full or the stream ends.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match from.read(&mut into[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn unpack(form: Form, raw: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    Ok(match form {
        Form::Plain => raw,
        Form::Gzip => Box::new(Unpacked::new(Members::new(raw))),
        Form::Zstd => Box::new(Unpacked::new(zstd::stream::read::Decoder::new(raw)?)),
    })
}

/// The same, unpacked by whoever reads it.
fn unpacked_here(form: Form, file: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    Ok(match form {
        Form::Plain => Box::new(file),
        Form::Gzip => Box::new(Members::new(file)),
        Form::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
    })
}

/// What a thread unpacks, in order. The thread ends when the reader is gone.
struct Unpacked {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Cursor<Vec<u8>>,
}

impl Unpacked {
    fn new(mut packed: impl Read + Send + 'static) -> Self {
        let (send, chunks) = mpsc::sync_channel(AHEAD);
        std::thread::spawn(move || {
            loop {
                let mut chunk = Vec::with_capacity(BLOCK);
                // Keeps what was unpacked before an error.
                let end = packed.by_ref().take(BLOCK as u64).read_to_end(&mut chunk);
                let done = chunk.is_empty();
                if send.send(Ok(chunk)).is_err() {
                    return;
                }
                if let Err(error) = end {
                    // The reader may be gone; then nobody asks.
                    let _ = send.send(Err(error));
                    return;
                }
                if done {
                    return;
                }
            }
        });
        Self { chunks, chunk: Cursor::default() }
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.position() == self.chunk.get_ref().len() as u64 {
            match self.chunks.recv() {
                Ok(Ok(chunk)) => self.chunk = Cursor::new(chunk),
                Ok(Err(error)) => return Err(error),
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        self.chunk.read(into)
    }
}

/// A stream that is copied while it is read.
struct Spooled<R> {
    from: R,
    spool: Spool,
}

impl<R: Read> Read for Spooled<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(into)?;
        self.spool.write_all(&into[..len])?;
        Ok(len)
    }
}

/// The blocks of one file, in order. After an error there are no more.
pub struct Blocks {
    path: PathBuf,
    from: Box<dyn Read + Send>,
    packed: bool,
    /// Where what is pending begins.
    offset: u64,
    /// What is pending, read and not yet given; behind it, bytes of no meaning that are read over.
    buffer: Vec<u8>,
    /// Bytes that are pending.
    filled: usize,
    faults: Vec<BadRow>,
    error: Option<io::Error>,
    done: bool,
    /// Buffers that came back, for the next blocks: their pages are at hand already, and need not be
    /// made zero before they are read into.
    spare: Vec<Vec<u8>>,
}

impl Blocks {
    fn new(path: PathBuf, from: Box<dyn Read + Send>, packed: bool) -> Self {
        let (buffer, faults) = (Vec::new(), Vec::new());
        let (filled, error, done) = (0, None, false);
        Self { path, from, packed, offset: 0, buffer, filled, faults, error, done, spare: Vec::new() }
    }

    /// Whether it is unpacked while it is read.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Bytes of the file, as unpacked, that were given.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes back the bytes of a block that is done with.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && bytes.capacity() <= 2 * (BLOCK + ROOM) {
            self.spare.push(bytes);
        }
    }

    fn pending(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Forgets the first `len` bytes of what is pending.
    fn pass_over(&mut self, len: usize) {
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
        self.offset += len as u64;
    }

    /// Reads up to a block more; an error ends the file and is told when all before it is given.
    fn read_on(&mut self) {
        let before = self.filled;
        let end = before + BLOCK.saturating_sub(before).max(BLOCK / 4);
        if self.buffer.capacity() < end + ROOM {
            // Twice as much for a line that goes on, and no more than the longest takes.
            let enough = (2 * before).min(MAX_LINE + BLOCK).max(end + ROOM);
            self.buffer.reserve_exact(enough - self.buffer.len());
        }
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while self.filled < end {
            match self.from.read(&mut self.buffer[self.filled..end]) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    self.done = true;
                    // The line in which it broke off is no line.
                    self.filled = memchr::memrchr(b'\n', self.pending()).map_or(0, |last| last + 1);
                    return;
                }
            }
        }
        self.done = self.filled == before;
        if self.offset == 0 && before == 0 && self.pending().starts_with(BOM) {
            self.pass_over(BOM.len());
        }
    }

    /// Passes over the rest of a line that is too long, whose beginning is pending.
    fn skip_line(&mut self) {
        let shown = String::from_utf8_lossy(&self.pending()[..MAX_EXCERPT]).into_owned();
        let bad = BadRow { locator: Locator(self.offset), fault: Fault::TooLong, excerpt: excerpt(&shown) };
        self.faults.push(bad);
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.pending()) {
                self.pass_over(end + 1);
                return;
            }
            self.pass_over(self.filled);
            if self.done {
                return;
            }
            self.read_on();
        }
    }

    fn take(&mut self, len: usize) -> Block {
        let mut next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK + ROOM));
        let rest = self.filled - len;
        if next.len() < rest {
            next.resize(rest, 0);
        }
        next[..rest].copy_from_slice(&self.buffer[len..self.filled]);
        let mut bytes = std::mem::replace(&mut self.buffer, next);
        bytes.truncate(len);
        let offset = self.offset;
        self.filled = rest;
        self.offset += len as u64;
        Block { offset, bytes, faults: std::mem::take(&mut self.faults) }
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.done && self.filled < BLOCK {
                self.read_on();
            }
            let enough = self.done || self.filled >= BLOCK;
            match memchr::memrchr(b'\n', self.pending()) {
                Some(last) if enough => return Some(Ok(self.take(last + 1))),
                None if self.filled > MAX_LINE => self.skip_line(),
                Some(_) => {}
                None if self.done => break,
                None => self.read_on(),
            }
        }
        if self.filled > 0 || !self.faults.is_empty() {
            return Some(Ok(self.take(self.filled)));
        }
        let source = self.error.take()?;
        let source = match source.downcast::<Behind>() {
            Ok(behind) => io::Error::new(io::ErrorKind::InvalidData, behind),
            Err(source) if spool::is_of_a_temporary_file(&source) => source,
            Err(source) => {
                io::Error::new(source.kind(), BrokeOff { at: self.offset, packed: self.packed, source })
            }
        };
        Some(Err(ReadError { path: self.path.clone(), source }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::kept::Kept;
    use super::*;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    /// Lines by place, and the error at the end.
    fn read(input: &Input) -> (Vec<(u64, String)>, Option<String>) {
        let (mut lines, mut error) = (Vec::new(), None);
        for block in input.blocks().unwrap() {
            match block {
                Ok(block) => {
                    let mut offset = block.offset;
                    for line in block.bytes.split_inclusive(|byte| *byte == b'\n') {
                        lines.push((offset, shown(line)));
                        offset += line.len() as u64;
                    }
                }
                Err(bad) => error = Some(bad.to_string()),
            }
        }
        (lines, error)
    }

    fn text(lines: usize) -> String {
        let lines: Vec<String> =
            (0..lines).map(|n| format!("line {n} {}\n", "x".repeat(1 + n % 1000))).collect();
        lines.concat()
    }

    #[test]
    fn every_packing_gives_the_same_lines_at_the_same_places() {
        let text = text(3_000);
        let (first, second) = text.as_bytes().split_at(text.len() / 2);
        let plain = file_of(text.as_bytes());
        let input = Input::open(plain.path());
        let (lines, error) = read(&input);
        assert_eq!((lines.len(), error), (3_000, None));
        let some: Vec<u64> = lines.iter().step_by(317).map(|(offset, _)| *offset).collect();
        let fetched: Vec<&String> = lines.iter().step_by(317).map(|(_, line)| line).collect();
        for packed in [
            text.clone().into_bytes(),
            gzip(text.as_bytes()),
            [gzip(first), gzip(second)].concat(),
            zstd(text.as_bytes()),
            [zstd(first), zstd(second)].concat(),
        ] {
            let file = file_of(&packed);
            let input = Input::open(file.path());
            assert_eq!(read(&input), (lines.clone(), None));
            assert_eq!(input.fetch(&some).unwrap().iter().collect::<Vec<_>>(), fetched);
        }
    }

    #[test]
    fn lines_that_are_kept_are_unpacked_once() {
        let text = text(3_000);
        let plain = file_of(text.as_bytes());
        let (lines, _) = read(&Input::open(plain.path()));
        let some: Vec<u64> = lines.iter().step_by(317).map(|(offset, _)| *offset).collect();
        let other = [lines[1].0, lines[2].0];
        let cut = |mut packed: Vec<u8>| {
            packed.truncate(packed.len() * 2 / 3);
            packed
        };
        let files = [
            gzip(text.as_bytes()),
            zstd(text.trim_end().as_bytes()),
            text.clone().into_bytes(),
            cut(gzip(text.as_bytes())),
            cut(zstd(text.as_bytes())),
        ]
        .map(|bytes| file_of(&bytes));
        let inputs = || {
            let inputs = files.each_ref().map(|file| Input::open(file.path()));
            let read = inputs.each_ref().map(|input| read(input).0);
            // One that nobody has read.
            (inputs.into_iter().chain([Input::open(files[0].path())]).collect::<Vec<_>>(), read)
        };
        let ((inputs, read), (others, _)) = (inputs(), inputs());
        let none = Kept::of(&inputs, |_| Some(Vec::new())).unwrap();
        let these = Kept::of(&inputs, |_| Some([some.as_slice(), &[u64::MAX]].concat())).unwrap();
        let whole = Kept::of(&others, |_| None).unwrap();
        let gone = Input::open(files[0].path());
        // There is nothing to unpack any more.
        drop(files);
        let fetched = |kept: &Kept, number, offsets: &[u64]| kept.fetch(number, offsets).map(Result::unwrap);
        for number in [2, 5] {
            assert_eq!([&these, &whole].map(|kept| fetched(kept, number, &some)), [None, None], "{number}");
        }
        for number in [0, 1, 3, 4] {
            assert_eq!(fetched(&none, number, &some), None);
            let line = |offset: &u64| {
                let line = read[number].iter().find(|(at, _)| at == offset);
                line.map_or(String::new(), |(_, line)| line.clone())
            };
            let meant: Vec<String> = some.iter().map(line).collect();
            let before = meant.iter().filter(|line| !line.is_empty()).count();
            assert!(before == some.len() || number > 2 && before > 0, "{before} in {number}");
            let three = [some[1], some[1], u64::MAX];
            assert_eq!(fetched(&these, number, &three).unwrap(), [&*meant[1], &meant[1], ""]);
            assert_eq!(fetched(&these, number, &other), None);
            assert_eq!(fetched(&whole, number, &other).unwrap(), [lines[1].1.as_str(), &lines[2].1]);
            assert_eq!(fetched(&whole, number, &three), None);
            // In the line in which it breaks off more may be kept than was read; nobody asks for it.
            assert_eq!(fetched(&these, number, &some).unwrap()[..before], meant[..before]);
            assert_eq!(fetched(&whole, number, &some[..before]).unwrap(), meant[..before]);
        }
        let vanished = [gone];
        assert!(vanished[0].blocks().is_err());
        assert_eq!(fetched(&Kept::of(&vanished, |_| None).unwrap(), 0, &some), None);
        let read_and_vanished = Kept::of(&others, |_| None).unwrap();
        assert_eq!(fetched(&read_and_vanished, 0, &some), None);
    }

    #[test]
    fn a_pipe_gives_itself_once_and_is_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let input = Input::open(&path);
        assert!(!input.is_file());
        let packed = zstd(b"one\ntwo\nthree");
        let to = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, packed).unwrap());
        let meant = [(0, "one".to_owned()), (4, "two".to_owned()), (8, "three".to_owned())];
        assert_eq!(read(&input), (meant.to_vec(), None));
        writer.join().unwrap();
        assert_eq!(input.fetch(&[4, 8]).unwrap(), ["two", "three"]);
        let kept = Kept::of(std::slice::from_ref(&input), |_| None).unwrap();
        assert_eq!(kept.fetch(0, &[0, 8]).unwrap().unwrap(), ["one", "three"]);
    }

    #[test]
    fn a_last_line_needs_no_newline_and_a_byte_order_mark_is_passed_over() {
        let file = file_of(b"\xef\xbb\xbfone\r\n\ntwo");
        let input = Input::open(file.path());
        let meant = [(3, "one".to_owned()), (8, String::new()), (9, "two".to_owned())];
        assert_eq!(read(&input), (meant.to_vec(), None));
        assert_eq!(input.fetch(&[3, 9, 9, 900]).unwrap(), ["one", "two", "two", ""]);
        let empty = file_of(b"");
        assert_eq!(read(&Input::open(empty.path())), (vec![], None));
    }

    #[test]
    fn what_stands_before_a_corruption_is_read() {
        let text = text(3_000);
        for mut packed in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
            packed.truncate(packed.len() * 2 / 3);
            let file = file_of(&packed);
            let (lines, error) = read(&Input::open(file.path()));
            assert_eq!(error.unwrap(), format!("cannot read `{}`", file.path().display()));
            assert!(lines.len() > 100, "{}", lines.len());
            assert!(lines.iter().map(|(_, line)| line.as_str()).eq(text.lines().take(lines.len())));
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over_in_bounded_memory() {
        let huge = "x".repeat(MAX_LINE * 3);
        let text = format!("before\n{huge}\nafter\n{huge}");
        let file = file_of(&zstd(text.as_bytes()));
        let (mut lines, mut faults) = (String::new(), Vec::new());
        for block in Input::open(file.path()).blocks().unwrap() {
            let block = block.unwrap();
            assert!(block.bytes.capacity() < MAX_LINE + 4 * BLOCK);
            lines.push_str(std::str::from_utf8(&block.bytes).unwrap());
            faults.extend(block.faults);
        }
        assert_eq!(lines, "before\nafter\n");
        let places: Vec<u64> = faults.iter().map(|bad| bad.locator.0).collect();
        assert_eq!(places, [7, 7 + huge.len() as u64 + 7]);
        assert!(faults.iter().all(|bad| bad.fault == Fault::TooLong && bad.excerpt.len() == MAX_EXCERPT));
    }

    #[test]
    fn a_line_of_a_plain_file_has_a_number() {
        let text = text(3_000);
        let (plain, packed) = (file_of(text.as_bytes()), file_of(&zstd(text.as_bytes())));
        let (plain, packed) = (Input::open(plain.path()), Input::open(packed.path()));
        for (number, (offset, _)) in (1..).zip(read(&plain).0).step_by(371) {
            assert_eq!(plain.line_number(offset), Some(number));
            assert_eq!(packed.line_number(offset), None);
        }
        assert_eq!(plain.line_number(text.len() as u64 + 1), None);
        assert_eq!(Input::open(Path::new("no/such/file")).line_number(0), None);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Input::open(Path::new("no/such/file")).blocks().err().unwrap();
        assert_eq!(error.to_string(), "cannot read `no/such/file`");
    }

    #[test]
    fn a_spooled_stream_is_fetched_again() {
        let spool = Spool::default();
        let packed = gzip(b"one\ntwo\n");
        let mut stream = Spooled { from: packed.as_slice(), spool: spool.clone() };
        io::copy(&mut stream, &mut io::sink()).unwrap();
        let input = Input { path: STDIN.into(), at: Whereabouts::Stream(spool), form: OnceLock::new() };
        assert_eq!(input.fetch(&[4]).unwrap(), ["two"]);
    }
}
