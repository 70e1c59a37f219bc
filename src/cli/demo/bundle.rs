//! What the demo carries with it: the shipped rules, and the office's records as files to play with.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure, show};
use crate::simulate::{List, World};

/// The shipped rules, as they stand in `rules/`.
pub const RULES: [(&str, &str); 4] = [
    ("rules/identity/failure-burst.yaml", include_str!("../../../rules/identity/failure-burst.yaml")),
    ("rules/identity/unusual-public-ip.yaml", include_str!("../../../rules/identity/unusual-public-ip.yaml")),
    ("rules/operations/slow-line.yaml", include_str!("../../../rules/operations/slow-line.yaml")),
    (
        "rules/operations/very-slow-sign-in.yaml",
        include_str!("../../../rules/operations/very-slow-sign-in.yaml"),
    ),
];

#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error("cannot write `{}`", show::path(path))]
    Write { path: PathBuf, source: std::io::Error },
    #[error("`{}` is there already; name a folder of its own", show::path(path))]
    Exists { path: PathBuf },
}

/// Writes the shipped rules into `folder`, each where it stands in the repository.
pub fn write_rules(folder: &Path) -> Result<(), Failure> {
    for (name, text) in RULES {
        put(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// Nothing may stand at `path` yet.
pub fn must_be_free(path: &Path) -> Result<(), Failure> {
    if path.exists() { Err(BundleError::Exists { path: path.to_owned() }.into()) } else { Ok(()) }
}

/// Writes one file and the folders above it.
pub fn put(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let write = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::File::create(path)?.write_all(text)
    };
    write().map_err(|source| BundleError::Write { path: path.to_owned(), source }.into())
}

/// Writes records and rules to play with, and says what can be done with them.
pub fn write(world: &World, folder: &Path) -> Result<Exit, Failure> {
    let file_of = |list: List| folder.join(format!("{}.ndjson", list.as_str()));
    let rules = RULES.iter().map(|(name, _)| folder.join(name));
    for path in rules.chain(world.lists().map(file_of)) {
        must_be_free(&path)?;
    }
    write_rules(folder)?;
    for list in world.lists() {
        let mut text = String::new();
        for row in world.rows(list) {
            text.push_str(row.text());
            text.push('\n');
        }
        put(&file_of(list), text.as_bytes())?;
        show::note(&format!("wrote {}", show::path(&file_of(list))));
    }
    show::note(&format!("wrote {} rules into {}", RULES.len(), show::path(&folder.join("rules"))));
    let at = show::path(folder);
    show::note(&format!(
        "Next:\n  larum replay --rules {at}/rules {at}/*.ndjson\n  \
         larum explain failure-burst --rules {at}/rules --group user=ana.ruiz --at 2026-03-12T09:36:54Z \
         {at}/desktop_logins.ndjson\n  larum test {at}/rules"
    ));
    Ok(Exit::Fine)
}
