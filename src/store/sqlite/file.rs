//! The file: taken by one daemon, looked at before it is touched, copied whole.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::fault::{Fault, Outcome, refused, unusable};
use super::schema;
use crate::rule::problem::safe_path;
use crate::store::StoreError;

/// How long somebody else's writing is waited for. Nobody else should write at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// A larger file is not read through at the start: what is broken in it is found when it is read.
const MAX_CHECKED: u64 = 256 << 20;
/// Stores that were replaced by backups and lie beside; whoever has more of them is to tidy up first.
const MAX_REPLACED: usize = 1_000;
/// How the name of a backup that is not whole yet begins and ends.
const PART: (&str, &str) = (".larum-backup-", ".part");
/// Bytes to which the write-ahead log is cut back once it is copied into the file.
const MAX_IDLE_LOG: u32 = 64 << 20;

/// Bytes of a process's number.
const MAX_ID: u64 = 16;

/// The path with something added to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The file's own path, so that two names of one file take the same lock.
pub(super) fn resolved(path: &Path) -> Outcome<PathBuf> {
    if path.canonicalize().is_err() && path.is_symlink() {
        // What it leads to has a name of its own once it is made.
        make(path)?;
    }
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let name = path.file_name().ok_or_else(|| unusable(path, &"it names no file"))?;
    Ok(folder_of(path).canonicalize().map_err(|error| unusable(path, &error))?.join(name))
}

fn make(path: &Path) -> Outcome<()> {
    private(OpenOptions::new().write(true).create(true).truncate(false), path)
        .map_err(|error| unusable(path, &error))?;
    Ok(())
}

/// Takes the store for this process, for as long as the file that is returned lives.
pub(super) fn take(path: &Path) -> Outcome<File> {
    let beside = beside(path, ".lock");
    let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false), &beside);
    let mut file = file.map_err(|error| unusable(&beside, &error))?;
    match file.try_lock() {
        Ok(()) => {
            // For whoever finds it taken; the lock holds without.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut by = String::new();
            let _ = file.take(MAX_ID).read_to_string(&mut by);
            Err(StoreError::Taken { path: path.to_owned(), by: by.trim().parse().ok() }.into())
        }
        Err(TryLockError::Error(error)) => Err(unusable(&beside, &error)),
    }
}

/// Opens a file that, where it is made, is nobody else's to read: records name people.
fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// A connection that writes, to a file of the newest format; it is made or brought forward.
pub(super) fn writing(path: &Path, steps: &[&str]) -> Outcome<Connection> {
    make(path)?;
    // A file that is not ours is only read.
    let (found, known) = (looked_at(path)?, schema::format(steps));
    if found > known {
        return Err(StoreError::TooNew { found, known }.into());
    }
    let connection = connected(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if found == 0 {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(unusable(path, &"it must lie on a local disk, for its write-ahead log"));
    }
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = {MAX_IDLE_LOG}"
    ))?;
    schema::migrate(&connection, steps)?;
    Ok(connection)
}

/// A connection that only reads a file of the newest format.
pub(super) fn reading(path: &Path, steps: &[&str]) -> Outcome<Connection> {
    let (connection, found) = opened(path, steps)?;
    let known = schema::format(steps);
    if found < known {
        let words = format!("it has format {found}; the daemon brings it forward to {known} when it starts");
        return Err(unusable(path, &words));
    }
    Ok(connection)
}

