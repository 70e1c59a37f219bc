//! Keys of the verbs.

use super::super::spec::{TravelSpec, UsualSpec};
use super::{KeyDoc, MAX_AT_LEAST, MAX_KEEP, MapDoc, Open, Takes, may, need};

const AT_LEAST: Takes = Takes::Whole(1, MAX_AT_LEAST);

pub(super) const BY: KeyDoc =
    may("by", Takes::Fields, "fields whose values make a group; none: one group a tenant", "by: [user]");
pub(super) const MISSING: KeyDoc = may(
    "missing",
    Takes::Word(&["skip", "own"]),
    "a record without a `by` field is skipped, or makes a group of its own",
    "missing: own",
);
const WITHIN: KeyDoc =
    need("within", Takes::Duration, "length of the sliding window, (t - w, t]", "within: 10m");

/// `count:`
pub static COUNT: MapDoc = MapDoc {
    name: "`count`",
    about: "so many hits within a window",
    open: Open::Closed,
    keys: &[
        may("at_least", AT_LEAST, "hits that fire; needed unless there is `having`", "at_least: 5"),
        WITHIN,
        BY,
        MISSING,
        may(
            "unless",
            Takes::Expression,
            "such a record of the group clears it",
            "unless: {outcome: success}",
        ),
        may("restart", Takes::Flag, "firing empties the window, and there is no cooldown", "restart: true"),
        may(
            "having",
            Takes::Map(&HAVING),
            "further conditions over the same window; all must hold",
            "having: {users: {distinct: user, at_least: 8}}",
        ),
    ],
};

/// `having:`
pub static HAVING: MapDoc =
    MapDoc { name: "`having`", about: "named conditions over one window", open: Open::Names, keys: &[] };

/// One condition of `having:`.
pub static HAVING_LINE: MapDoc = MapDoc {
    name: "a condition of `having`",
    about: "distinct values of a field, or such hits among all",
    open: Open::Closed,
    keys: &[
        may("distinct", Takes::Field, "the field whose distinct values are counted", "distinct: user"),
        may("match", Takes::Expression, "which of the hits are counted", "match: {outcome: failure}"),
        need("at_least", Takes::Amount, "how many; with `match` also a share", "at_least: 50%"),
        may(
            "times_others",
            Takes::Number,
            "with `match`: and their share is at least so many times that of all other groups",
            "times_others: 3",
        ),
    ],
};

/// `distinct:`
pub static DISTINCT: MapDoc = MapDoc {
    name: "`distinct`",
    about: "so many distinct values within a window",
    open: Open::Closed,
    keys: &[
        need("field", Takes::Field, "whose values are counted", "field: user"),
        need("at_least", AT_LEAST, "distinct values that fire", "at_least: 5"),
        WITHIN,
        BY,
        MISSING,
        may("each_at_most", AT_LEAST, "a value with more hits leaves the count", "each_at_most: 8"),
    ],
};

/// `first_seen:`
pub static FIRST_SEEN: MapDoc = MapDoc {
    name: "`first_seen`",
    about: "a value that the group has not shown before",
    open: Open::Closed,
    keys: &[
        need("value", Takes::FieldOrFields, "the value: a field, or a tuple of several", "value: public_ip"),
        BY,
        MISSING,
        may(
            "learn",
            Takes::OffOr(&Takes::Map(&LEARN)),
            "a group is silent until both are met",
            "learn: {for: 7d, records: 5}",
        ),
        may("forget", Takes::OffOr(&Takes::Duration), "a value unused this long is new again", "forget: 30d"),
        may(
            "same_net",
            Takes::OffOr(&Takes::Map(&SAME_NET)),
            "an address is its network of so many bits",
            "same_net: {v4: 24, v6: 56}",
        ),
        may(
            "first_value",
            Takes::Word(&["silent", "alert"]),
            "what a group's first value does",
            "first_value: alert",
        ),
        may(
            "same_if",
            Takes::Fields,
            "a value is known too if the group knows these fields of its record together",
            "same_if: [asn.number]",
        ),
        may(
            "unless_common",
            Takes::Map(&UNLESS_COMMON),
            "a value that many show is a roll-out, and no news",
            "unless_common: {by: user, at_least: 5, within: 1d}",
        ),
    ],
};

/// `learn:`
pub static LEARN: MapDoc = MapDoc {
    name: "`learn`",
    about: "how long a group learns",
    open: Open::Closed,
    keys: &[
        may("for", Takes::Duration, "since the group's first record", "for: 7d"),
        may("records", AT_LEAST, "records of the group before the one that is judged", "records: 5"),
    ],
};

/// `same_net:`
pub static SAME_NET: MapDoc = MapDoc {
    name: "`same_net`",
    about: "how many bits of an address make its network",
    open: Open::Closed,
    keys: &[
        may("v4", Takes::Whole(1, 32), "bits of an IPv4 address", "v4: 24"),
        may("v6", Takes::Whole(1, 128), "bits of an IPv6 address", "v6: 56"),
    ],
};

