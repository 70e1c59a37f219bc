//! Exact decimals: sums and comparisons that do not depend on the order of additions.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A decimal number, kept as an integer of billionths. Magnitude up to 10^20; nine digits after
/// the point, further ones are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Number(i128);

/// Billionths in one.
const SCALE: i128 = 1_000_000_000;
/// Digits after the point.
const PLACES: usize = 9;
/// Largest magnitude; leaves room for exact sums of ten thousand of them and more.
const MAX: i128 = 100_000_000_000_000_000_000 * SCALE;
/// What stands for every number of a larger magnitude where only the order counts: 10^21.
const BEYOND: i128 = 10 * MAX;

impl Number {
    /// The whole number `value`.
    pub fn whole(value: i64) -> Self {
        Self(i128::from(value) * SCALE)
    }

    /// Reads `12`, `-3.5`, `1.5e3`; none if it is no decimal number or out of range.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(short) = Self::short(text) {
            return Some(short);
        }
        let (negative, magnitude) = spelt(text)?;
        magnitude.map(|value| Self(if negative { -value } else { value }))
    }

    /// The same where only the order counts: all that is out of range above is one number which is larger
    /// than any in range, and all that is out of range below one that is smaller. None only if the text is
    /// no decimal number. What is out of range is equal to nothing by it: two such numbers may differ.
    pub fn nearest(text: &str) -> Option<Self> {
        if let Some(short) = Self::short(text) {
            return Some(short);
        }
        let (negative, magnitude) = spelt(text)?;
        let value = magnitude.unwrap_or(BEYOND);
        Some(Self(if negative { -value } else { value }))
    }

    /// Whether `text` spells a number that is out of range.
    pub fn is_out_of_range(text: &str) -> bool {
        Self::nearest(text).is_some_and(|number| number.bound().is_some())
    }

    /// What is known of a number that is out of range, or that was reckoned from one; none in range.
    pub fn bound(self) -> Option<&'static str> {
        match self.0 {
            value if value > MAX => Some("more than 1e20"),
            value if value < -MAX => Some("less than -1e20"),
            _ => None,
        }
    }

    /// As a floating-point number, for scripts and display only.
    #[expect(clippy::cast_precision_loss, reason = "display and scripts, never a comparison")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }

    /// The whole part, if the number is whole and fits.
    pub fn to_i64(self) -> Option<i64> {
        if self.0 % SCALE == 0 { i64::try_from(self.0 / SCALE).ok() } else { None }
    }

    /// The whole part of a number that is not negative, if it fits.
    pub fn floor(self) -> Option<i64> {
        if self.0 < 0 { None } else { i64::try_from(self.0 / SCALE).ok() }
    }

    /// This number times `factor`, exactly; capped at the range of the representation.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(i128::from(factor)))
    }

    /// How many times `other` this is, cut after one digit; none where `other` is zero.
    #[must_use]
    pub fn ratio(self, other: Self) -> Option<Self> {
        Some(Self(self.0.saturating_mul(10).checked_div(other.0)?.saturating_mul(SCALE / 10)))
    }

    /// This number divided by `count`, cut after nine digits. `count` of zero gives zero.
    #[must_use]
    pub fn over(self, count: u32) -> Self {
        Self(self.0.checked_div(i128::from(count)).unwrap_or(0))
    }

    /// What nearly every number is: whole and short.
    fn short(text: &str) -> Option<Self> {
        if !(1..=18).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.bytes().fold(0_i64, |value, byte| value * 10 + i64::from(byte - b'0'));
        Some(Self::whole(digits))
    }
}

/// Whether the number that `text` spells has a minus, and its magnitude; none of that if it is out of range.
fn spelt(text: &str) -> Option<(bool, Option<i128>)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, whole_exponent(exponent)?),
        None => (digits, 0),
    };
    let (int, frac) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if int.is_empty() || !all_digits(int) || !all_digits(frac) || (mantissa.contains('.') && frac.is_empty())
    {
        return None;
    }
    Some((negative, scaled(int, frac, exponent).filter(|value| *value <= MAX)))
}

