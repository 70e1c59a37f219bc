//! Messages appended to a file as NDJSON, on the disk before they count as delivered.
//!
//! Every line is whole: a last line that a crash left half-written is ended before the next one
//! begins, so that a reader meets one bad line and nothing after it is lost. The file is opened for
//! each message, so that it may be moved away at any time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Options, Secrets};
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, need};
use crate::rule::problem::Problems;

use super::reason::Secretive;
use super::render;
use super::{Kind, Message, Receiver, Transport, Trying};

/// The kind.
pub const KIND: Kind = Kind {
    name: "file",
    keys: &KEYS,
    example: "{name: journal, kind: file, path: alerts.ndjson}",
    transport: Transport { per_minute: 60_000, burst: 10_000 },
    human: false,
    ends: true,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `file`",
    about: "a file of NDJSON, one line a message",
    open: Open::Closed,
    keys: &[need(
        "path",
        Takes::Text,
        "the file, taken from the configuration's folder",
        "path: alerts.ndjson",
    )],
};

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    /// One line at a time.
    turn: Arc<Mutex<()>>,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let path = secrets.folder.join(options.text(problems, "path")?);
    Some(Box::new(Journal { path, turn: Arc::default() }))
}

impl Receiver for Journal {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let (path, turn) = (self.path.clone(), self.turn.clone());
            let line = render::json(message);
            let appended = tokio::task::spawn_blocking(move || {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                append(&path, &line)
            });
            let fault = match appended.await {
                Ok(Ok(())) => return Attempt::Delivered,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            let reason =
                Secretive::default().reason(&format!("cannot append to {}: {fault}", self.path.display()));
            Attempt::TryAgain { wait: None, everyone: true, reason }
        })
    }
}

/// Appends a line and waits until the disk has it. What a failure leaves behind is no whole line,
/// and the next one ends it.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    #[cfg(unix)]
    // Alerts hold personal data.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(path)?;
    let mut text = String::with_capacity(line.len() + 2);
    if is_half_written(&mut file)? {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if is_new {
        sync_folder(path)?;
    }
    Ok(())
}

/// True where the last byte is no line feed.
fn is_half_written(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// A new file's name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[expect(clippy::disallowed_methods, reason = "this receiver is a file")]
    let folder = File::open(folder)?;
    folder.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "reads back what was written")]
    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_half_written_by_a_crash_is_ended_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.ndjson");
        append(&path, r#"{"n":1}"#).unwrap();
        std::fs::write(&path, "{\"n\":1}\n{\"n\":").unwrap();
        append(&path, r#"{"n":2}"#).unwrap();
        append(&path, r#"{"n":3}"#).unwrap();
        assert_eq!(read(&path), "{\"n\":1}\n{\"n\":\n{\"n\":2}\n{\"n\":3}\n");
    }

    #[test]
    fn a_file_moved_away_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.ndjson");
        append(&path, "1").unwrap();
        std::fs::rename(&path, folder.path().join("alerts.1")).unwrap();
        append(&path, "2").unwrap();
        assert_eq!(read(&path), "2\n");
    }
}