/// `unless_common:`
pub static UNLESS_COMMON: MapDoc = MapDoc {
    name: "`unless_common`",
    about: "how many must show a value, in all groups together, before it is no news",
    open: Open::Closed,
    keys: &[
        need("by", Takes::Field, "whose different values are counted", "by: user"),
        need("at_least", Takes::Whole(2, MAX_AT_LEAST), "so many of them, this one included", "at_least: 5"),
        need("within", Takes::Duration, "in so long before the record, (t - w, t]", "within: 1d"),
    ],
};

/// `measure:`
pub static MEASURE: MapDoc = MapDoc {
    name: "`measure`",
    about: "a statistic of a number field",
    open: Open::Closed,
    keys: &[
        need("field", Takes::Field, "the number field", "field: e2e_rtt"),
        need("stat", Takes::Stat, "which statistic; percentiles are nearest-rank", "stat: p90"),
        may("above", Takes::Number, "fires strictly above, in the field's own unit", "above: 300"),
        may("below", Takes::Number, "fires strictly below, in the field's own unit", "below: 5"),
        WITHIN,
        may("last", AT_LEAST, "only the last so many samples of the window", "last: 5"),
        may("at_least", AT_LEAST, "fewer samples prove nothing", "at_least: 5"),
        BY,
        MISSING,
        may(
            "recover",
            Takes::Map(&RECOVER),
            "strictly beyond this the alert is resolved",
            "recover: {below: 200}",
        ),
    ],
};

/// `recover:`
pub static RECOVER: MapDoc = MapDoc {
    name: "`recover`",
    about: "when the alert is resolved",
    open: Open::Closed,
    keys: &[
        may("above", Takes::Number, "resolved strictly above", "above: 10"),
        may("below", Takes::Number, "resolved strictly below", "below: 200"),
    ],
};

/// `rate:`
pub static RATE: MapDoc = MapDoc {
    name: "`rate`",
    about: "a leaky bucket: a hit pours one in, and one drains every so often",
    open: Open::Closed,
    keys: &[
        need("at_least", AT_LEAST, "how many in the bucket fire", "at_least: 6"),
        need("drains_every", Takes::Duration, "one drains in so long, evenly", "drains_every: 10s"),
        BY,
        MISSING,
        may("distinct", Takes::Field, "only a value that is not in the bucket pours", "distinct: user"),
    ],
};

/// `sequence:`
pub static SEQUENCE: MapDoc = MapDoc {
    name: "`sequence`",
    about: "steps in order within a window; fires at the record that completes the last",
    open: Open::Closed,
    keys: &[
        WITHIN,
        BY,
        MISSING,
        need(
            "steps",
            Takes::Maps(&STEP),
            "the steps, each matching by itself",
            "steps: [{name: failures, match: {outcome: failure}, at_least: 5}, {match: {outcome: success}}]",
        ),
        may("until", Takes::Expression, "such a record of the group clears it", "until: {outcome: success}"),
    ],
};

/// One entry of `steps:`.
pub static STEP: MapDoc = MapDoc {
    name: "a step of `sequence`",
    about: "so many records, or at the end the lack of one",
    open: Open::Closed,
    keys: &[
        may("name", Takes::Text, "its name in the alert's text: `steps.failures.count`", "name: failures"),
        may("match", Takes::Expression, "what its records are", "match: {outcome: failure}"),
        may("at_least", AT_LEAST, "how many it takes; 1 where not given", "at_least: 5"),
        may(
            "absent",
            Takes::Expression,
            "in the last step: no such record comes before the window is over",
            "absent: {phase: end}",
        ),
    ],
};

/// `absent:`
pub static ABSENT: MapDoc = MapDoc {
    name: "`absent`",
    about: "no hit for so long; told once, and again only after a hit",
    open: Open::Closed,
    keys: &[
        need("for", Takes::Duration, "fires so long after the last hit", "for: 30m"),
        BY,
        MISSING,
        may(
            "retire",
            Takes::OffOr(&Takes::Duration),
            "a group without a hit for so long is forgotten",
            "retire: 7d",
        ),
        may(
            "from",
            Takes::Text,
            "values of this list are groups too, without a hit of their own",
            "from: desktops",
        ),
    ],
};

/// `script:`
pub static SCRIPT: MapDoc = MapDoc {
    name: "`script`",
    about: "a Rhai script over the group's last records",
    open: Open::Closed,
    keys: &[
        BY,
        MISSING,
        may(
            "keep",
            Takes::Whole(1, MAX_KEEP),
            "records of the group that the script sees, this one included",
            "keep: 3",
        ),
        need(
            "when",
            Takes::Script,
            "the script: true, false, or alert(#{name: value})",
            "when: record.e2e_rtt > 3 * record.network_rtt",
        ),
    ],
};

