//! Reloading: the configuration whole or not at all, rules one by one with the last good text.

use tokio::sync::oneshot;

use super::{BTreeMap, Daemon, DaemonError, JoinSet, info, own};
use crate::daemon::alive;
use crate::daemon::build::{self, BuildError, Built};
use crate::daemon::orders::Reply;
use crate::daemon::own::Kind;
use crate::rule::problem::Problems;

/// Who may wait for a reload; further ones are told to ask later.
const MAX_ASKING: usize = 64;

/// Reloads that are under way or wait. Sources are prepared beside the desk: a host may not answer.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    /// What was built, once it is prepared: one at a time.
    pub(super) ready: JoinSet<Result<Built, BuildError>>,
    /// Who hears what came of it.
    asked: Vec<oneshot::Sender<Reply>>,
    /// Asked for since it was read: files may have changed meanwhile, so that they are read once more.
    again: bool,
    /// Who hears of that.
    asked_since: Vec<oneshot::Sender<Reply>>,
}

impl Daemon {
    /// Reads configuration and rules again, after the reload that is under way; `asks` hears what came of it.
    pub(super) fn reload(&mut self, asks: Option<oneshot::Sender<Reply>>) {
        match asks {
            Some(asks) if self.reloads.asked_since.len() >= MAX_ASKING => {
                // Who asked may be gone.
                let _ = asks.send(Reply::Refused("a reload is under way; ask again later".to_owned()));
            }
            asks => self.reloads.asked_since.extend(asks),
        }
        self.reloads.again = true;
        self.read_again();
    }

    /// Begins the reload that is asked for, unless another is under way.
    fn read_again(&mut self) {
        if !self.reloads.ready.is_empty() || !std::mem::take(&mut self.reloads.again) {
            return;
        }
        self.reloads.asked = std::mem::take(&mut self.reloads.asked_since);
        alive::reloading();
        let last = self.geography.borrow().clone();
        let last = Some((&self.generation, &*last));
        let built = build::build(&self.settings.config, &self.settings.secrets, last);
        let clock = self.settings.clock.clone();
        self.reloads.ready.spawn(async move {
            let mut built = built?;
            built.prepare(&clock).await?;
            Ok(built)
        });
    }

    /// What was read again is ready, or cannot be.
    pub(super) async fn reloaded(&mut self, built: Result<Built, BuildError>) -> Result<(), DaemonError> {
        let reply = match self.take_over(built).await? {
            Ok(words) => {
                self.dispatch.ask_again();
                Reply::Done(words)
            }
            Err(why) => Reply::Refused(why),
        };
        for asked in self.reloads.asked.drain(..) {
            // Who asked may be gone.
            let _ = asked.send(reply.clone());
        }
        self.read_again();
        Ok(())
    }

    /// Puts what was read in force. What is refused is told, and everything stays as it was.
    async fn take_over(
        &mut self,
        built: Result<Built, BuildError>,
    ) -> Result<Result<String, String>, DaemonError> {
        let refused = match built {
            Ok(built) if built.config.store != self.store_path => {
                "`store` cannot change while the daemon runs; restart it".to_owned()
            }
            Ok(built) => {
                if let Err(error) = self.open_admin(built.admin.clone()).await {
                    error.to_string()
                } else {
                    let words = words(&built.rules_off);
                    self.put_in_force(built).await?;
                    self.board.write(|status| status.reload_refused = None);
                    self.reload_event(None).await?;
                    info!(words, "reloaded");
                    alive::ready("reading and telling");
                    return Ok(Ok(words));
                }
            }
            Err(error) => error.to_string(),
        };
        tracing::error!(refused, "the reload is refused; everything stays as it was");
        // One line says what is to be mended; the log and `larum check` say all.
        let fault = refused.lines().find_map(|line| line.strip_prefix("error: "));
        let first = fault.or_else(|| refused.lines().next()).unwrap_or_default().to_owned();
        self.board.write(|status| status.reload_refused = Some(first.clone()));
        self.reload_event(Some(format!("the reload is refused, everything stays as it was: {first}")))
            .await?;
        alive::ready("reading and telling");
        Ok(Err(refused))
    }

    async fn reload_event(&mut self, text: Option<String>) -> Result<(), DaemonError> {
        let subject = self.settings.config.display().to_string();
        self.say(own::Event { kind: Kind::ReloadRefused, subject, text }).await
    }

    /// Logs what loads and is doubted all the same. Files that do not load are told of by themselves.
    pub(super) fn log_doubts(told: &[Problems]) {
        let doubts = told.iter().flat_map(Problems::to_json).filter(|told| told["severity"] == "warning");
        for doubt in doubts {
            let text = |key: &str| doubt[key].as_str().unwrap_or_default();
            let (file, line) = (text("file"), doubt["line"].as_u64());
            tracing::warn!(file, line, doubt = text("message"), hint = text("hint"), "is this meant?");
        }
    }

    /// Tells of files of rules and lists that do not load, and of those that do again.
    pub(super) fn show_rules_off(&mut self, off: &BTreeMap<String, String>) {
        let before = self.board.write(|status| std::mem::replace(&mut status.rules_off, off.clone()));
        let again = before.keys().filter(|file| !off.contains_key(*file)).map(|file| (file.clone(), None));
        let told = off.iter().map(|(file, fault)| {
            tracing::error!(file, fault, "the file does not load");
            (file.clone(), Some(format!("{file} does not load: {fault}")))
        });
        for (subject, text) in again.chain(told) {
            // The desk may not stand yet: it tells when it does.
            self.own_events.0.say(own::Event { kind: Kind::RuleOff, subject, text });
        }
    }
}

/// What was done, and what was not: whoever edits rules beside a daemon may think that it tests them.
fn words(off: &BTreeMap<String, String>) -> String {
    let done = "configuration and rules are read again, without the rules' tests (`larum test` runs them)";
    match off.len() {
        0 => done.to_owned(),
        1 => format!("{done}; 1 file does not load"),
        many => format!("{done}; {many} files do not load"),
    }
}
