//! The id of a project that the configuration does not name: looked up once, and noted beside the
//! store, so that a restart does not need IAM.
//!
//! A note is for one place of IAM, one region and one account; others are never taken for it.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Url;

use super::client::Requests;
use super::credentials::{self, NoCredentials, is_id};
use crate::record::Timestamp;

/// Longest file of notes that is read, and how many notes it holds.
const MAX_NOTES: u64 = 64 << 10;
const MOST: usize = 256;

/// What a note is found by: a digest, for an account's name is nobody else's business.
pub(super) fn key(iam: Option<&Url>, region: &str, account: &str) -> String {
    let text = format!("{}\n{region}\n{account}", iam.map_or("", Url::as_str));
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The id that was noted under `key`.
pub(super) fn noted(notes: &Path, key: &str) -> Option<String> {
    read(notes).remove(key).filter(|id| is_id(id))
}

fn read(notes: &Path) -> BTreeMap<String, String> {
    if !notes.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_NOTES) {
        return BTreeMap::new();
    }
    #[expect(clippy::disallowed_methods, reason = "what an earlier life noted is read at this edge")]
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    // Notes that cannot be read cost a question.
    serde_json::from_str(&text).unwrap_or_default()
}

/// Notes an id, whole or not at all.
pub(super) fn note(notes: &Path, key: &str, id: &str) -> Result<(), String> {
    let mut all = read(notes);
    if all.len() >= MOST {
        all.clear();
    }
    all.insert(key.to_owned(), id.to_owned());
    let folder = notes.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        use std::io::Write as _;
        file.write_all(serde_json::to_string(&all)?.as_bytes())?;
        file.persist(notes).map_err(|error| error.error)
    });
    written
        .map(drop)
        .map_err(|error| format!("the project's id cannot be noted in `{}`: {error}", notes.display()))
}

/// Asks IAM. The text of a failure says the way out.
pub(super) async fn ask(
    requests: &mut Requests,
    iam: Option<&Url>,
    region: &str,
    now: Timestamp,
) -> Result<String, String> {
    let iam = iam.ok_or("nobody knows where IAM is: write `project_id`, or `base_url: {iam: https://…}`")?;
    if requests.keeper.is_due(now) {
        requests.renew(now).await.map_err(|NoCredentials { text, .. }| text)?;
    }
    credentials::project(requests, iam, region, now).await
}