/// `risk:`
pub static RISK: MapDoc = MapDoc {
    name: "`risk`",
    about: "points of other rules' alerts: informational 0, low 5, medium 20, high 50, critical 100",
    open: Open::Closed,
    keys: &[
        WITHIN,
        BY,
        MISSING,
        may("at_least", AT_LEAST, "points that fire", "at_least: 100"),
        may("techniques", AT_LEAST, "distinct ATT&CK techniques that fire", "techniques: 3"),
    ],
};

/// `travel:`
pub static TRAVEL: MapDoc = MapDoc {
    name: "`travel`",
    about: "two places one after the other, too far apart for the time between",
    open: Open::Closed,
    keys: &[
        BY,
        MISSING,
        need(
            "at_least",
            Takes::Measured(TravelSpec::LEAST_KM, TravelSpec::MOST_KM, "km"),
            "least distance, both accuracy radii subtracted",
            "at_least: 500km",
        ),
        need(
            "faster_than",
            Takes::Measured(1, TravelSpec::MOST_KMH, "km/h"),
            "fires strictly above this speed",
            "faster_than: 800km/h",
        ),
        may(
            "ignore_same",
            Takes::Fields,
            "two records with the same value in one of these fields are no journey",
            "ignore_same: [asn.number]",
        ),
        may(
            "ignore_in",
            Takes::Texts,
            "records whose `public_ip` is in one of these lists are nowhere",
            "ignore_in: [egress]",
        ),
    ],
};

/// `usual:`
pub static USUAL: MapDoc = MapDoc {
    name: "`usual`",
    about: "a value, or a rate, that is far from the median of what the group had before",
    open: Open::Closed,
    keys: &[
        may("field", Takes::Field, "the number field whose values are compared", "field: network_rtt"),
        may(
            "rate_per",
            Takes::Duration,
            "or how many records there are in such a stretch of the week; it divides a day",
            "rate_per: 1h",
        ),
        BY,
        MISSING,
        may("above", Takes::Map(&FAR), "fires so far above what is usual", "above: {times: 3, and_by: 80}"),
        may("below", Takes::Map(&FAR), "fires so far below, of a field", "below: {times: 3}"),
        need(
            "learn",
            Takes::Map(&USUAL_LEARN),
            "a group is silent until it has learnt",
            "learn: {days: 14, samples: 20}",
        ),
    ],
};

/// `above:` and `below:` of `usual`.
pub static FAR: MapDoc = MapDoc {
    name: "how far from `usual`",
    about: "how far a value is from what is usual; where both are given, both must hold",
    open: Open::Closed,
    keys: &[
        may(
            "times",
            Takes::Number,
            "more than so many times as much, or less than one in so many",
            "times: 3",
        ),
        may(
            "and_by",
            Takes::Number,
            "more than so much above, or below, in the field's own unit",
            "and_by: 80",
        ),
    ],
};

/// `learn:` of `usual`.
pub static USUAL_LEARN: MapDoc = MapDoc {
    name: "`learn` of `usual`",
    about: "how long a group learns; both must be met",
    open: Open::Closed,
    keys: &[
        need(
            "days",
            Takes::Whole(1, 90),
            "since the group's first record; of a rate, 7 at least",
            "days: 14",
        ),
        may(
            "samples",
            Takes::Whole(1, UsualSpec::MAX_SAMPLES),
            "samples of the field, of which a day gives eight at most; 20 where not given",
            "samples: 20",
        ),
    ],
};

/// `overlap:`
pub static OVERLAP: MapDoc = MapDoc {
    name: "`overlap`",
    about: "two sessions of the group that are open at once",
    open: Open::Closed,
    keys: &[
        BY,
        MISSING,
        need("for", Takes::Duration, "how long both are open at least", "for: 5m"),
        may(
            "where",
            Takes::Map(&PAIR),
            "what the two must be to each other; all must hold",
            "where: {km|gte: 500, device: different}",
        ),
    ],
};

/// `where:` of `overlap`.
pub static PAIR: MapDoc = MapDoc {
    name: "`where`",
    about: "how two sessions compare; a field that one of them lacks is neither the same nor different",
    open: Open::Compared,
    keys: &[
        may(
            KM[0],
            Takes::Number,
            "further apart than so many km, both accuracy radii subtracted",
            "km|gt: 500",
        ),
        may(KM[1], Takes::Number, "the same, or as far", "km|gte: 500"),
        may(KM[2], Takes::Number, "nearer than so many km", "km|lt: 500"),
        may(KM[3], Takes::Number, "the same, or as far", "km|lte: 500"),
    ],
};

/// How far apart two sessions are.
pub const KM: [&str; 4] = ["km|gt", "km|gte", "km|lt", "km|lte"];
