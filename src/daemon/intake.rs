//! One tenant's intake: readings in, alerts and messages owed out, one commit each.
//!
//! ```text
//! reading -> what is news -> journal entry -> judged -> alerts told -> what is owed -> one commit
//! ```
//!
//! The journal decides: an entry is judged in memory and kept together with all that came of it. Where
//! it cannot be kept, what was judged is forgotten and the state is read again from the store, so that
//! memory is never ahead of the disk. A restart begins with the checkpoint (a whole state, and
//! what changed after it) and judges the journal's tail again; alerts and deliveries that are there already stay as they are.

mod keep;
mod learn;
mod revive;
mod telling;

pub use revive::{revived, take_in, text};
pub use telling::tell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tracing::{debug, error, info, warn};

use super::clock::Clock;
use super::fences::Fences;
use super::life::{Halt, Life, Rebuild};
use super::metrics::Meters;
use super::own::{self, Kind};
use super::poll::Work;
use super::routing::Routing;
use super::status::Board;
use super::step::{Step, Steps, Stopped};
use crate::config::Keep;
use crate::config::geo::Geo;
use crate::engine::{Generation, GenerationText, SourceId};
use crate::record::geography::Places;
use crate::record::{Millis, Timestamp};
use crate::source::{Faulty, Reading};
use crate::store::{Change, Cursor, Event, Fence, Lane, Store, StoreError, Watermark};

/// Waits between two tries to read the state from a store that cannot at present.
const REVIVE_WAIT: Millis = Millis::secs(1);
/// The longest of them.
const REVIVE_WAIT_MOST: Millis = Millis::secs(30);

/// What an intake works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Tenants that are held.
    pub fences: Arc<Fences>,
    /// The time.
    pub clock: Clock,
    /// Who hears of what.
    pub routing: watch::Receiver<Arc<Routing>>,
    /// Where addresses are.
    pub geography: watch::Receiver<Arc<Geo>>,
    /// Where it is shown.
    pub board: Board,
    /// Where trouble is told.
    pub own: own::Voice,
    /// Told when messages are owed.
    pub wake: Arc<Notify>,
    /// What is measured.
    pub meters: Meters,
    /// Where a test stops it.
    pub steps: Steps,
    /// How long the journal is kept, and how many bytes the store may hold.
    pub keep: watch::Receiver<Keep>,
}

