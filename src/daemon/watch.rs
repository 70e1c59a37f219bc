//! When to read the configuration and the rules again: a file that changed.
//!
//! Files are watched by their folders, because editors replace files; a burst of changes is one
//! reload. Where the system cannot watch, SIGHUP still works ([`super::run::Settings::reload`]), and that is said.

use std::path::PathBuf;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Endings of the files that rules are made of.
const RULE_FILES: [&str; 3] = ["yaml", "yml", "rhai"];
/// Quiet time after a change before it is acted on: an editor writes more than once.
const SETTLES: Duration = Duration::from_millis(300);

/// Keeps the watch alive; it ends with this value.
pub struct Watch {
    /// One for each time that something changed.
    pub changes: mpsc::Receiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
    task: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("files", &self.watcher.is_some()).finish_non_exhaustive()
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
        let (raw, mut seen) = mpsc::channel::<()>(1);
        let task = tokio::spawn(async move {
            while seen.recv().await.is_some() {
                while let Ok(Some(())) = tokio::time::timeout(SETTLES, seen.recv()).await {}
                info!("files changed");
                // One reload that waits is as good as two.
                let _ = sender.try_send(());
            }
        });
        let watcher = watch(raw, files, folders)
            .inspect_err(|error| warn!(%error, "files cannot be watched; send SIGHUP after a change"))
            .ok();
        Self { changes, watcher, task }
    }
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
        let rule = path.extension().is_some_and(|ending| RULE_FILES.iter().any(|known| ending == *known));
        named.contains(path) || (rule && below.iter().any(|folder| path.starts_with(folder)))
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
