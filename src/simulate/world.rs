//! The rows that the service will ever have, and when each of them can be seen, in which form.
//!
//! A row is born some seconds after its own time, as on the real service
//! (`reference/huawei-api.md`, 5.5), and shows nothing that lies ahead of the one who asks: no
//! setup, no end, and an update time that is still its start. All of it is a function of the row,
//! the seed and the time asked for; nothing here reads a clock or remembers who asked.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::record::scan::{Endpoint, endpoint_of};
use crate::record::{Millis, Timestamp, mended};

/// Most rows of a world; they are all in memory.
pub const MAX_ROWS: usize = 1_000_000;
/// Latest birth after a row's own time. The latest that was measured is 26 s; a poller that settles
/// for a minute must see every row.
pub const MAX_LAG: Millis = Millis::secs(20);
/// From the start of the virtual clock to a world's first row.
pub const LEAD: Millis = Millis::mins(1);
/// What the service remembers.
pub const KEPT: Millis = Millis::days(30);

/// The lists that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// `GET /v2/{project_id}/connections/desktops`
    DesktopLogins,
    /// `POST /v1/{project_id}/session/user-connection`
    AppLogins,
    /// `POST /v1/{project_id}/session/app-connection`
    AppLaunches,
    /// `GET /v1/{project_id}/session/list-sessions`
    Sessions,
    /// `GET /v2/{project_id}/user-events`
    UserEvents,
}

impl List {
    /// Every list.
    pub const ALL: [Self; 5] =
        [Self::DesktopLogins, Self::AppLogins, Self::AppLaunches, Self::Sessions, Self::UserEvents];

    /// The name in configurations, as [`Endpoint::as_str`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DesktopLogins => Endpoint::DesktopLogins.as_str(),
            Self::AppLogins => Endpoint::AppLogins.as_str(),
            Self::AppLaunches => Endpoint::AppLaunches.as_str(),
            Self::Sessions => Endpoint::Sessions.as_str(),
            Self::UserEvents => Endpoint::UserEvents.as_str(),
        }
    }

    /// The names of its times.
    pub fn times(self) -> Times {
        match self {
            Self::DesktopLogins => Times {
                starts: &["connection_start_time", "connection_setup_time"],
                end: "connection_end_time",
                later: &["connection_setup_time"],
                updated: &[],
            },
            Self::AppLogins => Times {
                starts: &["start_time", "pre_conn_time", "update_time"],
                end: "end_time",
                later: &[],
                updated: &["update_time"],
            },
            Self::AppLaunches => {
                Times { starts: &["brokering_time"], end: "end_time", later: &[], updated: &[] }
            }
            Self::Sessions => Times {
                starts: &["start_time", "pre_conn_time"],
                end: "end_time",
                later: &[],
                updated: &["last_update_status_time"],
            },
            Self::UserEvents => Times { starts: &["event_time"], end: "end_time", later: &[], updated: &[] },
        }
    }

    /// The key of its rows that names a row, where there is one.
    pub fn key(self) -> &'static str {
        match self {
            Self::DesktopLogins => "transaction_id",
            Self::AppLogins | Self::AppLaunches | Self::Sessions => "id",
            Self::UserEvents => "event_trace_id",
        }
    }

    fn of_row(row: &Map<String, Value>) -> Option<Self> {
        match endpoint_of(row.keys().map(String::as_str))? {
            Endpoint::DesktopLogins => Some(Self::DesktopLogins),
            Endpoint::AppLogins => Some(Self::AppLogins),
            Endpoint::AppLaunches => Some(Self::AppLaunches),
            Endpoint::Sessions => Some(Self::Sessions),
            Endpoint::UserEvents => Some(Self::UserEvents),
        }
    }
}

/// The times of a row by name.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Its own time: the first of these that is there.
    pub starts: &'static [&'static str],
    /// When it was over.
    pub end: &'static str,
    /// What comes after its own time and is not there before.
    pub later: &'static [&'static str],
    /// What moves with the row: its own time until it has come.
    pub updated: &'static [&'static str],
}

/// One row, as it will be in the end. Kept as text, a few hundred bytes of it: worlds are large.
#[derive(Debug, Clone)]
pub struct Row {
    /// Place among all rows of the world; what is decided by chance is decided by it.
    pub number: u64,
    /// Its own time; none is served always.
    pub at: Option<Timestamp>,
    /// First seen.
    pub born: Option<Timestamp>,
    /// When it is over, where it says so.
    pub end: Option<Timestamp>,
    text: Box<str>,
}

