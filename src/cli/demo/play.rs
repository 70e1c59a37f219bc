//! The play: service, daemon and receivers in one process, and what the terminal shows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::run::stopping;
use crate::cli::simulate::world_of;
use crate::cli::{Exit, Failure, show};
use crate::config::Secrets;
use crate::daemon::clock::Clock;
use crate::daemon::run::{Daemon, DaemonError, Settings};
use crate::daemon::status::Board;
use crate::record::Millis;
use crate::simulate::{Options, Server, World, office};
use crate::store::{AlertQuery, Store};

use super::hook::Hook;
use super::{Demo, bundle, words};

/// Whose office it is, and when rows appear.
pub const SEED: u64 = 7;
/// How often the line of progress is renewed.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two lines of progress where there is no terminal.
const PLAIN_EVERY: u64 = 40;
/// Ticks from the last row's end to the word that all of a file was played.
const QUIET: u64 = 40;
/// Ticks between two looks into the store.
const COUNT_EVERY: u64 = 2;
/// Alerts that the summary counts by rule.
const COUNTED: usize = 100_000;
/// Letters whose files are named one by one.
const NAMED_LETTERS: usize = 8;
/// The longest that the daemon is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of the play, the time in which receivers take one message of a level.
const LIMIT: Millis = Millis::mins(36);
/// Seconds of ours that it takes to begin and to deliver.
const OVERHEAD: i64 = 5;
/// What the office's stories come to, in the order of [`office::STORIES`], as [`words::subject`] names them.
const SHOWN: [&str; 4] = ["failure-burst", "unusual-public-ip", "very-slow-sign-in", "digest"];

/// Where everything of a demo is kept: removed at the end, or the user's.
enum Place {
    Passing(tempfile::TempDir),
    Kept(PathBuf),
}

