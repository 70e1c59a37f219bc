//! Where addresses are: values that come from files beside the records.
//!
//! The files are the edge's affair. Here is what they said of an address, exact and small enough to
//! stand in the journal, so that feeding it again does not need the files.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Bytes of a name that is kept.
pub const MAX_NAME: usize = 256;

/// What is known of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166 code.
    pub country: Option<String>,
    /// City, in English.
    pub city: Option<String>,
    /// Latitude and longitude.
    pub at: Option<(Degrees, Degrees)>,
    /// Accuracy radius in km.
    pub radius: Option<u32>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Its organisation.
    pub asn_name: Option<String>,
}

/// An angle in ten thousandths of a degree, which is how exact such files are; about 11 m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degrees(pub i32);

impl Degrees {
    /// The nearest angle; none for what is no angle.
    pub fn of(degrees: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "within 360 degrees")]
        let nearest = (degrees * 10_000.0).round() as i32;
        (degrees.abs() <= 360.0).then_some(Self(nearest))
    }
}

/// As a decimal: `37.751`, `-0.5`.
impl fmt::Display for Degrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / 10_000, self.0.unsigned_abs() % 10_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        let digits = format!("{rest:04}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            digits => write!(f, "{sign}{whole}.{digits}"),
        }
    }
}

/// The facts that a place gives, and each as text; none where the place does not tell.
pub const FACTS: [&str; 7] =
    ["geo.country", "geo.city", "geo.lat", "geo.lon", "geo.radius", "asn.number", "asn.name"];

impl Place {
    /// The fact of that number of [`FACTS`], and whether it is a number.
    pub fn fact(&self, number: usize) -> Option<(String, bool)> {
        let text = |text: &Option<String>| text.clone().map(|text| (text, false));
        match FACTS.get(number).copied()? {
            "geo.country" => text(&self.country),
            "geo.city" => text(&self.city),
            "geo.lat" => self.at.map(|(lat, _)| (lat.to_string(), true)),
            "geo.lon" => self.at.map(|(_, lon)| (lon.to_string(), true)),
            "geo.radius" => self.radius.map(|radius| (radius.to_string(), true)),
            "asn.number" => self.asn.map(|number| (number.to_string(), false)),
            "asn.name" => text(&self.asn_name),
            _ => None,
        }
    }
}

/// Something that knows where addresses are. The same address is at the same place as long as it lives.
pub trait Geography: fmt::Debug + Send + Sync {
    /// Where `address` is, if that is known. An IPv4-mapped IPv6 address is the IPv4 address.
    fn place(&self, address: IpAddr) -> Option<Arc<Place>>;
    /// Where it knows from: versions of files by their names, `geo.city`.
    fn versions(&self) -> &BTreeMap<String, String>;
}

/// Places as the journal holds them: of the addresses in some rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Versions of the files.
    pub versions: BTreeMap<String, String>,
    /// Every address that has a place.
    pub of: BTreeMap<IpAddr, Arc<Place>>,
}

impl Places {
    /// What `geography` knows of `addresses`; none where it knows nothing.
    pub fn of(geography: &dyn Geography, addresses: impl IntoIterator<Item = IpAddr>) -> Option<Self> {
        let place = |address: IpAddr| Some((address, geography.place(address)?));
        let of: BTreeMap<_, _> = addresses.into_iter().filter_map(place).collect();
        (!of.is_empty()).then(|| Self { versions: geography.versions().clone(), of })
    }
}

impl Geography for Places {
    fn place(&self, address: IpAddr) -> Option<Arc<Place>> {
        self.of.get(&address).cloned()
    }

    fn versions(&self) -> &BTreeMap<String, String> {
        &self.versions
    }
}

/// The address that `text` spells, as places are known by.
pub fn address(text: &str) -> Option<IpAddr> {
    let address = text.trim().parse::<IpAddr>().ok()?.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_shown_as_decimals() {
        let shown = |degrees: f64| Degrees::of(degrees).map(|degrees| degrees.to_string());
        assert_eq!(shown(37.751).as_deref(), Some("37.751"));
        assert_eq!(shown(-0.5).as_deref(), Some("-0.5"));
        assert_eq!(shown(-122.08375).as_deref(), Some("-122.0838"));
        assert_eq!(shown(0.0).as_deref(), Some("0"));
        assert_eq!(shown(10.0).as_deref(), Some("10"));
        assert_eq!((shown(f64::NAN), shown(1e9)), (None, None));
    }

    #[test]
    fn every_fact_of_a_place_is_told() {
        let place = Place {
            country: Some("NO".into()),
            city: Some("Oslo".into()),
            at: Degrees::of(59.9127).zip(Degrees::of(10.7461)),
            radius: Some(20),
            asn: Some(2119),
            asn_name: Some("Telenor".into()),
        };
        let facts: Vec<String> = (0..FACTS.len()).filter_map(|number| Some(place.fact(number)?.0)).collect();
        assert_eq!(facts, ["NO", "Oslo", "59.9127", "10.7461", "20", "2119", "Telenor"]);
        assert!((0..FACTS.len()).all(|number| Place::default().fact(number).is_none()));
    }
}
