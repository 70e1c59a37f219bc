//! What there is to tell of files that were read: what was not found in them, and why nothing came of them.

use super::super::show;
use super::Fed;
use crate::daemon::clock::Clock;
use crate::engine::seen::Tally;
use crate::record::batch::{BadRow, Timed};
use crate::record::scan::Fault;
use crate::rule::keys::one_of;
use crate::rule::suggest;

/// What files of records hold.
const LINES: &str = "one JSON object a line is wanted (of an array, `jq -c '.[]'` makes that)";

impl Fed {
    /// That what `--time-field` names is the time of no line.
    pub fn untimed(&self) -> Option<String> {
        let (name, timed) = self.timed.as_ref()?;
        // Lines that are too long are not read: whether they have it is not known.
        let unread = self.quarantined.values().any(|(_, bad)| matches!(bad.fault, Fault::TooLong));
        if self.read == 0 || timed.read > 0 || unread {
            return None;
        }
        let name = show::safe(name);
        let timeless =
            |(_, bad): &(u64, BadRow)| matches!(bad.fault, Fault::NoTime | Fault::UnreadableTime(_));
        let made = match (self.engine.rows() == Tally::default(), self.quarantined.values().any(timeless)) {
            (true, _) => "",
            (false, true) => "; other names told the time of some",
            (false, false) => "; other names told their time",
        };
        Some(match timed {
            Timed { there: 0, .. } => format!(
                "no line has `{name}`, which --time-field names{made}; dots make a path (--time-field detail.time)"
            ),
            Timed { there, nested, .. } if there == nested => format!(
                "`{name}`, which --time-field names, is an object or a list{made}; dots make a path to what is in it (--time-field {name}.time)"
            ),
            Timed { .. } => format!("`{name}`, which --time-field names, holds a time in no line{made}"),
        })
    }

    /// The way out for lines without a time, unless [`Fed::untimed`] says it.
    pub fn without_time(&self) -> Option<String> {
        match &self.timed {
            None => Some(
                "where another key says it, name it: --time-field NAME, or a path: detail.time".to_owned(),
            ),
            Some(_) if self.untimed().is_some() => None,
            Some((name, timed)) => Some(format!(
                "`{}`, which --time-field names, holds a time in {} and in none of these",
                show::safe(name),
                show::many_of(timed.read, "line")
            )),
        }
    }

    /// What of the field map is in no line, and what it leaves in a field that has other words.
    pub fn mapped_wrong(&self) -> impl Iterator<Item = String> {
        let timeless =
            |(_, bad): &(u64, BadRow)| matches!(bad.fault, Fault::NoTime | Fault::UnreadableTime(_));
        let looked = self.engine.rows() != Tally::default() || self.quarantined.values().any(timeless);
        self.mapped.iter().filter(move |_| looked).filter_map(|(map, mapped)| {
            let (field, key) = (&map.field, show::safe(&map.key));
            if mapped.there == 0 {
                return Some(format!(
                    "no line has `{key}`, which the field map reads `{field}` from; dots make a path"
                ));
            }
            let word = show::safe(mapped.first.as_deref()?);
            let lines = show::many_of(mapped.strange, "line");
            let words = field.words();
            let known = one_of(words);
            let ours = suggest::nearest(&word, words.iter().copied()).or(words.last().copied())?;
            Some(format!(
                "`{field}` is `{word}` in {lines}, and rules know {known}: translate it ({field}: {{from: {key}, values: {{{word}: {ours}}}}})"
            ))
        })
    }

    /// What there is to do about records that are ahead of now.
    pub fn to_now(&self) -> String {
        let Some(now) = self.now else {
            // Who runs this lives now: what is dated later is wrong.
            let clock = Clock::wall().now();
            let right = self.ahead.into_iter().flat_map(|[first, last]| [last, first]);
            let confirmed = "now is the newest time that a second record confirms";
            return match right.into_iter().find(|dated| *dated <= clock) {
                Some(dated) => format!("{confirmed}; if the date is right, give --now {dated}"),
                None => format!("{confirmed}, or --now"),
            };
        };
        format!("now is {now}, as --now says")
    }

    /// Why no line made a record, if none did.
    pub fn made_nothing(&self) -> Option<String> {
        if self.read == 0 || self.engine.rows() != Tally::default() {
            return None;
        }
        let faults: Vec<&Fault> = self.quarantined.values().map(|(_, bad)| &bad.fault).collect();
        let why = match *faults.as_slice() {
            // How those are told is told with them.
            [Fault::NoTime] => String::new(),
            [Fault::UnreadableTime(_)] => {
                let way_out = self.without_time().map(|way_out| format!("; {way_out}"));
                format!(": no time can be read{}", way_out.unwrap_or_default())
            }
            [Fault::Future { .. }] => match self.now {
                Some(now) => format!(": all are dated ahead of --now, {now}"),
                None => format!(": all are dated ahead of now; {}", self.to_now()),
            },
            [Fault::Page(key)] => {
                format!(": each is a page of rows; `jq -c '.{key}[]'` makes lines of them")
            }
            [Fault::TooLong] => format!(": all are longer than 4 MiB; {LINES}"),
            ref faults if faults.iter().all(|fault| is_no_row(fault)) => format!("; {LINES}"),
            _ => ", for the reasons above".to_owned(),
        };
        Some(format!("no line made a record{why}"))
    }

    /// That there was nothing to read.
    pub fn empty(&self) -> Option<String> {
        if self.read > 0 || !self.broken.is_empty() {
            return None;
        }
        Some(match self.files.as_slice() {
            [path] => format!("no records were read: there is nothing in `{}`", show::path(path)),
            paths => format!("no records were read: there is nothing in any of the {} files", paths.len()),
        })
    }
}

/// Whether such a line is no JSON object at all.
fn is_no_row(fault: &Fault) -> bool {
    matches!(fault, Fault::NotJson { .. } | Fault::NotObject | Fault::NotUtf8)
}
