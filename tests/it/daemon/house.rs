//! A daemon's folder, the service it polls and the receivers it tells, and how a test waits for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use larum::daemon::control;
use larum::daemon::orders::{Order, Reply};
use larum::daemon::status::Status;
use larum::record::{Millis, Timestamp};
use larum::simulate::Options;

use super::hook::SECRET;

/// How late a row may appear, in every configuration here.
pub const SETTLE: Millis = Millis::secs(60);
/// Looks at something that is waited for, before a test gives up: two minutes and more.
const PATIENCE: usize = 6_000;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Shipped rules that the office's stories are about, and the tests' own.
pub const RULES: [&str; 8] = [
    "rules/identity/failure-burst.yaml",
    "rules/identity/unusual-public-ip.yaml",
    "rules/identity/success-after-failures.yaml",
    "rules/identity/entity-risk.yaml",
    "rules/operations/slow-line.yaml",
    "rules/operations/very-slow-sign-in.yaml",
    "rules/operations/sign-in-rush.yaml",
    "tests/it/daemon/rules",
];

/// Comes back as soon as `look` finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("in vain: {what}");
}

/// A folder with a configuration, its rules and secrets, and the store when there is one.
pub struct House {
    folder: tempfile::TempDir,
}

impl House {
    /// The source `sim` at `url` reads `endpoints`; `receivers` and `routes` are lists of YAML.
    pub fn new(url: &str, endpoints: &str, since: &str, receivers: &str, routes: &str) -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap() };
        for (name, secret) in [("ak", Options::AK), ("sk", Options::SK), ("hook", SECRET)] {
            house.write(name, secret);
        }
        let source = format!(
            "name: sim\n    kind: huawei\n    region: cn-north-4\n    project_id: {project}\n    \
             credentials: {{ak: \"file:ak\", sk: \"file:sk\"}}\n    endpoints: [{endpoints}]\n    \
             base_url: {{workspace: \"{url}\", workspaceapp: \"{url}\"}}\n    every: 1s\n    settle: {SETTLE}\n    \
             since: {since}\n    requests: {{per_second: 200, burst: 1000}}",
            project = Options::PROJECT_ID
        );
        let file = |source: &str| {
            let here = env!("CARGO_MANIFEST_DIR");
            let rules = RULES.map(|rule| format!("\"{here}/{rule}\"")).join(", ");
            format!(
                "store: larum.db\nrules: [{rules}]\nsources:\n  - {source}\n\
                 receivers:\n{receivers}\nroutes:\n{routes}\n"
            )
        };
        house.write("larum.yaml", &file(&source));
        house.write("silent.yaml", &file("{name: none, kind: file, path: \"none/*.ndjson\", follow: true}"));
        house
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("larum.yaml")
    }

    /// The same, but for its source: nothing is read, and what is owed is sent.
    pub fn silent(&self) -> PathBuf {
        self.path("silent.yaml")
    }

    pub fn store(&self) -> PathBuf {
        self.path("larum.db")
    }

    /// How the daemon is, where one runs.
    pub async fn status(&self) -> Option<Status> {
        match control::ask(&control::socket_of(&self.store()), &Order::Status).await {
            Ok(Reply::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// `larum run` in the folder; what it logs goes to `log`.
    pub fn run(&self) -> Process {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        self.run_of(&self.config(), log)
    }

    /// `larum run` of this configuration; what it logs goes to `log`.
    pub fn run_of(&self, config: &Path, log: std::fs::File) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larum"));
        command.args(["run", "--config"]).arg(config).current_dir(self.folder.path());
        command.env("LARUM_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Process { child: command.spawn().unwrap() }
    }

    /// What the daemon has logged; for people, where a test fails.
    #[expect(clippy::disallowed_methods, reason = "the log lies in a file")]
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let from = log.len().saturating_sub(8_000);
        log.get(from..).unwrap_or_default().to_owned()
    }
}

/// True when every lane of `status` is complete up to `now` less the time that rows may be late.
pub fn caught_up(status: &Status, now: Timestamp) -> bool {
    // Windows of desktop logins end at full minutes.
    let due = Timestamp((now.0).div_euclid(60_000) * 60_000) - SETTLE;
    !status.lanes.is_empty() && status.lanes.values().all(|lane| lane.complete_to.is_some_and(|to| to >= due))
}

/// A running `larum run`; killed when it is dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end: it must be a good one.
    pub async fn end(mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let ended = until("the daemon ends when told to", async || self.child.try_wait().unwrap()).await;
        assert!(ended.success(), "{ended}");
    }

    /// True while it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `larum` to its end and gives what it printed.
pub fn larum(arguments: &[&str], folder: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larum"));
    let done = command.args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
