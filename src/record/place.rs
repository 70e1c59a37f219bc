//! Places on Earth, and how far apart they are.
//!
//! Sines and their kin come from `libm`, and distances are whole metres: every machine gives the
//! same ones.

/// Mean radius of the Earth in km (IUGG).
const EARTH_RADIUS: f64 = 6371.0088;

/// No two places are further apart: half the way around, in metres.
pub const FURTHEST: i64 = 20_015_115;

/// A place: degrees north, degrees east.
pub type Place = (f64, f64);

/// Great-circle distance in metres.
#[expect(clippy::cast_possible_truncation, reason = "a distance on Earth; casts saturate")]
pub fn metres(from: Place, to: Place) -> i64 {
    let (lat1, lon1) = (from.0.to_radians(), from.1.to_radians());
    let (lat2, lon2) = (to.0.to_radians(), to.1.to_radians());
    let half = |angle: f64| libm::sin(angle / 2.0) * libm::sin(angle / 2.0);
    let chord = half(lat2 - lat1) + libm::cos(lat1) * libm::cos(lat2) * half(lon2 - lon1);
    let distance = 2.0 * EARTH_RADIUS * libm::asin(chord.sqrt().min(1.0));
    (distance * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_great_circles_to_the_metre() {
        for (from, to, expected) in [
            ((59.9139, 10.7522), (31.2304, 121.4737), 8_086_667),
            ((0.0, 0.0), (0.0, 180.0), 20_015_114),
            ((90.0, 0.0), (-90.0, 77.0), 20_015_114),
            ((0.0, 179.5), (0.0, -179.5), 111_195),
            ((1.0, 1.0), (1.0, 1.0), 0),
        ] {
            assert_eq!(metres(from, to), expected, "{from:?} {to:?}");
            assert_eq!(metres(to, from), expected, "{to:?} {from:?}");
            assert!(expected <= FURTHEST);
        }
    }
}
