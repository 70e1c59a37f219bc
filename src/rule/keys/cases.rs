//! Keys of a rule's own tests.

use super::{MAX_TIMES, MapDoc, Open, Takes, may, need};

/// One test.
pub static TEST: MapDoc = MapDoc {
    name: "a test",
    about: "records, and the alerts that they raise",
    open: Open::Closed,
    keys: &[
        need("name", Takes::Text, "the claim", "name: five failures in eight minutes raise one alert"),
        may(
            "lists",
            Takes::Map(&TEST_LISTS),
            "values of lists, in the place of those of the configuration",
            "lists: {egress: [203.0.113.0/24]}",
        ),
        may(
            "history",
            Takes::Maps(&EVENT),
            "records before the events; their alerts are not asserted",
            "history: [{every: 1d, times: 8, user: ana}]",
        ),
        need(
            "events",
            Takes::Maps(&EVENT),
            "records whose alerts are asserted",
            "events: [{every: 2m, times: 5, user: ana, outcome: failure}]",
        ),
        need(
            "alerts",
            Takes::Or(&Takes::Word(&["none"]), &Takes::Maps(&EXPECTED)),
            "the alerts in order; each names only what it asserts",
            "alerts: none",
        ),
    ],
};

/// `lists:` of a test.
pub static TEST_LISTS: MapDoc = MapDoc {
    name: "`lists` of a test",
    about: "lists by name, each a list of values; a value that ends is `{value: ana, until: 2026-01-31}`",
    open: Open::Names,
    keys: &[],
};

/// A value of a list that ends.
pub static TEST_VALUE: MapDoc = MapDoc {
    name: "a value of a list",
    about: "a value, and until when it holds",
    open: Open::Closed,
    keys: &[
        need("value", Takes::Text, "the value", "value: ana"),
        may("until", Takes::Day, "until the end of that day in the configured zone", "until: 2026-01-31"),
    ],
};

/// One line of `events:` or `history:`.
pub static EVENT: MapDoc = MapDoc {
    name: "a line of events",
    about: "one or several records",
    open: Open::Fields,
    keys: &[
        may("times", Takes::Whole(1, MAX_TIMES), "how many records", "times: 5"),
        may("every", Takes::Duration, "time between them", "every: 2m"),
        may(
            "each",
            Takes::Map(&EACH),
            "fields that take the next value of their list with each record",
            "each: {user: [ana, bob]}",
        ),
        may("after", Takes::Duration, "time since the end of the line before", "after: 1h"),
        may("at", Takes::Instant, "the instant of the first record", "at: 2026-01-05T22:00:00Z"),
    ],
};

/// `each:`
pub static EACH: MapDoc =
    MapDoc { name: "`each`", about: "fields and the list of their values", open: Open::Fields, keys: &[] };

/// One entry of `alerts:`.
pub static EXPECTED: MapDoc = MapDoc {
    name: "an expected alert",
    about: "what one alert must be; only what is named is asserted",
    open: Open::Names,
    keys: &[],
};
