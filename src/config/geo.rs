//! Files that tell where an address is, in MaxMind's format, read whole.
//!
//! What a file says of an address is taken as far as it is well formed; the rest is as if it were
//! not there. The bytes are kept in memory, so that a file that is replaced changes nothing until it
//! is read again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use maxminddb::Reader;
use serde::Deserialize;

use crate::record::Timestamp;
use crate::record::geography::{Degrees, Geography, MAX_NAME, Place};

/// Bytes of one file: several times the largest that is known.
const MAX_BYTES: u64 = 1 << 30;
/// Addresses whose places are remembered. Hostile addresses may be all different.
const MAX_REMEMBERED: usize = 65_536;
/// Hexadecimal digits of a file's digest in its version.
const SHOWN_DIGEST: usize = 8;

/// Which of the two a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeoKind {
    /// Countries, cities and coordinates.
    City,
    /// Autonomous systems.
    Asn,
}

impl GeoKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::City, Self::Asn];

    /// The key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::City => "city",
            Self::Asn => "asn",
        }
    }

    /// What such a file tells.
    fn tells(self) -> &'static str {
        match self {
            Self::City => "places",
            Self::Asn => "autonomous systems",
        }
    }

    /// Which of the two a file of this type is; none where that does not say, or says both.
    fn of_type(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
        match (says(&["city", "country", "location", "enterprise"]), says(&["asn", "isp", "enterprise"])) {
            (true, false) => Some(Self::City),
            (false, true) => Some(Self::Asn),
            (true, true) | (false, false) => None,
        }
    }

    /// What its version is called in an alert.
    fn version(self) -> &'static str {
        match self {
            Self::City => "geo.city",
            Self::Asn => "geo.asn",
        }
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadGeo {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is too large.
    #[error("it is larger than {} GiB", MAX_BYTES >> 30)]
    TooLarge,
    /// It is the other of the two.
    #[error(
        "it tells {} (`{name}`), and {} are wanted: the files are swapped, or this is the wrong one",
        is.tells(),
        wanted.tells()
    )]
    Swapped {
        /// Which it is.
        is: GeoKind,
        /// Which it should be.
        wanted: GeoKind,
        /// Its own type.
        name: String,
    },
    /// It is no such file.
    #[error("it is no file in MaxMind's format: {0}")]
    Format(#[from] maxminddb::MaxMindDbError),
}

/// One file, read.
pub struct GeoFile {
    path: PathBuf,
    /// Length and time of change when it was read: the same means the same file.
    stamp: (u64, Option<SystemTime>),
    version: String,
    reader: Reader<Vec<u8>>,
}

impl std::fmt::Debug for GeoFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoFile")
            .field("path", &self.path)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl GeoFile {
    /// Reads the file at `path`, or gives `last` again where that is the same file, unchanged.
    pub fn read(wanted: GeoKind, path: &Path, last: Option<&Arc<Self>>) -> Result<Arc<Self>, BadGeo> {
        let about = path.metadata()?;
        let stamp = (about.len(), about.modified().ok());
        if let Some(same) = last.filter(|last| last.path == path && last.stamp == stamp) {
            return Ok(same.clone());
        }
        if about.len() > MAX_BYTES {
            return Err(BadGeo::TooLarge);
        }
        #[expect(clippy::disallowed_methods, reason = "files of places are read at this edge")]
        let bytes = std::fs::read(path)?;
        let digest = blake3::hash(&bytes).to_hex()[..SHOWN_DIGEST].to_owned();
        let reader = Reader::from_source(bytes)?;
        let about = reader.metadata();
        let built = i64::try_from(about.build_epoch).unwrap_or_default().saturating_mul(1_000);
        let built = Timestamp(built).to_string();
        let day = built.split('T').next().unwrap_or_default();
        let kind: String = about.database_type.chars().filter(char::is_ascii_graphic).take(64).collect();
        if let Some(is) = GeoKind::of_type(&kind).filter(|is| *is != wanted) {
            return Err(BadGeo::Swapped { is, wanted, name: kind });
        }
        let version = format!("{kind} {day} {digest}");
        Ok(Arc::new(Self { path: path.to_owned(), stamp, version, reader }))
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn look<'f, T: Deserialize<'f>>(&'f self, address: IpAddr) -> Option<T> {
        self.reader.lookup(address).ok()?.decode().ok()?
    }
}

/// The files of one configuration.
#[derive(Debug, Default)]
pub struct Geo {
    city: Option<Arc<GeoFile>>,
    asn: Option<Arc<GeoFile>>,
    versions: BTreeMap<String, String>,
    remembered: Mutex<HashMap<IpAddr, Option<Arc<Place>>, foldhash::fast::RandomState>>,
}

/// What a file of cities says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cities<'f> {
    #[serde(borrow)]
    country: Country<'f>,
    #[serde(borrow)]
    city: City<'f>,
    location: Location,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Country<'f> {
    iso_code: Option<&'f str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct City<'f> {
    #[serde(borrow)]
    names: Names<'f>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names<'f> {
    en: Option<&'f str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
    accuracy_radius: Option<u16>,
}

/// What a file of autonomous systems says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Systems<'f> {
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'f str>,
}

impl Geo {
    /// With these files.
    pub fn new(city: Option<Arc<GeoFile>>, asn: Option<Arc<GeoFile>>) -> Self {
        let files = [(GeoKind::City, &city), (GeoKind::Asn, &asn)];
        let version = |(kind, file): (GeoKind, &Option<Arc<GeoFile>>)| {
            Some((kind.version().to_owned(), file.as_ref()?.version.clone()))
        };
        let versions = files.into_iter().filter_map(version).collect();
        Self { city, asn, versions, remembered: Mutex::default() }
    }

    /// Its file of that kind.
    pub fn file(&self, kind: GeoKind) -> Option<&Arc<GeoFile>> {
        match kind {
            GeoKind::City => self.city.as_ref(),
            GeoKind::Asn => self.asn.as_ref(),
        }
    }

    /// True where it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    fn look(&self, address: IpAddr) -> Option<Arc<Place>> {
        let name = |text: Option<&str>| {
            let text = text.filter(|text| !text.is_empty())?;
            Some(text[..text.floor_char_boundary(MAX_NAME)].to_owned())
        };
        let mut place = Place::default();
        if let Some(said) = self.city.as_ref().and_then(|file| file.look::<Cities<'_>>(address)) {
            let Location { latitude, longitude, accuracy_radius } = said.location;
            place.country = name(said.country.iso_code);
            place.city = name(said.city.names.en);
            place.at = latitude.and_then(Degrees::of).zip(longitude.and_then(Degrees::of));
            place.radius = accuracy_radius.map(u32::from);
        }
        if let Some(said) = self.asn.as_ref().and_then(|file| file.look::<Systems<'_>>(address)) {
            place.asn = said.autonomous_system_number;
            place.asn_name = name(said.autonomous_system_organization);
        }
        (place != Place::default()).then(|| Arc::new(place))
    }
}

impl Geography for Geo {
    fn place(&self, address: IpAddr) -> Option<Arc<Place>> {
        let lock = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&address) {
            return known.clone();
        }
        let place = self.look(address);
        let mut remembered = lock();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(address, place.clone());
        place
    }

    fn versions(&self) -> &BTreeMap<String, String> {
        &self.versions
    }
}
