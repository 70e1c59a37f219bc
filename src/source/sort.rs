//! Files in any order, sorted by time on disk, in memory that does not grow with them.
//!
//! Lines are sorted in runs that fit in memory, and the runs merged into one file. Lines that make no
//! record go first, as they are, so that reading quarantines them as ever. Nothing here judges a row.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::record::batch::BadRow;
use crate::record::scan::Scanner;
use crate::record::{Locator, Timestamp};

use super::file::{Input, ReadError};
use super::spool::{self, Reader, Spool};

/// Bytes of lines that are sorted at a time in memory.
const RUN: usize = 64 << 20;

/// What sorting came to.
#[derive(Debug)]
pub struct Sorted {
    /// The lines of every file, by time; equal times as they came.
    pub file: Spool,
    /// Lines that were too long to be kept, by file: they are in no order and in no file.
    pub left_out: Vec<(usize, BadRow)>,
    /// Files that could not be read to their end; what came before is in the file.
    pub broken: Vec<ReadError>,
}

/// Why files cannot be sorted.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// One of them cannot be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is sorted cannot be written or read back.
    #[error("{}", spool::no_file_for("to sort lines", .0).unwrap_or_else(|| "lines cannot be sorted on disk".to_owned()))]
    Spool(#[from] io::Error),
}

/// Lines in memory: time, and where the line is.
#[derive(Default)]
struct Pending {
    text: Vec<u8>,
    lines: Vec<(Timestamp, usize, usize)>,
}

/// Sorts the lines of `inputs` into one file.
pub fn sort(inputs: &[Input], scanner: &Scanner) -> Result<Sorted, SortError> {
    sort_in_runs(inputs, scanner, RUN)
}

/// The same with so many bytes of lines in memory: a run ends with the block that fills it.
fn sort_in_runs(inputs: &[Input], scanner: &Scanner, run: usize) -> Result<Sorted, SortError> {
    let (mut runs, mut pending) = (Vec::new(), Pending::default());
    let (mut left_out, mut broken) = (Vec::new(), Vec::new());
    for (number, input) in inputs.iter().enumerate() {
        for block in input.blocks()? {
            let block = match block {
                Ok(block) => block,
                Err(error) => {
                    broken.push(error);
                    continue;
                }
            };
            left_out.extend(block.faults.iter().map(|bad| (number, bad.clone())));
            pending.take(&block.bytes, scanner);
            if pending.text.len() >= run {
                runs.push(pending.write()?);
            }
        }
    }
    if !pending.lines.is_empty() || runs.is_empty() {
        runs.push(pending.write()?);
    }
    Ok(Sorted { file: merge(runs)?, left_out, broken })
}

impl Pending {
    fn take(&mut self, block: &[u8], scanner: &Scanner) {
        let batch = scanner.scan_bytes(block.to_vec(), Locator(1));
        let mut rows = batch.rows.iter().peekable();
        let mut offset = 0;
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let here = Locator(1 + offset as u64);
            offset += line.len();
            while rows.next_if(|row| row.locator < here).is_some() {}
            let time = rows.peek().filter(|row| row.locator == here).map_or(Timestamp::MIN, |row| row.start);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.lines.push((time, self.text.len(), line.len()));
            self.text.extend_from_slice(line);
        }
    }

    /// Writes what is pending as a run, sorted, and forgets it.
    fn write(&mut self) -> io::Result<BufReader<Reader>> {
        // Stable: equal times stay as they came.
        self.lines.sort_by_key(|(time, _, _)| *time);
        let spool = Spool::default();
        let mut run = BufWriter::new(spool.clone());
        for (time, start, len) in &self.lines {
            run.write_all(&time.0.to_le_bytes())?;
            run.write_all(&(*len as u64).to_le_bytes())?;
            run.write_all(&self.text[*start..*start + *len])?;
        }
        run.flush()?;
        self.lines.clear();
        self.text.clear();
        Ok(BufReader::new(spool.reader()))
    }
}

/// Merges sorted runs. Of equal times the earlier run goes first.
fn merge(mut runs: Vec<BufReader<Reader>>) -> io::Result<Spool> {
    let mut next = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        next.extend(head(run)?.map(|(time, len)| Reverse((time, number, len))));
    }
    let sorted = Spool::default();
    let mut out = BufWriter::new(sorted.clone());
    while let Some(Reverse((_, number, len))) = next.pop() {
        let run = &mut runs[number];
        io::copy(&mut run.by_ref().take(len), &mut out)?;
        out.write_all(b"\n")?;
        next.extend(head(run)?.map(|(time, len)| Reverse((time, number, len))));
    }
    out.flush()?;
    Ok(sorted)
}

