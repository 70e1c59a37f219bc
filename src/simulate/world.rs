//! The rows that the service will ever have, and when each of them can be seen, in which form.
//!
//! A row is born some seconds after its own time, as on the real service
//! (`reference/huawei-api.md`, 5.5), and shows nothing that lies ahead of the one who asks: no
//! setup, no end, and an update time that is still its start. All of it is a function of the row,
//! the seed and the time asked for; nothing here reads a clock or remembers who asked.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::record::scan::{Endpoint, endpoint_of};
use crate::record::{Millis, Timestamp};

/// Most rows of a world; they are all in memory.
pub const MAX_ROWS: usize = 1_000_000;
/// Latest birth after a row's own time. The latest that was measured is 26 s; a poller that settles
/// for a minute must see every row.
pub const MAX_LAG: Millis = Millis::secs(20);
/// From the start of the virtual clock to a world's first row.
pub const LEAD: Millis = Millis::mins(1);
/// What the service remembers.
pub const KEPT: Millis = Millis::days(30);

/// The three lists that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// `GET /v2/{project_id}/connections/desktops`
    DesktopLogins,
    /// `POST /v1/{project_id}/session/user-connection`
    AppLogins,
    /// `POST /v1/{project_id}/session/app-connection`
    AppLaunches,
}

impl List {
    /// Every list.
    pub const ALL: [Self; 3] = [Self::DesktopLogins, Self::AppLogins, Self::AppLaunches];

    /// The name in configurations, as [`Endpoint::as_str`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DesktopLogins => Endpoint::DesktopLogins.as_str(),
            Self::AppLogins => Endpoint::AppLogins.as_str(),
            Self::AppLaunches => Endpoint::AppLaunches.as_str(),
        }
    }

    /// The names of its times.
    pub fn times(self) -> Times {
        match self {
            Self::DesktopLogins => Times {
                starts: &["connection_start_time", "connection_setup_time"],
                end: "connection_end_time",
            },
            Self::AppLogins => {
                Times { starts: &["start_time", "pre_conn_time", "update_time"], end: "end_time" }
            }
            Self::AppLaunches => Times { starts: &["brokering_time"], end: "end_time" },
        }
    }

    fn of_row(row: &Map<String, Value>) -> Option<Self> {
        match endpoint_of(row.keys().map(String::as_str))? {
            Endpoint::DesktopLogins => Some(Self::DesktopLogins),
            Endpoint::AppLogins => Some(Self::AppLogins),
            Endpoint::AppLaunches => Some(Self::AppLaunches),
            Endpoint::Sessions | Endpoint::UserEvents => None,
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
}

/// One row, as it will be in the end.
#[derive(Debug, Clone)]
pub struct Row {
    /// Place among all rows of the world; what is decided by chance is decided by it.
    pub number: u64,
    /// Its own time; none is served always.
    pub at: Option<Timestamp>,
    /// First seen.
    pub born: Option<Timestamp>,
    /// Everything about it, as the vendor spells it.
    pub fields: Map<String, Value>,
}

impl Row {
    /// A time of the row by name.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        self.fields.get(name).and_then(Value::as_str).and_then(Timestamp::parse)
    }

    /// When the last of its times comes true.
    fn complete(&self, list: List) -> Option<Timestamp> {
        let times = [self.born, self.time(list.times().end), self.time(SETUP)];
        times.into_iter().flatten().max()
    }

    /// The row as it looks at `now`, once it is born.
    pub fn at(&self, list: List, now: Timestamp) -> Map<String, Value> {
        let mut fields = self.fields.clone();
        for name in [list.times().end, SETUP] {
            if self.time(name).is_some_and(|time| time > now) {
                fields.shift_remove(name);
            }
        }
        if self.time(UPDATED).is_some_and(|time| time > now) {
            let start = list.times().starts.iter().find_map(|name| fields.get(*name).cloned());
            fields.insert(UPDATED.to_owned(), start.unwrap_or_default());
        }
        fields
    }
}

const SETUP: &str = "connection_setup_time";
const UPDATED: &str = "update_time";

/// A line that is no row of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// It is no object of JSON.
    #[error("no row: {0}")]
    NoObject(String),
    /// Its keys are those of no list that is served.
    #[error("a row of none of the lists that are served: desktop_logins, app_logins, app_launches")]
    NoList,
    /// There are [`MAX_ROWS`] already.
    #[error("more than {MAX_ROWS} rows; play fewer files at a time")]
    TooMany,
}

/// All rows, each list by time.
#[derive(Debug, Clone, Default)]
pub struct World {
    seed: u64,
    lists: [Vec<Row>; 3],
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
        self.add(serde_json::from_str(line).map_err(|error| BadRow::NoObject(error.to_string()))?)
    }

    /// Adds a row; its keys tell whose it is. When all are there, [`World::sort`] puts them in order.
    pub fn add(&mut self, fields: Map<String, Value>) -> Result<(), BadRow> {
        let list = List::of_row(&fields).ok_or(BadRow::NoList)?;
        if self.count >= MAX_ROWS as u64 {
            return Err(BadRow::TooMany);
        }
        let mut row = Row { number: self.count, at: None, born: None, fields };
        row.at = list.times().starts.iter().find_map(|name| row.time(name));
        let span = u64::try_from(MAX_LAG.0).unwrap_or_default() + 1;
        let lag = i64::try_from(self.chance(row.number, "lag") % span).unwrap_or_default();
        row.born = row.at.map(|at| at + Millis(lag));
        self.count += 1;
        self.complete = self.complete.max(row.complete(list));
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