/// A connection that only reads a file of a format that is known, and its format.
fn opened(path: &Path, steps: &[&str]) -> Outcome<(Connection, i64)> {
    let mut connection = connected(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut found = schema::found(&connection);
    if found.as_ref().is_err_and(Fault::is_read_only) {
        // Nothing may be written beside it, not even what readers and writers agree by.
        let is_there = |log| beside(path, log).metadata().is_ok_and(|log| log.len() > 0);
        if ["-wal", "-journal"].into_iter().any(is_there) {
            let words =
                "its folder cannot be written, and a log lies beside it; copy both to where you may write";
            return Err(unusable(path, &words));
        }
        connection = unchanging(path)?;
        found = schema::found(&connection);
    }
    let found = found.map_err(|fault| {
        let words = "a writing of it was cut off; the daemon takes back what is half written when it starts";
        if fault.is_cut_off() { unusable(path, &words) } else { fault }
    })?;
    refuse_newer(found, steps)?;
    Ok((connection, found))
}

/// The format of a file, which is one that `steps` know.
fn known(connection: &Connection, steps: &[&str]) -> Outcome<i64> {
    let found = schema::found(connection)?;
    refuse_newer(found, steps)?;
    Ok(found)
}

fn refuse_newer(found: i64, steps: &[&str]) -> Outcome<()> {
    let known = schema::format(steps);
    if found > known { Err(StoreError::TooNew { found, known }.into()) } else { Ok(()) }
}

/// A connection to a file that nobody changes, and which so needs nothing beside it.
fn unchanging(path: &Path) -> Outcome<Connection> {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                address.push(char::from(*byte));
            }
            other => {
                let _ = write!(address, "%{other:02X}");
            }
        }
    }
    address.push_str("?immutable=1");
    connected(Path::new(&address), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// Looks at a file without changing it: its format. What a writing that was cut off has left is taken back
/// first, by SQLite, which cannot read the file before.
fn looked_at(path: &Path) -> Outcome<i64> {
    match looked_at_by(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Err(fault) if fault.is_cut_off() => looked_at_by(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
        looked => looked,
    }
}

fn looked_at_by(path: &Path, how: OpenFlags) -> Outcome<i64> {
    let connection = connected(path, how)?;
    let found = schema::found(&connection)?;
    let size = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    if size("page_count")?.saturating_mul(size("page_size")?) <= MAX_CHECKED {
        read_through(&connection)?;
    }
    Ok(found)
}

/// Reads the whole file: [`StoreError::Corrupt`] where it is damaged.
fn read_through(connection: &Connection) -> Outcome<()> {
    let told: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if told == "ok" { Ok(()) } else { Err(StoreError::Corrupt(told).into()) }
}

fn connected(path: &Path, how: OpenFlags) -> Outcome<Connection> {
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| unusable(path, &error))?;
    connection.busy_timeout(PATIENCE)?;
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0")?;
    Ok(connection)
}

/// A copy of the store at `from`, whole, that waits to take the place of the one at `path`.
fn begun(path: &Path) -> PathBuf {
    beside(path, ".restore-begun")
}

/// Puts a copy of the store at `from` in the place of the one at `path`, which this process has taken; gives
/// the name under which that one is kept, if there was one.
pub(super) fn restore(path: &Path, from: &Path, steps: &[&str]) -> Outcome<Option<PathBuf>> {
    let failed = |why: String| refused(format!("cannot restore `{}`: {why}", safe_path(from)));
    let source = || -> Outcome<Connection> {
        // A backup that nobody has open is read as it lies, and nothing is made beside it.
        let is_open = ["-wal", "-shm", "-journal"].into_iter().any(|other| beside(from, other).exists());
        let (connection, found) = if is_open {
            opened(from, steps)?
        } else {
            let connection = unchanging(from)?;
            let found = known(&connection, steps)?;
            (connection, found)
        };
        if found == 0 {
            return Err(StoreError::Corrupt("there is nothing in it".to_owned()).into());
        }
        read_through(&connection)?;
        Ok(connection)
    };
    let is = from.canonicalize().map_err(|error| failed(error.to_string()))?;
    if is == path {
        return Err(failed("it is the store itself".to_owned()));
    }
    let source = source().map_err(|fault| {
        failed(match StoreError::from(fault) {
            StoreError::Corrupt(why) => format!("it is no whole store of Larum's ({why})"),
            other @ (StoreError::Taken { .. }
            | StoreError::Fenced { .. }
            | StoreError::Full
            | StoreError::Busy
            | StoreError::TooNew { .. }
            | StoreError::Failed(_)
            | StoreError::Closed) => other.to_string(),
        })
    })?;
    finish_restore(path)?;
    copy(&source, &begun(path))?;
    finish_restore(path)
}

/// Brings a restore to its end whose copy is whole; it may have been cut off anywhere after that. The store's log
/// goes away with it, and first: it must not be played into another.
pub(super) fn finish_restore(path: &Path) -> Outcome<Option<PathBuf>> {
    let begun = begun(path);
    if begun.symlink_metadata().is_err() {
        return Ok(None);
    }
    let failed =
        |error: io::Error| refused(format!("cannot put `{}` in its place: {error}", safe_path(&begun)));
    let mut names = (1..=MAX_REPLACED).map(|number| beside(path, &format!(".replaced-{number}")));
    let kept = names.find(|name| name.symlink_metadata().is_err());
    let kept = kept.ok_or_else(|| failed(io::Error::other("too many replaced stores lie beside it")))?;
    for log in ["-wal", "-journal"] {
        gone(fs::rename(beside(path, log), beside(&kept, log))).map_err(failed)?;
    }
    gone(fs::remove_file(beside(path, "-shm"))).map_err(failed)?;
    #[cfg(unix)]
    if let Ok(old) = path.metadata() {
        // Whoever restores may be another than the daemon runs as.
        use std::os::unix::fs::{MetadataExt as _, chown};
        chown(&begun, Some(old.uid()), Some(old.gid())).map_err(failed)?;
    }
    let was = gone(fs::rename(path, &kept)).map_err(failed)?;
    fs::rename(&begun, path).map_err(failed)?;
    flush_folder(path);
    Ok(was.then_some(kept))
}

/// Whether there was something to do; that there was nothing is no failure.
fn gone(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a folder cannot be opened or flushed, its names are durable a little later.
fn flush_folder(path: &Path) {
    let _ = OpenOptions::new().read(true).open(folder_of(path)).and_then(|folder| folder.sync_all());
}

/// Removes what backups into `folder` left that were killed. One that is under way holds its file locked, and
/// one that has just begun has written nothing. What cannot be removed takes up room and harms nobody.
fn forget_broken_off(folder: &Path) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_part = |name: &[u8]| name.starts_with(PART.0.as_bytes()) && name.ends_with(PART.1.as_bytes());
    for file in files.filter(|file| is_part(file.file_name().as_encoded_bytes())) {
        let is_begun = file.metadata().is_ok_and(|known| known.is_file() && known.len() > 0);
        let opened = is_begun.then(|| OpenOptions::new().write(true).open(file.path()));
        if opened.is_some_and(|opened| opened.is_ok_and(|file| file.try_lock().is_ok())) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Copies all that `connection` sees to `path`, which appears only once it is whole.
pub(super) fn copy(connection: &Connection, path: &Path) -> Outcome<()> {
    let failed = |why: &dyn std::fmt::Display| {
        refused(format!("cannot write the backup `{}`: {why}", safe_path(path)))
    };
    if path.symlink_metadata().is_ok() {
        return Err(failed(&"something of this name is there already"));
    }
    forget_broken_off(folder_of(path));
    let part = tempfile::Builder::new().prefix(PART.0).suffix(PART.1).tempfile_in(folder_of(path));
    let part = part.map_err(|error| failed(&error))?;
    part.as_file().try_lock().map_err(|error| failed(&error))?;
    let copied = Connection::open_with_flags(part.path(), OpenFlags::SQLITE_OPEN_READ_WRITE);
    let mut copied = copied.map_err(|error| failed(&error))?;
    // All pages in one step: the copy is of one moment, and nobody's writing begins it anew.
    match Backup::new(connection, &mut copied).and_then(|backup| backup.step(-1)) {
        Ok(StepResult::Done) => {}
        Ok(step) => return Err(failed(&format!("the store was not to be read ({step:?})"))),
        Err(error) => return Err(failed(&error)),
    }
    copied.close().map_err(|(_, error)| failed(&error))?;
    part.as_file().sync_all().map_err(|error| failed(&error))?;
    part.persist_noclobber(path).map_err(|error| failed(&error.error))?;
    flush_folder(path);
    Ok(())
}
