//! When to read the configuration and the rules again: a file that changed.
//!
//! Files are watched by their folders, because editors replace files; a burst of changes is one
//! reload. A folder may be replaced itself, or a link to it: then the system goes on watching what was
//! moved away and says nothing. So it is also looked, now and then, which files there are, and the watch
//! begins anew after every change. Where the system cannot watch, that look is what there is.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Endings of the files that rules are made of.
const RULE_FILES: [&str; 3] = ["yaml", "yml", "rhai"];
/// Quiet time after a change before it is acted on: an editor writes more than once.
const SETTLES: Duration = Duration::from_millis(300);
/// How often it is looked which files there are.
const LOOKS: Duration = Duration::from_secs(3);
/// Files that such a look takes in; changes of further ones are seen by the system alone.
const MAX_FILES: usize = 20_000;
/// Folders within folders that it goes down: a link may lead up again.
const MAX_DEPTH: usize = 16;

/// Keeps the watch alive; it ends with this value.
pub struct Watch {
    /// One for each time that something changed.
    pub changes: mpsc::Receiver<()>,
    task: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Watches `files` (by their folders) and `folders` (with all below).
    pub fn begin(files: &[PathBuf], folders: &[PathBuf]) -> Self {
        let (sender, changes) = mpsc::channel(1);
        let place = Place { files: files.to_vec(), folders: folders.to_vec() };
        let seen = place.seen();
        let (raw, changed) = mpsc::channel(1);
        let watcher = place.watch(&raw, &mut false);
        let task = tokio::spawn(go_on(sender, Arc::new(place), seen, watcher, (raw, changed)));
        Self { changes, task }
    }
}

/// What is watched.
struct Place {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// Which files there are, and by what each is told from another: its number on the disk, its size, and
/// when it was written.
type Seen = BTreeMap<PathBuf, (u64, u64, i64, i64)>;

/// Says each change, for ever.
async fn go_on(
    sender: mpsc::Sender<()>,
    place: Arc<Place>,
    mut seen: Seen,
    mut watcher: Option<notify::RecommendedWatcher>,
    (raw, mut changed): (mpsc::Sender<()>, mpsc::Receiver<()>),
) {
    let mut is_told = watcher.is_none();
    let (mut missed, mut gone) = (Vec::new(), Vec::new());
    loop {
        let by_system = tokio::time::timeout(LOOKS, changed.recv()).await.is_ok();
        if by_system {
            while let Ok(Some(())) = tokio::time::timeout(SETTLES, changed.recv()).await {}
        }
        let looked = place.clone();
        // A disk of another machine may not answer.
        let Ok((missing, now)) = tokio::task::spawn_blocking(move || (looked.missing(), looked.seen())).await
        else {
            continue;
        };
        // What is being replaced is not there for a moment.
        let settled = missing == missed;
        missed = missing;
        if settled {
            for path in missed.iter().filter(|path| !gone.contains(*path)) {
                warn!(path = %path.display(), "what is watched is gone; it is looked for again");
            }
            gone.clone_from(&missed);
        }
        if by_system || settled && now != seen {
            info!("files changed");
            seen = now;
            // The one before ends when the new one stands.
            drop(std::mem::replace(&mut watcher, place.watch(&raw, &mut is_told)));
            // One reload that waits is as good as two.
            let _ = sender.try_send(());
        }
    }
}

impl Place {
    /// Has the system say what changes; where it cannot, that is told once.
    fn watch(&self, raw: &mpsc::Sender<()>, is_told: &mut bool) -> Option<notify::RecommendedWatcher> {
        let watcher = watch(raw.clone(), &self.files, &self.folders);
        if let Err(error) = &watcher
            && !std::mem::replace(is_told, true)
        {
            warn!(%error, every = ?LOOKS, "files cannot be watched; it is looked for changes instead");
        }
        watcher.ok()
    }

    /// Files and folders that are not there.
    fn missing(&self) -> Vec<PathBuf> {
        self.files.iter().chain(&self.folders).filter(|path| !path.exists()).cloned().collect()
    }

    /// Every file that concerns, as it is now.
    fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        for file in &self.files {
            note(file, &mut seen);
        }
        for folder in &self.folders {
            below(folder, 0, &mut seen);
        }
        seen
    }
}

