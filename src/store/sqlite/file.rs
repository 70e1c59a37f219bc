//! The file: taken by one daemon, looked at before it is touched, copied whole.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::fault::{Outcome, refused, unusable};
use super::schema;
use crate::rule::problem::safe_path;
use crate::store::StoreError;

/// How long somebody else's writing is waited for. Nobody else should write at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// A larger file is not read through at the start: what is broken in it is found when it is read.
const MAX_CHECKED: u64 = 256 << 20;
/// Bytes to which the write-ahead log is cut back once it is copied into the file.
const MAX_IDLE_LOG: u32 = 64 << 20;

/// The path with something added to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The file's own path, so that two names of one file take the same lock.
pub(super) fn resolved(path: &Path) -> Outcome<PathBuf> {
    path.canonicalize().map_err(|error| unusable(path, &error))
}

/// The same of a file that may be none yet: a link may lead to it, so that it is made first.
pub(super) fn made(path: &Path) -> Outcome<PathBuf> {
    private(OpenOptions::new().write(true).create(true).truncate(false), path)
        .map_err(|error| unusable(path, &error))?;
    resolved(path)
}

/// Takes the store for this process, for as long as the file that is returned lives.
pub(super) fn take(path: &Path) -> Outcome<File> {
    let beside = beside(path, ".lock");
    let file = private(OpenOptions::new().write(true).create(true).truncate(false), &beside);
    let file = file.map_err(|error| unusable(&beside, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Taken { path: path.to_owned() }.into()),
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
    let connection = connected(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found = schema::found(&connection).map_err(|fault| {
        let words = "a writing of it was cut off; the daemon takes back what is half written when it starts";
        if fault.is_cut_off() { unusable(path, &words) } else { fault }
    })?;
    let known = schema::format(steps);
    if found > known {
        return Err(StoreError::TooNew { found, known }.into());
    }
    if found < known {
        let words = format!("it has format {found}; the daemon brings it forward to {known} when it starts");
        return Err(unusable(path, &words));
    }
    Ok(connection)
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
        let told: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if told != "ok" {
            return Err(StoreError::Corrupt(told).into());
        }
    }
    Ok(found)
}

fn connected(path: &Path, how: OpenFlags) -> Outcome<Connection> {
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| unusable(path, &error))?;
    connection.busy_timeout(PATIENCE)?;
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0")?;
    Ok(connection)
}

/// Copies all that `connection` sees to `path`, which appears only once it is whole.
pub(super) fn copy(connection: &Connection, path: &Path) -> Outcome<()> {
    let failed = |why: &dyn std::fmt::Display| {
        refused(format!("cannot write the backup `{}`: {why}", safe_path(path)))
    };
    if path.symlink_metadata().is_ok() {
        return Err(failed(&"something of this name is there already"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = tempfile::Builder::new().prefix(".larum-backup-").tempfile_in(folder);
    let part = part.map_err(|error| failed(&error))?;
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
    // Where a folder cannot be opened or flushed, its name for the file is durable a little later.
    let _ = OpenOptions::new().read(true).open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}
