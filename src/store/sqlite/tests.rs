//! What is SQLite's own: the file, its lock, its formats, and what happens when the disk is full.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::record::Timestamp;
use crate::store::Event;
use crate::store::suite::{alert, commit, delivery, fence, read, receiver, suite, tenant, wait, whole};

/// A folder with one store in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("larum.db")
    }

    fn store(&self) -> Sqlite {
        Sqlite::open(&self.path()).unwrap()
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }

    /// The file itself, behind the store's back.
    fn behind(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn error(&self) -> StoreError {
        Sqlite::open(&self.path()).unwrap_err()
    }
}

suite!(Folder::new());

#[test]
fn it_does_what_the_model_does_whatever_is_asked_of_it() {
    crate::store::law::behaves_as_the_model(Folder::new, Folder::open);
}

impl Sqlite {
    /// Does something with the connection that writes.
    fn tamper(&self, run: impl Fn(&Connection) + Send + 'static) {
        wait(self.write(|reply| Job::With { run: Box::new(run), reply })).unwrap();
    }
}

fn two_entries() -> Vec<Change> {
    vec![read(1, "a\n"), read(2, "b\n")]
}

fn span(store: &dyn Store) -> Option<(u64, u64)> {
    wait(store.span(tenant())).unwrap()
}

fn bytes(folder: &Folder) -> Vec<u8> {
    bytes_of(&folder.path())
}

#[expect(clippy::disallowed_methods, reason = "the file as a whole is what is looked at")]
fn bytes_of(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// Rows that no compression makes small.
fn noise(bytes: usize) -> String {
    let mut state = 7_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state % 95).unwrap())
    };
    (0..bytes).map(|_| next()).collect()
}

fn newest() -> i64 {
    schema::format(schema::STEPS)
}

#[test]
fn every_commit_is_flushed_before_it_is_answered() {
    let folder = Folder::new();
    folder.store().tamper(|connection| {
        let number =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), number("synchronous"), number("foreign_keys")), ("wal", 2, 1));
        assert_eq!((number("application_id"), number("user_version")), (schema::APPLICATION, newest()));
    });
}

#[test]
fn a_second_daemon_is_refused_in_clear_words() {
    let folder = Folder::new();
    let first = folder.store();
    let error = folder.error();
    let words = format!(
        "the store `{}` is in use by another daemon (process {}); stop it, or give this one a store of its own",
        folder.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), words);
    drop(first);
    folder.store();
}