/// Notes every file of rules at or below `path`.
fn below(path: &Path, depth: usize, seen: &mut Seen) {
    let Ok(entries) = path.read_dir() else {
        note(path, seen);
        return;
    };
    // The folder itself: another one may stand in its place.
    if let Ok(folder) = path.metadata() {
        seen.insert(path.to_owned(), (folder.ino(), 0, 0, 0));
    }
    for entry in entries.flatten().map(|entry| entry.path()) {
        if is_of_rules(&entry) {
            note(&entry, seen);
        } else if depth < MAX_DEPTH && entry.is_dir() {
            below(&entry, depth + 1, seen);
        }
    }
}

fn note(file: &Path, seen: &mut Seen) {
    if let Ok(found) = file.metadata()
        && seen.len() < MAX_FILES
    {
        seen.insert(file.to_owned(), (found.ino(), found.size(), found.mtime(), found.mtime_nsec()));
    }
}

fn is_of_rules(path: &Path) -> bool {
    path.extension().is_some_and(|ending| RULE_FILES.iter().any(|known| ending == *known))
}

/// Paths as the system names them in its events.
fn names(paths: &[PathBuf]) -> Vec<PathBuf> {
    let whole = |path: &PathBuf| {
        // The file may be gone while an editor replaces it; its folder is not.
        let (folder, name) = (path.parent()?, path.file_name()?);
        let folder = if folder.as_os_str().is_empty() { ".".as_ref() } else { folder };
        Some(folder.canonicalize().ok()?.join(name))
    };
    paths
        .iter()
        .flat_map(|path| [whole(path), path.canonicalize().ok(), Some(path.clone())])
        .flatten()
        .collect()
}

fn watch(
    raw: mpsc::Sender<()>,
    files: &[PathBuf],
    folders: &[PathBuf],
) -> notify::Result<notify::RecommendedWatcher> {
    let (named, below) = (names(files), names(folders));
    let concerns = move |path: &PathBuf| {
        // The store changes all the time, and may stand in the same folder.
        named.contains(path) || (is_of_rules(path) && below.iter().any(|folder| path.starts_with(folder)))
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is no change of it.
        let changes = |event: &notify::Event| {
            !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(&concerns)
        };
        if event.is_ok_and(|event| changes(&event)) {
            let _ = raw.try_send(());
        }
    })?;
    for file in files {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| ".".as_ref()).canonicalize()?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    for folder in folders {
        watcher.watch(&folder.canonicalize()?, RecursiveMode::Recursive)?;
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether something changes within a few looks.
    async fn changes(watch: &mut Watch) -> bool {
        let told = tokio::time::timeout(Duration::from_secs(20), watch.changes.recv()).await;
        matches!(told, Ok(Some(())))
    }

    #[tokio::test]
    async fn a_folder_that_another_replaces_is_watched_on() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        for version in ["v1", "v2"] {
            std::fs::create_dir_all(here.join(version).join("rules")).unwrap();
            std::fs::write(here.join(version).join("rules/a.yaml"), version).unwrap();
        }
        std::os::unix::fs::symlink("v1", here.join("current")).unwrap();
        std::fs::write(here.join("larum.yaml"), "").unwrap();
        let mut watch = Watch::begin(&[here.join("larum.yaml")], &[here.join("current/rules")]);
        std::os::unix::fs::symlink("v2", here.join("current.new")).unwrap();
        std::fs::rename(here.join("current.new"), here.join("current")).unwrap();
        assert!(changes(&mut watch).await, "the link leads elsewhere");
        std::fs::write(here.join("v2/rules/a.yaml"), "edited").unwrap();
        assert!(changes(&mut watch).await, "a file of the new folder changed");
        // Moved away, and a copy in its place.
        std::fs::rename(here.join("v2/rules"), here.join("v2/rules.x")).unwrap();
        std::fs::create_dir(here.join("v2/rules")).unwrap();
        std::fs::write(here.join("v2/rules/a.yaml"), "edited").unwrap();
        assert!(changes(&mut watch).await, "another folder stands in its place");
        std::fs::write(here.join("v2/rules/b.yaml"), "new").unwrap();
        assert!(changes(&mut watch).await, "a file came to it");
        let quiet = tokio::time::timeout(Duration::from_secs(5), watch.changes.recv()).await;
        assert!(quiet.is_err(), "what was told is not told again");
    }
}