/// Why an intake ends.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal and what is made of it do not fit.
    #[error("the journal cannot be judged: {0}")]
    Journal(#[from] Halt),
    /// A test stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// One tenant's intake.
pub struct Intake {
    around: Surroundings,
    tenant: Arc<str>,
    fence: Fence,
    life: Life,
    /// Bytes of rows and entries since the last checkpoint.
    since: (usize, usize),
    /// When the journal was last looked through for what is old.
    forgotten: Option<Timestamp>,
    lanes: BTreeMap<SourceId, LaneState>,
    /// What could not be kept and nobody asks for again; it is done before anything else. One entry
    /// for all lanes together and one a lane at most.
    chores: Vec<Chore>,
    /// What is to be in force, and what learns for it.
    wish: Option<Wish>,
    /// What the next entries put in force.
    generation: Option<Arc<Generation>>,
    rebuild: Option<Rebuild>,
    /// Where rows of the reading that is taken in stand that make no record, by their beginnings.
    faulty: BTreeMap<String, VecDeque<String>>,
    learners: (mpsc::Sender<learn::Learnt>, mpsc::Receiver<learn::Learnt>),
}

/// A lane, as far as the intake must know.
#[derive(Debug)]
struct LaneState {
    lane: Lane,
    /// Rules have heard of it.
    joined: bool,
    /// It has caught up with its past, or fails.
    settled: bool,
    watermark: Option<Watermark>,
}

/// A generation, or lanes, that are to take part, as soon as the rules have learnt from the past.
#[derive(Debug)]
struct Wish {
    text: GenerationText,
    /// Something learns already; told apart by number.
    learning: Option<u64>,
}

/// What is to be kept of lanes.
#[derive(Debug, Clone, PartialEq)]
enum Chore {
    Lanes(Vec<Lane>),
    Leave(SourceId),
    Join(SourceId),
}

/// What an intake is told besides readings.
#[derive(Debug)]
pub enum Command {
    /// Puts another generation in force.
    Succeed(Box<GenerationText>),
    /// Reads these lanes from here on; those that are not among them leave.
    Lanes(Vec<Lane>),
    /// Are you there?
    Ping(tokio::sync::oneshot::Sender<()>),
}

impl Intake {
    /// Takes the tenant over and judges what the journal holds.
    pub async fn open(around: Surroundings, tenant: Arc<str>) -> Result<Self, IntakeError> {
        let fence = around.fences.of(&*around.store, &tenant).await?;
        let revived = revive::revive(&*around.store, &tenant).await?;
        let lanes = revived
            .lanes
            .into_iter()
            .map(|(lane, joined)| {
                let state = LaneState { joined, settled: joined, watermark: None, lane };
                (state.lane.id, state)
            })
            .collect();
        let intake = Self {
            around,
            tenant,
            fence,
            life: revived.life,
            since: (0, revived.tail),
            forgotten: None,
            lanes,
            chores: Vec::new(),
            wish: None,
            generation: None,
            rebuild: None,
            faulty: BTreeMap::new(),
            learners: mpsc::channel(1),
        };
        intake.show_rules();
        Ok(intake)
    }

    /// Every lane that was ever known.
    pub fn known(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values().map(|state| &state.lane)
    }

    /// Works until nobody sends any more.
    pub async fn run(
        mut self,
        mut work: mpsc::Receiver<Work>,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<(), IntakeError> {
        loop {
            tokio::select! {
                biased;
                Some(command) = commands.recv() => self.command(command).await?,
                Some(learnt) = self.learners.1.recv() => self.learnt(learnt).await?,
                work = work.recv() => match work {
                    Some(work) => self.work(work).await?,
                    None => break,
                },
            }
        }
        self.checkpoint().await
    }

    async fn work(&mut self, work: Work) -> Result<(), IntakeError> {
        match work {
            Work::Take { lane, reading, kept } => {
                self.chores().await?;
                // A lane that could not be made known is read again when it is.
                let known = self.lanes.contains_key(&lane);
                let done = known && self.survive(|this| Box::pin(this.take(lane, *reading))).await?;
                // The poller may be gone; the reading is kept all the same.
                let _ = kept.send(done);
            }
            Work::Leave { lane } => self.chore(Chore::Leave(lane)).await?,
            Work::Join { lane } => self.chore(Chore::Join(lane)).await?,
        }
        self.learn().await
    }

    /// Does `chore` after those that wait.
    async fn chore(&mut self, chore: Chore) -> Result<(), IntakeError> {
        self.chores.retain(|other| match (other, &chore) {
            (Chore::Lanes(_), Chore::Lanes(_)) => false,
            (Chore::Leave(old) | Chore::Join(old), Chore::Leave(new) | Chore::Join(new)) => old != new,
            (Chore::Lanes(_) | Chore::Leave(_) | Chore::Join(_), _) => true,
        });
        self.chores.push(chore);
        self.chores().await
    }

    /// Does what waits, until something cannot be kept.
    async fn chores(&mut self) -> Result<(), IntakeError> {
        while let Some(chore) = self.chores.first().cloned() {
            if !self.survive(|this| Box::pin(this.do_chore(chore))).await? {
                return Ok(());
            }
            self.chores.remove(0);
        }
        Ok(())
    }

    async fn do_chore(&mut self, chore: Chore) -> Result<(), IntakeError> {
        match chore {
            Chore::Lanes(lanes) => self.lanes(lanes).await,
            Chore::Leave(lane) => {
                let Some(state) = self.lanes.get_mut(&lane) else { return Ok(()) };
                state.settled = true;
                if state.joined { self.record(vec![Event::Left { lane }], Vec::new()).await } else { Ok(()) }
            }
            Chore::Join(lane) => {
                let Some(state) = self.lanes.get(&lane).filter(|state| state.joined) else { return Ok(()) };
                self.record(vec![Event::Joined(state.lane.clone())], Vec::new()).await
            }
        }
    }

    /// Does `work`. Where the store could not keep it, the state is read again and false comes back;
    /// what can never go well ends the intake.
    async fn survive<F>(&mut self, work: F) -> Result<bool, IntakeError>
    where
        F: for<'a> FnOnce(
            &'a mut Self,
        )
            -> std::pin::Pin<Box<dyn Future<Output = Result<(), IntakeError>> + Send + 'a>>,
    {
        let failure = match work(self).await {
            Ok(()) => {
                if self.around.board.write(|status| status.store_failed.take()).is_some() {
                    self.say_of_store(None);
                }
                return Ok(true);
            }
            Err(IntakeError::Store(failure @ (StoreError::Full | StoreError::Busy))) => failure,
            Err(error) => return Err(error),
        };
        error!(tenant = %self.tenant, %failure, "nothing can be kept; it is tried again");
        self.around.board.write(|status| status.store_failed = Some(failure.to_string()));
        self.say_of_store(Some(format!("nothing can be kept: {failure}; it is tried again")));
        let mut wait = REVIVE_WAIT;
        self.life = loop {
            match revive::revive(&*self.around.store, &self.tenant).await {
                Ok(revived) => break revived.life,
                Err(IntakeError::Store(failure @ (StoreError::Full | StoreError::Busy))) => {
                    warn!(tenant = %self.tenant, %failure, "the state cannot be read; it is tried again");
                    self.around.clock.sleep(wait).await;
                    wait = Millis((wait.0 * 2).min(REVIVE_WAIT_MOST.0));
                }
                Err(error) => return Err(error),
            }
        };
        Ok(false)
    }

    fn say_of_store(&self, text: Option<String>) {
        self.around.own.say(own::Event { kind: own::Kind::StoreFailing, subject: "store".to_owned(), text });
    }

    /// Takes in one reading.
    async fn take(&mut self, lane: SourceId, reading: Reading) -> Result<(), IntakeError> {
        self.around.steps.pass(Step::AfterRead)?;
        let now = self.around.clock.now();
        self.faulty.clear();
        for Faulty { excerpt, place } in reading.faulty {
            self.faulty.entry(excerpt).or_default().push_back(place);
        }
        let mut news = self.life.news(lane, &reading.rows, &reading.twins, now)?;
        self.say_where(&mut news.quarantined);
        let Some(state) = self.lanes.get_mut(&lane) else { return Ok(()) };
        let watermark = reading.watermark.map(|(start, end)| Watermark { start, end });
        let moved = watermark.filter(|new| state.watermark != Some(*new));
        let mut events: Vec<Event> = news
            .portions
            .into_iter()
            .map(|portion| Event::Read { lane, rows: portion.rows, twins: portion.twins, watermark: None })
            .collect();
        if let Some(Event::Read { watermark, .. }) = events.last_mut() {
            *watermark = moved;
            let geography = self.around.geography.borrow().clone();
            events = events.into_iter().map(|event| self.placed(event, &geography)).collect();
        } else if moved.is_some() {
            events.push(Event::Read { lane, rows: String::new(), twins: Vec::new(), watermark: moved });
        }
        let unmapped: u64 = news.unmapped.values().sum();
        let mut changes = vec![Change::Cursor(Cursor { lane, place: reading.cursor })];
        changes.extend(news.quarantined.into_iter().map(Change::Quarantined));
        for (name, by) in
            [("rows.new", news.rows.new), ("rows.amended", news.rows.amended), ("rows.unmapped", unmapped)]
        {
            if by > 0 {
                changes.push(Change::Count { name: name.to_owned(), by });
            }
        }
        let (caught_up, lateness) = (!reading.behind, reading.lateness);
        self.record(events, changes).await?;
        let Some(state) = self.lanes.get_mut(&lane) else { return Ok(()) };
        state.settled |= caught_up;
        state.watermark = watermark.or(state.watermark);
        let (name, watermark) = (state.lane.name.clone(), state.watermark);
        self.around.board.write(|status| {
            // A lane that is no longer configured is no longer shown.
            if let Some(shown) = status.lanes.get_mut(&name) {
                shown.rows += news.rows.new + news.rows.amended;
                shown.behind = !caught_up;
                shown.lateness = lateness.or(shown.lateness);
                shown.newest = shown.newest.max(news.newest);
                shown.complete_to = watermark.map(|mark| mark.start);
            }
            for (code, rows) in &news.unmapped {
                status.unmapped.add(code, *rows);
            }
        });
        Ok(())
    }

    /// `event`, with what is known of the addresses in its rows.
    fn placed(&self, event: Event, geography: &Geo) -> Event {
        let Event::Read { lane, rows, .. } = &event else { return event };
        if geography.is_empty() {
            return event;
        }
        match Places::of(geography, self.life.addresses(*lane, rows)) {
            Some(places) => Event::Placed { places, read: Box::new(event) },
            None => event,
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), IntakeError> {
        match command {
            Command::Succeed(text) => {
                let same = self.life.seq().is_some() && self.life.generation().digest == text.digest();
                self.wish = (!same).then_some(Wish { text: *text, learning: None });
            }
            Command::Ping(reply) => {
                self.show_rules();
                let _ = reply.send(());
                return Ok(());
            }
            Command::Lanes(lanes) => self.chore(Chore::Lanes(lanes)).await?,
        }
        self.learn().await
    }

    /// Lanes that are new are known from here on; those that are gone leave.
    async fn lanes(&mut self, lanes: Vec<Lane>) -> Result<(), IntakeError> {
        let mut events = Vec::new();
        let wanted: BTreeSet<SourceId> = lanes.iter().map(|lane| lane.id).collect();
        let gone: Vec<SourceId> = self.lanes.keys().copied().filter(|id| !wanted.contains(id)).collect();
        for id in &gone {
            if self.lanes.get(id).is_some_and(|state| state.joined) {
                events.push(Event::Gone { lane: *id });
            }
        }
        for lane in &lanes {
            match self.lanes.get(&lane.id) {
                Some(state) if state.lane == *lane => {
                    // It may have left with an earlier configuration, or stalled with an earlier life.
                    if state.joined {
                        events.push(Event::Joined(lane.clone()));
                    }
                }
                Some(_) | None => events.push(Event::Known(lane.clone())),
            }
        }
        let more = events.iter().any(|event| matches!(event, Event::Known(_)));
        self.record(events, Vec::new()).await?;
        if let Some(wish) = self.wish.as_mut().filter(|_| more) {
            // What learns must hear of all lanes from the start: others learn in its place.
            wish.learning = None;
        }
        for id in gone {
            // It no longer counts when all are waited for.
            if let Some(state) = self.lanes.get_mut(&id) {
                state.settled = true;
            }
        }
        for lane in lanes {
            let joined = self.lanes.get(&lane.id).is_some_and(|state| state.lane == lane && state.joined);
            let state = LaneState { joined, settled: joined, watermark: None, lane };
            self.lanes.insert(state.lane.id, state);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("tenant", &self.tenant)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}
