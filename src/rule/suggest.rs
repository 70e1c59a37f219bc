//! The nearest right name for a wrong one. Never more than one: a list is not a way out.

/// The candidate nearest to `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in a short word, one in three letters of a longer one.
    let allowed = (word.chars().count() / 3).max(1);
    let distance = |candidate: &'a str| (strsim::damerau_levenshtein(word, candidate), candidate);
    candidates.into_iter().map(distance).filter(|(slips, _)| *slips <= allowed).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let names = ["user", "user_name", "network_rtt", "public_ip"];
        assert_eq!(nearest("usr", names), Some("user"));
        assert_eq!(nearest("netwrok_rtt", names), Some("network_rtt"));
        assert_eq!(nearest("colour", names), None);
    }
}
