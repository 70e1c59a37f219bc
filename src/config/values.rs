//! Single values that only configurations have.

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Units of bytes.
const UNITS: [(&str, u64); 4] =
    [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];

/// Reads `500MB`, `20GB`, `1TB`: a whole number above 0 and a decimal unit.
pub(super) fn size(text: &str) -> Option<Bytes> {
    let (_, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let count = whole(text[..text.len() - 2].trim_end())?;
    count.checked_mul(*factor).filter(|bytes| *bytes > 0).map(Bytes)
}

fn whole(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_its_unit() {
        assert_eq!(size("20GB"), Some(Bytes(20_000_000_000)));
        assert_eq!(size("500 MB"), Some(Bytes(500_000_000)));
        for text in ["20", "20G", "0GB", "1.5GB", "GB", "99999999999999TB", "é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