#[cfg(unix)]
#[test]
fn another_name_of_the_same_file_takes_the_same_lock() {
    let folder = Folder::new();
    let first = folder.store();
    let alias = folder.0.path().join("alias.db");
    std::os::unix::fs::symlink(folder.path(), &alias).unwrap();
    assert!(matches!(Sqlite::open(&alias), Err(StoreError::Taken { .. })));
    drop(first);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_that_is_not_made_yet_takes_its_lock() {
    let folder = Folder::new();
    let alias = folder.0.path().join("alias.db");
    std::os::unix::fs::symlink("larum.db", &alias).unwrap();
    let first = Sqlite::open(&alias).unwrap();
    for name in [alias, folder.path()] {
        assert!(matches!(Sqlite::open(&name), Err(StoreError::Taken { .. })));
    }
    drop(first);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let store = folder.store();
    commit(&store, &fence(&store), two_entries()).unwrap();
    let copy = folder.0.path().join("copy.db");
    wait(store.backup(copy)).unwrap();
    for file in fs::read_dir(folder.0.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
    }
}

#[test]
fn commands_read_beside_a_running_daemon_and_without_one() {
    let folder = Folder::new();
    let daemon = folder.store();
    let fence = fence(&daemon);
    commit(&daemon, &fence, vec![read(1, "a\n")]).unwrap();
    let beside = Sqlite::open_read_only(&folder.path()).unwrap();
    assert_eq!(span(&beside), Some((1, 1)));
    commit(&daemon, &fence, vec![read(2, "b\n")]).unwrap();
    assert_eq!(span(&beside), Some((1, 2)), "it sees what is committed meanwhile");
    let refused = commit(&beside, &fence, vec![read(3, "c\n")]).unwrap_err();
    let words =
        "the store failed: it was opened for reading only; what changes it is asked of the running daemon";
    assert_eq!(refused.to_string(), words);
    assert_eq!(wait(beside.fence(tenant())).unwrap_err().to_string(), words);
    drop(daemon);
    assert_eq!(span(&beside), Some((1, 2)));
    drop(beside);
    let alone = Sqlite::open_read_only(&folder.path()).unwrap();
    assert_eq!(span(&alone), Some((1, 2)));
    // Who only reads does not keep the daemon out.
    folder.store();
}

/// Copies the store of `folder`, and the journals beside it, to a folder of its own: what a daemon that is killed
/// at this moment leaves behind.
fn killed(folder: &Folder) -> Folder {
    let left = Folder::new();
    for suffix in ["", "-journal", "-wal"] {
        let from = file::beside(&folder.path(), suffix);
        if from.exists() {
            fs::copy(from, file::beside(&left.path(), suffix)).unwrap();
        }
    }
    left
}

#[test]
fn a_writing_that_was_cut_off_is_taken_back() {
    // Before it has a log the file has a journal, as in the first moments of the first daemon.
    let folder = Folder::new();
    let store = folder.store();
    commit(&store, &fence(&store), two_entries()).unwrap();
    drop(store);
    let behind = folder.behind();
    let mode: String = behind.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    behind.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE; DELETE FROM journal").unwrap();
    behind.execute_batch("CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i, randomblob(200) AS b FROM n").unwrap();
    let left = killed(&folder);
    assert!(file::beside(&left.path(), "-journal").metadata().unwrap().len() > 0);
    let error = Sqlite::open_read_only(&left.path()).unwrap_err().to_string();
    assert!(error.ends_with("the daemon takes back what is half written when it starts"), "{error}");
    assert_eq!(span(&left.store()), Some((1, 2)));
    assert_eq!(span(&Sqlite::open_read_only(&left.path()).unwrap()), Some((1, 2)));
}

#[test]
fn reading_only_makes_no_file() {
    let folder = Folder::new();
    let error = Sqlite::open_read_only(&folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("larum.db`: there is no such file"), "{error}");
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Sqlite::open(Path::new("/no/such/folder/larum.db")).unwrap_err().to_string();
    assert!(error.starts_with("the store failed: cannot open `/no/such/folder/larum.db`"), "{error}");
}

/// A step to a format of the future.
const ONE_MORE: &str = "ALTER TABLE counters ADD COLUMN unit TEXT NOT NULL DEFAULT 'rows'; DELETE FROM texts";

#[test]
fn an_older_format_is_brought_forward_with_all_it_holds() {
    let folder = Folder::new();
    let behind = folder.behind();
    behind.execute_batch(&schema::STEPS.concat()).unwrap();
    let (known, next) = (newest(), newest() + 1);
    behind
        .execute_batch(&format!(
            "PRAGMA application_id = {}; PRAGMA user_version = {known};
             INSERT INTO tenants VALUES ('default', 7);
             INSERT INTO counters VALUES ('default', 'late', 3);
             INSERT INTO cursors VALUES ('default', 1, '{{\"page\":2}}');",
            schema::APPLICATION
        ))
        .unwrap();
    drop(behind);
    let steps = [schema::STEPS, &[ONE_MORE]].concat();
    let read_only = StoreError::from(Sqlite::look_with(&folder.path(), &steps).unwrap_err()).to_string();
    let told = format!("it has format {known}; the daemon brings it forward to {next} when it starts");
    assert!(read_only.ends_with(&told), "{read_only}");
    let store = Sqlite::open_with(&folder.path(), &steps).unwrap();
    assert_eq!(wait(store.counters(tenant())).unwrap(), [("late".to_owned(), 3)].into());
    assert_eq!(wait(store.cursors(tenant())).unwrap()[0].place, "{\"page\":2}");
    assert_eq!(fence(&store).epoch, 8);
    drop(store);
    let unit: String = folder.behind().query_row("SELECT unit FROM counters", [], |row| row.get(0)).unwrap();
    assert_eq!(unit, "rows");
    let error = folder.error().to_string();
    let told =
        format!("the store has format {next}, this version reads up to {known}; run the newer version");
    assert_eq!(error, told);
    let error = Sqlite::open_read_only(&folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found, known: ours } if (found, ours) == (next, known)));
    Sqlite::open_with(&folder.path(), &steps).unwrap();
}