impl Place {
    fn open(keep: Option<&PathBuf>) -> Result<Self, Failure> {
        let Some(folder) = keep else {
            return Ok(Self::Passing(tempfile::Builder::new().prefix("larum-demo-").tempdir()?));
        };
        std::fs::create_dir_all(folder)?;
        bundle::must_be_free(&folder.join("larum.yaml"))?;
        bundle::must_be_free(&folder.join("larum.db"))?;
        Ok(Self::Kept(folder.clone()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Passing(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

/// Plays until the time is over, or Ctrl-C.
pub async fn play(demo: &Demo) -> Result<Exit, Failure> {
    let world = if demo.records.is_empty() {
        office::office(SEED, office::START)?
    } else {
        world_of(SEED, &demo.records)?
    };
    let place = Place::open(demo.keep.as_ref())?;
    let hook = Hook::start().await?;
    let server = serve(world, demo.speed).await?;
    bundle::write_rules(place.path())?;
    let config = place.path().join("larum.yaml");
    bundle::put(&config, configuration(demo, &server.url(), &hook.url()).as_bytes())?;
    let daemon =
        Daemon::start(Settings { secrets: secrets(place.path()), watch: false, ..Settings::new(config) })
            .await?;
    let (board, store) = (daemon.board(), daemon.store());
    let (stop, stopped) = watch::channel(false);
    let mut daemon = tokio::spawn(daemon.run(stopped));
    let mut stage = Stage::new(demo, server, (board, store), hook, place.path().join("mail"));
    stage.open()?;
    let ended = stage.run(demo, &mut daemon).await;
    let _ = stop.send(true);
    if matches!(ended, Ok(true)) {
        tokio::time::timeout(PATIENCE, daemon).await.map_err(|_| "the daemon did not end in time")???;
    }
    ended?;
    stage.close(&place).await?;
    Ok(Exit::Fine)
}

async fn serve(world: World, speed: u32) -> std::io::Result<Server> {
    let clock = Clock::wall();
    Server::start(world, Options { speed, ..Options::new(move || clock.now()) }).await
}

/// The service's keys, which are no secret, and one that signs messages.
fn secrets(folder: &Path) -> Secrets {
    Secrets::in_folder(folder)
        .with("HW_ACCESS_KEY", Options::AK)
        .with("HW_SECRET_KEY", Options::SK)
        .with("HOOK_SECRET", "a secret of the demo")
}

/// The configuration of the demo's daemon.
///
/// In the office, between the first story and the burst, which are of one level, lie 22 minutes of
/// the play: a limit of one message in 36 minutes makes one digest of the burst, and of nothing else.
fn configuration(demo: &Demo, service: &str, hook: &str) -> String {
    let limit = if demo.records.is_empty() {
        format!("{{medium: 1 in {}s}}", ours(LIMIT, demo.speed))
    } else {
        "{low: 5 in 20s, medium: 5 in 20s, high: 5 in 20s}".to_owned()
    };
    format!(
        "# Written by `larum demo`. The service and the webhook end with it.\n\
         store: larum.db\n\
         rules: [rules]\n\
         sources:\n  - name: office\n    kind: huawei\n    region: cn-north-4\n    project_id: {project}\n    \
         credentials: {{ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}}\n    \
         base_url: {{workspace: \"{service}\", workspaceapp: \"{service}\"}}\n    \
         every: 1s\n    since: 14d\n    requests: {{per_second: 20, burst: 40}}\n\
         receivers:\n  - {{name: webhook, kind: webhook, url: \"{hook}\", secret: env:HOOK_SECRET, at_most: {limit}, closed: off}}\n  \
         - {{name: mail, kind: email, smtp: file:mail, from: larum@example.com, to: [soc@example.com], at_most: {limit}}}\n\
         routes:\n  - {{match: {{}}, to: [webhook, mail]}}\n",
        project = Options::PROJECT_ID,
    )
}

/// What is shown, and what was shown already.
struct Stage {
    server: Server,
    board: Board,
    store: Arc<dyn Store>,
    /// Alerts, when the store was last looked into.
    alerts: u64,
    hook: Hook,
    mail: PathBuf,
    bar: ProgressBar,
    office: bool,
    speed: u32,
    ticks: u64,
    /// Messages by what they were about.
    messages: BTreeMap<String, u64>,
    letters: BTreeSet<PathBuf>,
    troubles: BTreeSet<String>,
    finished_at: Option<u64>,
    told_all: bool,
}

impl Stage {
    fn new(demo: &Demo, server: Server, daemon: (Board, Arc<dyn Store>), hook: Hook, mail: PathBuf) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self {
            server,
            board: daemon.0,
            store: daemon.1,
            alerts: 0,
            hook,
            mail,
            bar,
            office: demo.records.is_empty(),
            speed: demo.speed,
            ticks: 0,
            messages: BTreeMap::new(),
            letters: BTreeSet::new(),
            troubles: BTreeSet::new(),
            finished_at: None,
            told_all: false,
        }
    }

    fn open(&self) -> Result<(), Failure> {
        let what = if self.office { "an invented office of 40 people" } else { "your records" };
        self.say(&format!(
            "Larum watches {what}, at {} times the usual pace. Nothing leaves this machine.\n  \
             service   {} (simulated; polled with signed requests)\n  webhook   {} (this program)\n  \
             mail      {}\n  rules     repeated failures, unusual public_ip, slow line, very slow sign-in\n",
            self.speed,
            self.server.url(),
            self.hook.url(),
            show::path(&self.mail),
        ))
    }

    /// Shows what comes, until the end; true while the daemon is still to be ended.
    async fn run(
        &mut self,
        demo: &Demo,
        daemon: &mut JoinHandle<Result<(), DaemonError>>,
    ) -> Result<bool, Failure> {
        let mut stop = stopping()?;
        let lasts = demo.lasts.map(|lasts| Duration::from_millis(lasts.0.unsigned_abs()));
        let end = async {
            match lasts {
                Some(lasts) => tokio::time::sleep(lasts).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = &mut end => return Ok(true),
                _ = stop.changed() => return Ok(true),
                ended = &mut *daemon => {
                    ended??;
                    return Ok(false);
                }
                Some(message) = self.hook.messages.recv() => self.show(&message)?,
                _ = tick.tick() => self.tick().await?,
            }
        }
    }

    /// Shows one message of the webhook.
    fn show(&mut self, message: &Json) -> Result<(), Failure> {
        *self.messages.entry(words::subject(message).to_owned()).or_default() += 1;
        let number: u64 = self.messages.values().sum();
        self.say(&format!("{}\n    received at {} (message {number})", words::told(message), self.hook.url()))
    }

    /// A quarter of a second is over.
    async fn tick(&mut self) -> Result<(), Failure> {
        self.ticks += 1;
        if self.ticks.is_multiple_of(COUNT_EVERY) {
            self.alerts = self.store.holdings().await?.alerts;
        }
        for trouble in self.board.read().blind() {
            if self.troubles.insert(trouble.clone()) {
                self.bar.suspend(|| show::note(&format!("warning: {}", show::safe(&trouble))));
            }
        }
        self.show_letters()?;
        self.bar.tick();
        self.bar.set_message(self.progress());
        if self.bar.is_hidden() && self.ticks.is_multiple_of(PLAIN_EVERY) {
            show::note(&self.progress());
        }
        if self.finished_at.is_none() && self.server.is_finished() {
            self.finished_at = Some(self.ticks);
        }
        if !self.told_all && self.everything() {
            self.told_all = true;
            let what = if self.office { "Every story has been told" } else { "Every record has been played" };
            self.say(&format!("{what}; Ctrl-C ends the demo."))?;
        }
        Ok(())
    }

    /// Whether all that there is has come.
    fn everything(&self) -> bool {
        if self.office {
            SHOWN.iter().all(|what| self.messages.contains_key(*what))
        } else {
            self.finished_at.is_some_and(|then| self.ticks > then + QUIET)
        }
    }

    /// Names letters that were written since.
    fn show_letters(&mut self) -> Result<(), Failure> {
        let Ok(files) = std::fs::read_dir(&self.mail) else { return Ok(()) };
        for path in files.flatten().map(|file| file.path()) {
            if path.extension().is_some_and(|ending| ending == "eml") && self.letters.insert(path.clone()) {
                let count = self.letters.len();
                if count <= NAMED_LETTERS {
                    self.say(&format!("mail written: {}", show::path(&path)))?;
                } else if count == NAMED_LETTERS + 1 {
                    self.say("mail written: more, in the same folder")?;
                }
            }
        }
        Ok(())
    }

    fn progress(&self) -> String {
        let messages: u64 = self.messages.values().sum();
        format!(
            "polling: {} there, {} read, {}, {}",
            words::clock(self.server.now()),
            many(self.records(), "record"),
            many(self.alerts, "alert"),
            many(messages, "message"),
        )
    }

    /// Records read so far.
    fn records(&self) -> u64 {
        self.board.read().lanes.values().map(|lane| lane.rows).sum()
    }

    /// What it all came to.
    async fn close(&mut self, place: &Place) -> Result<(), Failure> {
        while let Ok(message) = self.hook.messages.try_recv() {
            self.show(&message)?;
        }
        self.show_letters()?;
        self.bar.finish_and_clear();
        let mut rules: BTreeMap<String, u64> = BTreeMap::new();
        for kept in self.store.alerts(AlertQuery { most: COUNTED, ..AlertQuery::default() }).await? {
            *rules.entry(kept.now.rule.to_string()).or_default() += 1;
        }
        let sent: u64 = self.messages.values().sum();
        let digests = self.messages.get("digest").copied().unwrap_or_default();
        let mut text =
            format!("\n{} read, {}:", many(self.records(), "record"), many(rules.values().sum(), "alert"));
        for (rule, count) in &rules {
            let _ = write!(text, "\n  {count:>4}  {}", show::safe(rule));
        }
        let _ = write!(
            text,
            "\n{} at the webhook, {} among them; {} in {}",
            many(sent, "message"),
            many(digests, "digest"),
            many(self.letters.len() as u64, "letter"),
            show::path(&self.mail)
        );
        match place {
            Place::Passing(_) => text.push_str(", which is removed now (`--keep DIR` keeps it)"),
            Place::Kept(folder) => {
                let _ = write!(text, "\nkept: {}", show::path(folder));
            }
        }
        text.push_str(&self.untold());
        text.push_str(
            "\n\nNext:\n  README.md, \"A first rule in five minutes\" and \"A real project\"\n  \
             larum simulate   the same service for a daemon of your own\n  \
             larum run        the daemon, with your configuration",
        );
        self.say(&text)
    }

    /// What did not come before the end, in words; nothing where all has come.
    fn untold(&self) -> String {
        if self.told_all || self.everything() || !self.office && self.finished_at.is_some() {
            return String::new();
        }
        if !self.office {
            return "\n\nThe demo ended before every record was played; a larger --speed, or a longer --for, plays more."
                .to_owned();
        }
        let untold =
            office::STORIES.iter().zip(SHOWN).filter(|(_, shown)| !self.messages.contains_key(*shown));
        let mut text = "\n\nThe demo ended before every story was told. Still to come:".to_owned();
        for ((story, ..), _) in untold {
            let _ = write!(text, "\n  {story}");
        }
        let [(_, _, first), ..] = office::STORIES;
        // The digest is sent when the limit that the first story filled has room again.
        let all = ours(first + LIMIT, self.speed) + OVERHEAD;
        let _ = write!(text, "\n`--for {all}s` shows all of them at this --speed.");
        text
    }

    /// Prints, above the line of progress.
    fn say(&self, text: &str) -> Result<(), Failure> {
        Ok(self.bar.suspend(|| show::line(text))?)
    }
}

/// Seconds of ours that a time of the play takes, one at least.
fn ours(length: Millis, speed: u32) -> i64 {
    (length.0 / 1_000 / i64::from(speed)).max(1)
}

fn many(count: u64, what: &str) -> String {
    show::many_of(count, what)
}