impl Row {
    /// The whole row in JSON, as the vendor spells it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Everything about it.
    pub fn fields(&self) -> Map<String, Value> {
        // It was written from an object.
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The row as it looks at `now`, once it is born.
    pub fn at(&self, list: List, now: Timestamp) -> Map<String, Value> {
        let mut fields = self.fields();
        let times = list.times();
        for name in times.later.iter().chain([&times.end]) {
            if time_in(&fields, name).is_some_and(|time| time > now) {
                fields.shift_remove(*name);
            }
        }
        for name in times.updated {
            if time_in(&fields, name).is_some_and(|time| time > now) {
                let start = times.starts.iter().find_map(|name| fields.get(*name).cloned());
                fields.insert((*name).to_owned(), start.unwrap_or_default());
            }
        }
        if fields.contains_key(STATE) && self.end.is_some_and(|end| end > now) {
            fields.insert(STATE.to_owned(), "Active".into());
        }
        if fields.contains_key(LASTED)
            && let Some(at) = self.at
        {
            let lasted = self.end.map_or(now, |end| end.min(now)) - at;
            fields.insert(LASTED.to_owned(), (lasted.0.max(0) / 1_000).to_string().into());
        }
        fields
    }
}

/// A time among `fields` by name.
pub(super) fn time_in(fields: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    fields.get(name).and_then(Value::as_str).and_then(Timestamp::parse)
}

/// How a session stands: of one that is not over, `Active`.
const STATE: &str = "session_state";
/// For how many seconds it has stood so; whatever the row says, it is told anew at each reading.
const LASTED: &str = "status_continue_time";

/// A line that is no row of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// It is no object of JSON.
    #[error("no row: {0}")]
    NoObject(String),
    /// Its keys are those of no list that is served.
    #[error(
        "a row of none of the lists that are served: desktop_logins, app_logins, app_launches, sessions, user_events"
    )]
    NoList,
    /// There are [`MAX_ROWS`] already.
    #[error("more than {MAX_ROWS} rows; play fewer files at a time")]
    TooMany,
}

/// All rows, each list by time.
#[derive(Debug, Clone, Default)]
pub struct World {
    seed: u64,
    lists: [Vec<Row>; 5],
    /// Births, sorted.
    births: Vec<Timestamp>,
    count: u64,
    complete: Option<Timestamp>,
    opens: Option<Timestamp>,
}

impl World {
    /// A world without rows. The seed decides what is left to chance: how late rows are born.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// A world of `lines`, each a row in the shape of one of the lists; blank ones are nothing.
    pub fn of_lines<'l>(seed: u64, lines: impl IntoIterator<Item = &'l str>) -> Result<Self, BadRow> {
        let mut world = Self::new(seed);
        for line in lines.into_iter().filter(|line| !line.trim().is_empty()) {
            world.add_line(line)?;
        }
        world.sort();
        Ok(world)
    }

    /// Adds the row that `line` holds.
    pub fn add_line(&mut self, line: &str) -> Result<(), BadRow> {
        self.add(serde_json::from_str(&mended(line)).map_err(|error| BadRow::NoObject(error.to_string()))?)
    }

    /// Adds a row; its keys tell whose it is. When all are there, [`World::sort`] puts them in order.
    pub fn add(&mut self, fields: Map<String, Value>) -> Result<(), BadRow> {
        let list = List::of_row(&fields).ok_or(BadRow::NoList)?;
        if self.count >= MAX_ROWS as u64 {
            return Err(BadRow::TooMany);
        }
        let times = list.times();
        let number = self.count;
        let at = times.starts.iter().find_map(|name| time_in(&fields, name));
        let span = u64::try_from(MAX_LAG.0).unwrap_or_default() + 1;
        let lag = i64::try_from(self.chance(number, "lag") % span).unwrap_or_default();
        let born = at.map(|at| at + Millis(lag));
        let end = time_in(&fields, times.end);
        let later = times.later.iter().filter_map(|name| time_in(&fields, name)).max();
        let complete = born.max(end).max(later);
        let text = Value::Object(fields).to_string().into_boxed_str();
        let row = Row { number, at, born, end, text };
        self.count += 1;
        self.complete = self.complete.max(complete);
        self.births.extend(row.born);
        self.lists[list as usize].push(row);
        Ok(())
    }

    /// Puts the rows in order, in whichever they came; a service does so before it serves them.
    pub fn sort(&mut self) {
        self.births.sort();
        for rows in &mut self.lists {
            rows.sort_by_key(|row| (row.at, row.number));
        }
    }

    /// A number for row `number`, always the same for one seed and purpose.
    pub fn chance(&self, number: u64, purpose: &str) -> u64 {
        let salt = xxh3_64_with_seed(purpose.as_bytes(), self.seed);
        xxh3_64_with_seed(&number.to_le_bytes(), salt)
    }

    /// The rows of `list` by their own time, those without one first.
    pub fn rows(&self, list: List) -> &[Row] {
        &self.lists[list as usize]
    }

    /// The lists that have a row.
    pub fn lists(&self) -> impl Iterator<Item = List> {
        List::ALL.into_iter().filter(|list| !self.rows(*list).is_empty())
    }

    /// All rows.
    pub fn len(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }

    /// True without a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says when the virtual clock starts; what is older is the past.
    pub fn opens_at(&mut self, start: Timestamp) {
        self.opens = Some(start);
    }

    /// When the virtual clock starts unless somebody says otherwise: where it was told, else
    /// before the first row.
    pub fn opens(&self) -> Option<Timestamp> {
        self.opens.or_else(|| Some(self.lists.iter().flatten().filter_map(|row| row.at).min()? - LEAD))
    }

    /// When every row is born and looks as it will for ever.
    pub fn complete(&self) -> Option<Timestamp> {
        self.complete
    }

    /// Rows that are born at `now`.
    pub fn born(&self, now: Timestamp) -> usize {
        let timeless = self.len() - self.births.len();
        timeless + self.births.partition_point(|born| *born <= now)
    }
}