#[test]
fn a_step_that_fails_leaves_the_old_format_whole() {
    let folder = Folder::new();
    let store = folder.store();
    commit(&store, &fence(&store), two_entries()).unwrap();
    drop(store);
    let broken = "DELETE FROM journal; CREATE TABLE tenants (x)";
    assert!(Sqlite::open_with(&folder.path(), &[schema::STEPS, &[ONE_MORE, broken]].concat()).is_err());
    assert_eq!(span(&folder.store()), Some((1, 2)));
}

#[test]
fn a_start_that_broke_off_before_the_tables_were_made_is_repeated() {
    let folder = Folder::new();
    fs::write(folder.path(), "").unwrap();
    drop(folder.store());
    let folder = Folder::new();
    folder.behind().execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    let store = folder.store();
    commit(&store, &fence(&store), two_entries()).unwrap();
}

#[test]
fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let text = "rules:\n  - id: ".repeat(1_000);
    fs::write(folder.path(), &text).unwrap();
    let error = folder.error().to_string();
    assert!(error.starts_with("the store is damaged (file is not a database"), "{error}");
    assert!(
        error.ends_with("; `larum restore FILE` puts a backup in its place; or move it away to begin anew"),
        "{error}"
    );
    assert_eq!(bytes(&folder), text.as_bytes());

    let folder = Folder::new();
    folder.behind().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let before = bytes(&folder);
    assert!(matches!(folder.error(), StoreError::Corrupt(why) if why == "the file is another program's"));
    assert_eq!(bytes(&folder), before);
}

#[test]
fn a_file_that_was_cut_or_overwritten_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    for seq in 1..=20 {
        commit(&store, &fence, vec![read(seq, noise(20_000))]).unwrap();
    }
    drop(store);
    let whole = bytes(&folder);
    let mut smeared = whole.clone();
    smeared[4_096..200_000].fill(0xa5);
    for damaged in [&whole[..whole.len() / 2], &whole[..50], &smeared] {
        fs::write(folder.path(), damaged).unwrap();
        let error = folder.error();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
        assert_eq!(bytes(&folder), damaged);
    }
    fs::write(folder.path(), &whole).unwrap();
    assert_eq!(span(&folder.store()), Some((1, 20)));
}

#[test]
fn a_value_that_was_overwritten_is_told_and_not_made_up() {
    let folder = Folder::new();
    let store = folder.store();
    commit(&store, &fence(&store), two_entries()).unwrap();
    store.tamper(|connection| {
        connection.execute("UPDATE journal SET event = x'02ffffffff28b5' WHERE seq = 2", []).unwrap();
    });
    assert_eq!(wait(store.entries(tenant(), vec![1])).unwrap().len(), 1);
    let error = wait(store.journal(tenant(), 0, usize::MAX)).unwrap_err().to_string();
    assert!(error.starts_with("the store is damaged (journal entry 2: "), "{error}");
}

