//! What went wrong, before it is told in the store's words.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::rule::problem::safe_path;
use crate::store::StoreError;

/// What a step of the store gives, or why it could not.
pub(super) type Outcome<T> = Result<T, Fault>;

/// Why a step could not.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite said so.
    Sql(rusqlite::Error),
    /// The store itself refuses.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sql(error) => told(&error),
            Fault::Refused(error) => error,
        }
    }
}

impl Fault {
    /// True when nothing may be written any more. What the disk holds after a failed write or flush
    /// is unknown, and asking again may answer yes without having written.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Sql(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::Refused(_) => false,
        }
    }

    /// True where a reader would have to make something beside the file, and may not.
    pub(super) fn is_read_only(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.sqlite_error().is_some_and(|error| {
            matches!(error.code, ErrorCode::ReadOnly | ErrorCode::CannotOpen) && !self.is_cut_off()
        })
    }

    /// True where something half written must be taken back before the file can be read, and who asked may not
    /// write.
    pub(super) fn is_cut_off(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.sqlite_error().is_some_and(|error| {
            matches!(error.extended_code, ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY)
        })
    }
}

/// A refusal in words.
pub(super) fn refused(words: impl Into<String>) -> Fault {
    Fault::Refused(StoreError::Failed(words.into()))
}

/// What was read is not what was ever written.
pub(super) fn corrupt(words: impl Into<String>) -> Fault {
    Fault::Refused(StoreError::Corrupt(words.into()))
}

/// A file that cannot be worked with.
pub(super) fn unusable(path: &Path, error: &impl std::fmt::Display) -> Fault {
    refused(format!("cannot open `{}`: {error}", safe_path(path)))
}

fn told(error: &rusqlite::Error) -> StoreError {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    if let FromSqlConversionFailure(..)
    | IntegralValueOutOfRange(..)
    | InvalidColumnType(..)
    | Utf8Error(..) = error
    {
        return StoreError::Corrupt(error.to_string());
    }
    // What readers and writers agree by could not be given its size.
    if error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE) {
        return StoreError::Full;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
        Some(_) | None => StoreError::Failed(error.to_string()),
    }
}