/// The exponent that `text` spells; one that fits nowhere is as good as the last that does, since no text
/// has so many digits that the point would come back among them.
fn whole_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let last = if text.starts_with('-') { i32::MIN } else { i32::MAX };
    Some(text.parse().unwrap_or(last))
}

/// The value of `int.frac` times ten to the `exponent`, in billionths, cut.
fn scaled(int: &str, frac: &str, exponent: i32) -> Option<i128> {
    let mut value: i128 = 0;
    // Position of the point after the exponent moved it; digits beyond nine places are dropped.
    let point = i64::try_from(int.len()).ok()? + i64::from(exponent);
    let last = point + i64::try_from(PLACES).ok()?;
    let mut taken: i64 = 0;
    for byte in int.bytes().chain(frac.bytes()) {
        if taken >= last {
            break;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        taken += 1;
    }
    if value != 0 {
        for _ in taken..last {
            value = value.checked_mul(10)?;
        }
    }
    Some(value)
}

impl Add for Number {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Number {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Number {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let scale = SCALE.unsigned_abs();
        let (whole, part) = (magnitude / scale, magnitude % scale);
        if part == 0 {
            write!(f, "{sign}{whole}")
        } else {
            let digits = format!("{part:09}");
            write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Number::parse(text).map_or("none".to_owned(), |n| n.to_string())
    }

    #[test]
    fn reads_decimals_exactly() {
        assert_eq!(shown("312.50"), "312.5");
        assert_eq!(shown("-0.000000001"), "-0.000000001");
        assert_eq!(shown("1.5e3"), "1500");
        assert_eq!(shown("15e-1"), "1.5");
        assert_eq!(shown("0.0000000019"), "0.000000001");
        assert_eq!(shown("0e99999"), "0");
        assert_eq!(shown("100000000000000000000"), "100000000000000000000");
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in
            ["", "-", "five", "1.", ".5", "1e", "0x10", "1_000", "+1", "1e+", "1e--1", "1e1.5", "1e1x"]
        {
            assert_eq!(shown(text), "none", "{text}");
            assert_eq!(Number::nearest(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_out_of_range_has_its_place_in_the_order_and_no_value() {
        let last = Number::parse("100000000000000000000").unwrap();
        for text in [
            "100000000000000000001",
            "1000000000000000000000",
            "1e21",
            "1E+999",
            "0.001e99999999999",
            "1e99999999999999999999999",
            "123456789012345678901234567890",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
            assert!(Number::nearest(text).unwrap() > last, "{text}");
            assert!(Number::is_out_of_range(text), "{text}");
            assert_eq!(Number::nearest(text).unwrap().bound(), Some("more than 1e20"), "{text}");
            let minus = format!("-{text}");
            assert_eq!(Number::parse(&minus), None, "{minus}");
            assert!(Number::nearest(&minus).unwrap() < Number::default() - last, "{minus}");
            assert_eq!(Number::nearest(&minus).unwrap().bound(), Some("less than -1e20"), "{minus}");
        }
        for text in ["1e20", "-1e20", "0", "soon", ""] {
            assert!(!Number::is_out_of_range(text), "{text}");
        }
        assert_eq!(Number::nearest("1e20"), Some(last));
        assert_eq!(Number::nearest("-1e20"), Some(Number::default() - last));
    }

    #[test]
    fn what_is_too_small_to_be_seen_is_zero_however_it_is_spelt() {
        for text in
            ["1e-10", "-1e-999", "1e-99999999999", "12.5E-99999999999999999999", "0e99999999999", "-0.0"]
        {
            assert_eq!(shown(text), "0", "{text}");
            assert_eq!(Number::nearest(text), Some(Number::default()), "{text}");
        }
    }

    #[test]
    fn sums_do_not_depend_on_order() {
        let parts = ["0.1", "0.2", "1e19", "-1e19", "0.7"].map(|text| Number::parse(text).unwrap());
        let forward: Number = parts.into_iter().sum();
        let backward: Number = parts.into_iter().rev().sum();
        assert_eq!(forward, backward);
        assert_eq!(forward.to_string(), "1");
    }
}