#[test]
fn a_full_disk_changes_nothing_and_passes() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    commit(&store, &fence, two_entries()).unwrap();
    let room = |pages: i64| {
        move |connection: &Connection| {
            let count: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            let sql = format!("PRAGMA max_page_count = {}", count + pages);
            connection.query_row(&sql, [], |_| Ok(())).unwrap();
        }
    };
    store.tamper(room(2));
    let large = vec![read(3, "c\n"), read(4, noise(100_000))];
    let full = commit(&store, &fence, large.clone()).unwrap_err();
    assert_eq!(full.to_string(), "the disk under the store is full; free some space, or lower `keep`");
    assert_eq!(span(&store), Some((1, 2)));
    commit(&store, &fence, vec![read(3, "small\n")]).unwrap();
    store.tamper(room(1_000));
    commit(&store, &fence, vec![read(4, noise(100_000))]).unwrap();
    drop(store);
    assert_eq!(span(&folder.store()), Some((1, 4)));
}

#[test]
fn of_commits_that_wait_together_only_what_does_not_fit_fails() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    store.tamper(|connection| {
        let count: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.query_row(&format!("PRAGMA max_page_count = {}", count + 4), [], |_| Ok(())).unwrap();
    });
    let count = || Change::Count { name: "made".to_owned(), by: 1 };
    let cursor = Change::Cursor(Cursor { lane: crate::engine::SourceId(1), place: noise(100_000) });
    let commits = [vec![count()], vec![count(), cursor], vec![count()]];
    let commits: Vec<_> = commits.into_iter().map(|changes| store.commit(fence.clone(), changes)).collect();
    let results = together(commits);
    assert!(matches!(&results[..], [Ok(()), Err(StoreError::Full), Ok(())]), "{results:?}");
    assert_eq!(wait(store.counters(tenant())).unwrap()["made"], 2);
}

/// Polls all before the first is answered.
fn together(answers: Vec<Answer<()>>) -> Vec<Result<(), StoreError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = answers.into_iter().map(tokio::spawn).collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    })
}

#[test]
fn somebody_elses_writing_is_told_as_busy() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    store.tamper(|connection| connection.busy_timeout(std::time::Duration::ZERO).unwrap());
    let other = folder.behind();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(commit(&store, &fence, two_entries()), Err(StoreError::Busy)));
    other.execute_batch("ROLLBACK").unwrap();
    commit(&store, &fence, two_entries()).unwrap();
}

#[test]
fn after_a_failed_write_nothing_more_is_written() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    commit(&store, &fence, two_entries()).unwrap();
    // A table's pages that are not what its root says.
    store.tamper(|connection| {
        connection
            .execute_batch(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'cursors')
                 WHERE name = 'counters';
                 PRAGMA writable_schema = RESET",
            )
            .unwrap();
    });
    let count = Change::Count { name: "late".to_owned(), by: 1 };
    let first = commit(&store, &fence, vec![count]).unwrap_err();
    assert!(matches!(first, StoreError::Corrupt(_)), "{first:?}");
    let second = commit(&store, &fence, vec![read(3, "c\n")]).unwrap_err();
    assert!(matches!(second, StoreError::Corrupt(_)), "{second:?}");
    assert!(wait(store.fence(tenant())).is_err());
    assert_eq!(span(&store), Some((1, 2)), "what was kept can still be read");
}

#[test]
fn a_failed_flush_is_told_with_the_way_out() {
    let failed = rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC),
        Some("disk I/O error".to_owned()),
    );
    let mut writing = writer::Writing::of(Connection::open_in_memory().unwrap());
    let words =
        "the store failed: disk I/O error; nothing more is written until Larum has been started again";
    assert_eq!(writing.note(fault::Fault::Sql(failed)).to_string(), words);
    let later = writing.transaction(&[]).unwrap_err();
    assert_eq!(later.to_string(), words);
}

#[test]
fn a_disk_without_room_for_what_lies_beside_the_file_is_full() {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    let failed = rusqlite::Error::SqliteFailure(code, Some("disk I/O error".to_owned()));
    assert!(matches!(StoreError::from(fault::Fault::Sql(failed)), StoreError::Full));
}