/// Time and length of a run's next line; none at its end.
fn head(run: &mut impl Read) -> io::Result<Option<(Timestamp, u64)>> {
    let mut word = [0; 8];
    if let Err(error) = run.read_exact(&mut word) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let time = Timestamp(i64::from_le_bytes(word));
    run.read_exact(&mut word)?;
    Ok(Some((time, u64::from_le_bytes(word))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::record::Columns;
    use crate::record::fact::Facts;
    use crate::record::scan::{Fault, MAX_LINE, Origin};

    fn scanner() -> Scanner {
        Scanner::new(Columns::default().freeze(), Arc::new(Facts::default()), Origin::default())
    }

    fn row(id: &str, minute: u32) -> String {
        format!("{{\"id\":\"{id}\",\"start_time\":\"2026-01-05T09:{minute:02}:00Z\"}}\n")
    }

    fn file(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn text_of(sorted: &Sorted) -> String {
        io::read_to_string(sorted.file.reader()).unwrap()
    }

    #[test]
    fn lines_are_sorted_by_time_and_bad_ones_go_first() {
        let one = file(&[row("c", 3), "no JSON\n".to_owned(), row("a", 1), row("e", 5)].concat());
        let two = file([row("b", 2), row("a2", 1), row("d", 4)].concat().trim_end());
        let inputs = [Input::open(one.path()), Input::open(two.path())];
        let sorted = sort(&inputs, &scanner()).unwrap();
        assert!(sorted.broken.is_empty() && sorted.left_out.is_empty());
        let meant = [
            "no JSON\n".to_owned(),
            row("a", 1),
            row("a2", 1),
            row("b", 2),
            row("c", 3),
            row("d", 4),
            row("e", 5),
        ];
        assert_eq!(text_of(&sorted), meant.concat());
    }

    #[test]
    fn many_runs_give_what_one_run_gives() {
        // Times come again and again, within a file and from file to file.
        let texts: Vec<String> = (0..7)
            .map(|number| {
                let rows = (0..40).map(|place| row(&format!("{number}-{place}"), (place * 17 + number) % 23));
                rows.collect::<String>() + "no JSON\n"
            })
            .collect();
        let files: Vec<NamedTempFile> = texts.iter().map(|text| file(text)).collect();
        let inputs: Vec<Input> = files.iter().map(|file| Input::open(file.path())).collect();
        let one = text_of(&sort(&inputs, &scanner()).unwrap());
        let (mut lines, mut meant): (Vec<&str>, Vec<&str>) =
            (one.lines().collect(), texts.iter().flat_map(|text| text.lines()).collect());
        lines.sort_unstable();
        meant.sort_unstable();
        assert_eq!(lines, meant);
        // A run a file, then runs of two files or three.
        for run in [1, texts[0].len() + 1, 2 * texts[0].len() + 1] {
            assert_eq!(text_of(&sort_in_runs(&inputs, &scanner(), run).unwrap()), one, "runs of {run}");
        }
    }

    #[test]
    fn a_line_too_long_to_be_kept_is_left_out_and_told_with_its_file_and_place() {
        let huge = "x".repeat(MAX_LINE * 2);
        let one = file(&row("b", 2));
        let two = file(&format!("{}{huge}\n{}", row("c", 3), row("a", 1)));
        let inputs = [Input::open(one.path()), Input::open(two.path())];
        for run in [1, RUN] {
            let sorted = sort_in_runs(&inputs, &scanner(), run).unwrap();
            assert_eq!(text_of(&sorted), [row("a", 1), row("b", 2), row("c", 3)].concat());
            let [(number, bad)] = &sorted.left_out[..] else { panic!("{:?}", sorted.left_out.len()) };
            assert_eq!((*number, bad.locator.0), (1, row("c", 3).len() as u64));
            assert_eq!(bad.fault, Fault::TooLong);
        }
    }

    #[test]
    fn no_line_at_all_sorts_to_an_empty_file() {
        let empty = file("");
        let sorted = sort(&[Input::open(empty.path())], &scanner()).unwrap();
        assert_eq!(text_of(&sorted), "");
    }
}
