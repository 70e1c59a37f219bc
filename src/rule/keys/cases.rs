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