#[test]
fn a_backup_is_whole_and_never_overwrites() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    commit(&store, &fence, two_entries()).unwrap();
    let copy = folder.0.path().join("copy.db");
    wait(store.backup(copy.clone())).unwrap();
    commit(&store, &fence, vec![read(3, "c\n")]).unwrap();
    let error = wait(store.backup(copy.clone())).unwrap_err().to_string();
    let words = format!(
        "the store failed: cannot write the backup `{}`: something of this name is there already",
        copy.display()
    );
    assert_eq!(error, words);
    assert!(wait(store.backup(folder.0.path().join("no/such/folder.db"))).is_err());
    assert_eq!(span(&Sqlite::open_read_only(&copy).unwrap()), Some((1, 2)));
    let restored = Sqlite::open(&copy).unwrap();
    commit(&restored, &fence, vec![read(3, "another\n")]).unwrap();
    assert_eq!(span(&store), Some((1, 3)));
    let left = fs::read_dir(folder.0.path())
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with(".larum-backup"));
    assert_eq!(left.count(), 0, "nothing is left lying");
}

#[test]
fn what_a_backup_left_that_was_killed_is_removed_by_the_next_and_another_that_is_under_way_is_not() {
    let folder = Folder::new();
    let store = folder.store();
    let part = |name: &str| folder.0.path().join(format!(".larum-backup-{name}.part"));
    for name in ["killed", "busy"] {
        fs::write(part(name), "half of a store").unwrap();
    }
    let busy = fs::OpenOptions::new().write(true).open(part("busy")).unwrap();
    busy.lock().unwrap();
    fs::write(part("begun"), "").unwrap();
    let another = folder.0.path().join(".larum-backup-monday");
    fs::write(&another, "a whole store").unwrap();
    wait(store.backup(folder.0.path().join("copy.db"))).unwrap();
    let left = ["killed", "busy", "begun"].map(|name| part(name).exists());
    assert_eq!(left, [false, true, true]);
    assert!(another.exists(), "whoever calls a backup so keeps it");
}

#[test]
fn a_journal_of_a_hundred_megabytes_is_read_in_bounded_chunks() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    let rows = format!("{}\n", "{\"user_name\":\"ana\"} ".repeat(50_000));
    let entries = 100_000_000 / rows.len() as u64 + 1;
    for seq in 1..=entries {
        commit(&store, &fence, vec![read(seq, rows.clone())]).unwrap();
    }
    let (mut after, mut chunks) = (0, 0);
    loop {
        let chunk = wait(store.journal(tenant(), after, 4_000_000)).unwrap();
        let Some(last) = chunk.last() else { break };
        after = last.seq;
        chunks += 1;
        let len: usize = chunk
            .iter()
            .map(|entry| match &entry.event {
                Event::Read { rows, .. } => rows.len(),
                Event::Generation { .. }
                | Event::Adopted { .. }
                | Event::Known(_)
                | Event::Joined(_)
                | Event::Left { .. }
                | Event::Gone { .. }
                | Event::Placed { .. } => 0,
            })
            .sum();
        assert!(len <= 4_000_000, "{len}");
    }
    assert_eq!((after, chunks), (entries, entries.div_ceil(3)));
    assert!(wait(store.holdings()).unwrap().bytes < 10_000_000, "rows are kept compressed");
}

#[test]
fn what_is_forgotten_gives_its_room_back() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    let noise = noise(100_000);
    for seq in 1..=30 {
        commit(&store, &fence, vec![read(seq, noise.clone())]).unwrap();
    }
    let before = wait(store.holdings()).unwrap().bytes;
    let forget = Change::Forget { seq: 30, before: Timestamp(0) };
    commit(&store, &fence, vec![Change::Checkpoint(whole(30)), forget]).unwrap();
    store.tamper(|connection| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    });
    let after = wait(store.holdings()).unwrap().bytes;
    assert!(after * 5 < before, "{before} -> {after}");
    assert!(fs::metadata(folder.path()).unwrap().len() * 5 < before);
}

