//! What a daemon told as it ended, for the next one: a file beside the store, since it ends because the
//! store fails. Who was told that it has ended is told when there is one again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::alert::Alert;

/// Longest file that is read: an own alert has one line of text.
const MOST: u64 = 64 << 10;

fn file_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".ended");
    name.into()
}

/// Leaves word of `alert`. Where that fails, too, its end is never told.
pub(super) fn leave(store: &Path, alert: &Alert) {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        serde_json::to_writer(&mut file, alert)?;
        file.flush()?;
        file.persist(file_of(store)).map_err(|error| error.error)
    });
    if let Err(error) = written {
        tracing::warn!(%error, "the next start will not tell that this end is over");
    }
}

/// What an earlier life left word of.
pub(super) fn left(store: &Path) -> Option<Alert> {
    let path = file_of(store);
    let fits = path.metadata().is_ok_and(|data| data.is_file() && data.len() <= MOST);
    #[expect(clippy::disallowed_methods, reason = "what an earlier life left is read at this edge")]
    let text = fits.then(|| std::fs::read(&path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Its end is kept: a death before this tells it once more, with the same id and revision.
pub(super) fn forget(store: &Path) {
    if let Err(error) = std::fs::remove_file(file_of(store))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the next start tells once more that an earlier end is over");
    }
}