#[test]
fn what_is_due_is_read_in_the_order_of_an_index() {
    let folder = Folder::new();
    let store = folder.store();
    store.tamper(|connection| {
        let plan = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines = statement.query_map(params, |row| row.get::<_, String>(3)).unwrap();
            lines.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
        };
        let due = plan(&deliveries::due_sql(), &[&"slack", &1, &1, &1]);
        assert_eq!(due, "SEARCH deliveries USING INDEX deliveries_open (receiver=? AND level=?)");
        let last = plan(&deliveries::last_tried_sql(), &[&"slack"]);
        assert!(
            last.starts_with("SEARCH deliveries USING INDEX deliveries_tried (receiver=? AND tried_at>?)"),
            "{last}"
        );
    });
}

#[test]
fn the_form_of_an_entry_is_the_one_that_older_files_hold() {
    // Where this fails, a new form has to be added beside the old one: see `pack`.
    let lane = crate::store::suite::lane(3, "prod/desktop_logins");
    let watermark = Some(crate::store::Watermark { start: Timestamp(1), end: Timestamp(-1) });
    let lane_id = crate::engine::SourceId(3);
    let events = [
        Event::Generation { digest: "ab".to_owned() },
        Event::Adopted { rules: vec!["quiet".parse().unwrap()], from: 9 },
        Event::Known(lane.clone()),
        Event::Joined(lane),
        Event::Left { lane: lane_id },
        Event::Read { lane: lane_id, rows: "{}\n".to_owned(), twins: vec![(1, 2)], watermark },
    ];
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let forms = events.map(|event| hex(postcard::to_stdvec(&event).unwrap()));
    let first_form = [
        "00026162",
        "010105717569657409",
        "02031370726f642f6465736b746f705f6c6f67696e73010a636e2d6e6f7274682d34043061316200010000",
        "03031370726f642f6465736b746f705f6c6f67696e73010a636e2d6e6f7274682d34043061316200010000",
        "0403",
        "0503037b7d0a010102010201",
    ];
    assert_eq!(forms, first_form);
}

#[test]
fn alerts_and_their_numbers_survive_being_kept() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    let mut kept = alert(1, 1, crate::alert::State::Open, 1_000);
    let awkward = [0.1 + 0.2, 1.0 / 3.0, 5e-324, f64::MAX, 123_456_789.123_456_79, -0.0, 1e21];
    for (number, value) in awkward.into_iter().enumerate() {
        kept.values.insert(format!("v{number}"), serde_json::json!(value));
    }
    kept.values.insert("whole".to_owned(), serde_json::json!(u64::MAX));
    commit(&store, &fence, vec![Change::Alert(Box::new(kept.clone()))]).unwrap();
    let read = wait(store.revisions(Arc::clone(&fence.tenant), kept.id)).unwrap().remove(0);
    assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&kept).unwrap());
}

#[test]
fn a_backlog_of_what_is_not_due_yet_hides_nothing() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    let held = (1..=200).map(|id| Change::Owed(Box::new(delivery(id, "slack", 1_000))));
    commit(&store, &fence, held.chain([Change::Owed(Box::new(delivery(201, "slack", 1)))]).collect())
        .unwrap();
    let due = wait(store.due(receiver("slack"), Timestamp(1), 1)).unwrap();
    assert_eq!(due[0].id.0[0], 201);
}

/// Copies the file and its log as they lie on the disk, which is all that a crash leaves.
fn crashed(folder: &Folder, log: Option<usize>) -> Folder {
    let copy = Folder::new();
    fs::copy(folder.path(), copy.path()).unwrap();
    let wal = |folder: &Folder| file::beside(&folder.path(), "-wal");
    fs::copy(wal(folder), wal(&copy)).unwrap();
    if let Some(len) = log {
        let file = fs::OpenOptions::new().write(true).open(wal(&copy)).unwrap();
        file.set_len(len as u64).unwrap();
    }
    copy
}

#[test]
fn what_was_answered_survives_a_crash_at_once() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    for seq in 1..=30 {
        commit(&store, &fence, vec![read(seq, noise(2_000))]).unwrap();
        assert_eq!(span(&crashed(&folder, None).store()), Some((1, seq)));
    }
}

#[test]
fn a_log_cut_anywhere_leaves_whole_commits_only() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    for seq in 1..=20 {
        let count = Change::Count { name: "made".to_owned(), by: 1 };
        commit(&store, &fence, vec![count, read(seq, noise(3_000))]).unwrap();
    }
    let len = usize::try_from(fs::metadata(file::beside(&folder.path(), "-wal")).unwrap().len()).unwrap();
    let mut last = 0;
    for cut in (0..=len).step_by(len / 97) {
        let store = crashed(&folder, Some(cut)).store();
        let entries = span(&store).map_or(0, |(_, last)| last);
        let made = wait(store.counters(tenant())).unwrap().get("made").copied().unwrap_or(0);
        assert_eq!(entries, made, "a log of {cut} bytes");
        assert!(entries >= last);
        last = entries;
    }
    assert!(last >= 18, "only the end was cut: {last}");
}

/// Transactions in the log since it was begun: frames that end one tell how large the file is then.
fn transactions(folder: &Folder) -> usize {
    const HEAD: usize = 32;
    const FRAME: usize = 24 + 4_096;
    let log = bytes_of(&file::beside(&folder.path(), "-wal"));
    log[HEAD..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[test]
fn commits_that_wait_share_one_flush() {
    let folder = Folder::new();
    let store = folder.store();
    let fence = fence(&store);
    let before = transactions(&folder);
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (begins, begun) = std::sync::mpsc::channel();
        let wait = move |_: &Connection| {
            begins.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        };
        let mut tasks = vec![tokio::spawn(store.write(|reply| Job::With { run: Box::new(wait), reply }))];
        tokio::task::yield_now().await;
        // The writer has taken it, and nothing with it.
        begun.recv().unwrap();
        for _ in 0..20 {
            let count = Change::Count { name: "made".to_owned(), by: 1 };
            tasks.push(tokio::spawn(store.commit(fence.clone(), vec![count])));
        }
        // Once each has been polled, it waits for the writer, which waits for the gate.
        tokio::task::yield_now().await;
        open.send(()).unwrap();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    assert_eq!(wait(store.counters(tenant())).unwrap()["made"], 20);
    assert_eq!(transactions(&folder), before + 1);
}

/// Two entries in a backup, and a third in the store's log, beside which its daemon died.
fn died() -> (Folder, PathBuf) {
    let (alive, dead) = (Folder::new(), Folder::new());
    let store = alive.store();
    let fence = fence(&store);
    commit(&store, &fence, two_entries()).unwrap();
    let backup = dead.0.path().join("b.db");
    wait(store.backup(backup.clone())).unwrap();
    commit(&store, &fence, vec![read(3, "c\n")]).unwrap();
    for part in ["", "-wal"] {
        fs::copy(file::beside(&alive.path(), part), file::beside(&dead.path(), part)).unwrap();
    }
    (dead, backup)
}

#[test]
fn a_backup_takes_the_place_of_a_store_and_its_log() {
    let (folder, backup) = died();
    for number in 1..=2 {
        let kept = Sqlite::restore(&folder.path(), &backup).unwrap().unwrap();
        assert_eq!(kept, file::beside(&folder.path(), &format!(".replaced-{number}")));
        let store = folder.store();
        assert_eq!(span(&store), Some((1, 2)));
        // What was there is whole, with its log.
        assert_eq!(span(&Sqlite::open_read_only(&kept).unwrap()), Some((1, 4 - number)));
        // And the backup is as it was, to be taken again.
        commit(&store, &fence(&store), vec![read(3, "d\n")]).unwrap();
        drop(store);
        Sqlite::open(&folder.path()).unwrap().tamper(|connection| {
            connection.execute_batch("DELETE FROM journal WHERE seq = 3").unwrap();
        });
    }
    let anew = Folder::new();
    assert_eq!(Sqlite::restore(&anew.path(), &backup).unwrap(), None);
    assert!(["-wal", "-shm"].iter().all(|log| !file::beside(&backup, log).exists()));
    assert_eq!(span(&anew.store()), Some((1, 2)));
}

#[test]
fn a_restore_that_was_cut_off_comes_to_its_end_at_the_next_start() {
    // How many of its moves were made.
    for moves in 0..=2 {
        let (folder, backup) = died();
        let path = folder.path();
        fs::copy(&backup, file::beside(&path, ".restore-begun")).unwrap();
        for part in ["-wal", ""].into_iter().take(moves) {
            fs::rename(file::beside(&path, part), file::beside(&path, &format!(".replaced-1{part}")))
                .unwrap();
        }
        assert_eq!(span(&folder.store()), Some((1, 2)), "after {moves} moves");
        let kept = file::beside(&path, ".replaced-1");
        assert_eq!(span(&Sqlite::open_read_only(&kept).unwrap()), Some((1, 3)), "after {moves} moves");
        assert!(!file::beside(&path, ".restore-begun").exists());
    }
}

#[test]
fn what_is_no_whole_store_takes_no_place() {
    let (folder, backup) = died();
    let (path, name) = (folder.path(), |name: &str| folder.0.path().join(name));
    fs::write(name("empty"), "").unwrap();
    fs::write(name("other"), "rules:\n  - id: ".repeat(1_000)).unwrap();
    Connection::open(name("songs")).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let whole = bytes_of(&backup);
    fs::write(name("half"), &whole[..whole.len() / 2]).unwrap();
    fs::copy(&backup, name("newer")).unwrap();
    Connection::open(name("newer")).unwrap().execute_batch("PRAGMA user_version = 1000").unwrap();
    let before = (bytes_of(&path), bytes_of(&file::beside(&path, "-wal")));
    for (from, words) in [
        ("gone", "No such file or directory (os error 2)"),
        ("larum.db", "it is the store itself"),
        ("empty", "it is no whole store of Larum's (there is nothing in it)"),
        ("other", "it is no whole store of Larum's (file is not a database"),
        ("songs", "it is no whole store of Larum's (the file is another program's)"),
        ("half", "it is no whole store of Larum's ("),
        ("newer", "the store has format 1000, "),
    ] {
        let error = Sqlite::restore(&path, &name(from)).unwrap_err().to_string();
        let meant = format!("the store failed: cannot restore `{}`: {words}", name(from).display());
        assert!(error.starts_with(&meant), "{error}");
    }
    assert_eq!((bytes_of(&path), bytes_of(&file::beside(&path, "-wal"))), before);
    let store = folder.store();
    assert_eq!(span(&store), Some((1, 3)));
    // And none takes the place of one that is in use.
    assert!(matches!(Sqlite::restore(&path, &backup), Err(StoreError::Taken { .. })));
}

#[test]
fn a_store_beside_which_nothing_can_be_written_is_looked_at_as_it_lies() {
    let folder = Folder::new();
    let store = folder.store();
    commit(&store, &fence(&store), two_entries()).unwrap();
    let copy = folder.0.path().join("a copy?#%20.db");
    wait(store.backup(copy.clone())).unwrap();
    // What readers and writers agree by cannot be made.
    std::os::unix::fs::symlink("/no/such/folder/x", file::beside(&copy, "-shm")).unwrap();
    assert_eq!(span(&Sqlite::open_read_only(&copy).unwrap()), Some((1, 2)));

    fs::write(file::beside(&copy, "-wal"), "a log").unwrap();
    let error = Sqlite::open_read_only(&copy).unwrap_err().to_string();
    let words = "its folder cannot be written, and a log lies beside it; copy both to where you may write";
    assert!(error.ends_with(words), "{error}");
}

#[test]
fn a_folder_is_told_from_a_store() {
    let folder = Folder::new();
    let error = Sqlite::open_read_only(folder.0.path()).unwrap_err().to_string();
    let words = "it is a folder; name the store's file in it";
    assert_eq!(error, format!("the store failed: cannot open `{}`: {words}", folder.0.path().display()));
}
