//! What can go wrong with the service, on request: each trouble stands in a bounded queue, for a
//! number of requests or until it is called off (`reference/huawei-api.md`, 15).
//!
//! Three sorts: what is said instead of an answer, how the answer travels, and how the rows in it
//! look. Of the first one is played at a time, in order; of the others all that stand.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::record::Millis;

use super::Answer;
use super::fault::Fault;
use super::world::List;

/// Most troubles that wait.
pub const MAX_TROUBLES: usize = 1_000;
/// Longest delay of an answer: past any client's patience, so that a play comes to an end.
pub const MAX_DELAY: Millis = Millis::mins(10);

/// One trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// What goes wrong.
    pub what: What,
    /// For how many requests yet; none: until it is called off.
    pub times: Option<u32>,
    /// For requests of one list only.
    pub list: Option<List>,
}

/// What goes wrong. In JSON `kind` names it, its values stand beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// 401 `APIGW.0307`; the token of the request is refused from then on, a new one is not.
    StaleToken {},
    /// 429 `APIGW.0308` with the limit in its text.
    Throttled {
        /// Requests allowed …
        #[serde(default = "five")]
        limit: u32,
        /// … in so many seconds.
        #[serde(default = "five")]
        time: u32,
        /// Seconds of a `Retry-After` header, where there is to be one.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// 403 with an `encoded_authorization_message`.
    Forbidden {},
    /// 500.
    Internal {},
    /// 502, HTML.
    BadGateway {},
    /// 503.
    Unavailable {},
    /// 504, as the gateway says when the service takes over 30 s.
    GatewayTimeout {},
    /// 200 with an error in its body.
    ErrorIn200 {},
    /// 200 with a page for people.
    HtmlIn200 {},
    /// The answer comes late.
    Slow {
        /// By how long.
        #[serde(with = "span")]
        by: Millis,
    },
    /// The connection breaks.
    Cut {
        /// Bytes that arrive, the head included.
        #[serde(default)]
        after: u64,
    },
    /// The body ends in the middle, though the head says that this is all.
    Truncated {},
    /// Virtual time goes on by so much after each page, so that rows are born between two pages.
    TimePasses {
        /// By how long.
        #[serde(with = "span")]
        by: Millis,
    },
    /// The newest rows are missing from the first page and its total, and there from the second on.
    Inserted {
        /// How many.
        rows: usize,
    },
    /// Rows come in another order.
    Order {
        /// Which.
        by: Order,
    },
    /// The total is off.
    Total {
        /// By so many rows.
        by: i64,
    },
    /// The list is null.
    ItemsNull {},
    /// There is no list.
    ItemsMissing {},
    /// Some rows stand there twice: an id twice, or, with `no_ids`, equal twins.
    Doubled {
        /// One row in so many.
        #[serde(default = "one")]
        one_in: u64,
    },
    /// Some rows bear the id of the row before them.
    SameIds {
        /// One row in so many.
        #[serde(default = "one")]
        one_in: u64,
    },
    /// Rows of desktops bear neither transaction nor desktop id.
    NoIds {},
    /// Some rows are born later than they should.
    LateBirths {
        /// By how much.
        #[serde(with = "span")]
        by: Millis,
        /// One row in so many.
        #[serde(default = "one")]
        one_in: u64,
    },
    /// Some sessions are resumed: their start moves, and their update time with it.
    StartMoves {
        /// How long after the first start.
        #[serde(with = "span")]
        by: Millis,
        /// One row in so many.
        #[serde(default = "one")]
        one_in: u64,
    },
    /// Times are spelt otherwise.
    Spelling {
        /// How.
        by: Spelling,
    },
    /// What an open row shows for its end.
    OpenEnd {
        /// What.
        by: OpenEnd,
    },
    /// Rows bear fields that nobody documented.
    UnknownFields {},
    /// Numbers stand where strings are promised.
    Numbers {},
    /// Null stands where an empty string was.
    Nulls {},
    /// Nothing stands where an empty string was.
    Absent {},
    /// Success is `WKS.00000000`, `success` instead of empty strings.
    SuccessWords {},
}

/// How rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As in all samples.
    #[default]
    NewestFirst,
    /// The other way round.
    OldestFirst,
    /// By chance, the same every time.
    Shuffled,
}

/// How times are spelt (`reference/huawei-api.md`, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// `2023-06-05T03:34:43Z`
    Seconds,
    /// `2022-03-07T10:40:43.858Z`
    Millis,
    /// `2023-07-07 03:04:06`
    Spaced,
    /// `2022-01-25T09:24:27`
    Zoneless,
    /// `2016-08-20T21:11Z`: seconds are lost.
    Minutes,
    /// `2023-06-05T03:34:43.120+0000`
    ShortOffset,
    /// `2022-10-24T17:24:56.000+00:00`
    LongOffset,
    /// `2024-05-07T07:16:27.791000000Z`
    Nanos,
    /// `2024-05-07T07:16:39.61Z`
    Hundredths,
    /// `2020-01-08T03:16:01:599000Z`
    ColonFraction,
    /// `2023-06-05T11:34:43+08:00`
    East,
    /// All of these that lose no second, row by row.
    Mixed,
}

/// What stands for "not ended".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenEnd {
    /// Nothing.
    #[default]
    Absent,
    /// `""`
    Empty,
    /// `null`
    Null,
    /// `0001-01-01 00:00:00`
    YearOne,
}

fn five() -> u32 {
    5
}

fn one() -> u64 {
    1
}

/// Lengths of time as people write them: `10m`.
mod span {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use crate::record::Millis;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub fn serialize<S: Serializer>(length: &Millis, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(length)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
        let text = String::deserialize(from)?;
        Millis::parse(&text).map_err(D::Error::custom)
    }
}

/// A sort of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Said instead of an answer.
    Instead,
    /// How the answer travels.
    Travel,
    /// How its rows look.
    Rows,
    /// The same, of a first page only.
    FirstPage,
}

impl What {
    fn sort(&self) -> Sort {
        match self {
            Self::StaleToken {}
            | Self::Throttled { .. }
            | Self::Forbidden {}
            | Self::Internal {}
            | Self::BadGateway {}
            | Self::Unavailable {}
            | Self::GatewayTimeout {}
            | Self::ErrorIn200 {}
            | Self::HtmlIn200 {} => Sort::Instead,
            Self::Slow { .. } | Self::Cut { .. } | Self::Truncated {} => Sort::Travel,
            Self::Inserted { .. } => Sort::FirstPage,
            Self::TimePasses { .. }
            | Self::Order { .. }
            | Self::Total { .. }
            | Self::ItemsNull {}
            | Self::ItemsMissing {}
            | Self::Doubled { .. }
            | Self::SameIds { .. }
            | Self::NoIds {}
            | Self::LateBirths { .. }
            | Self::StartMoves { .. }
            | Self::Spelling { .. }
            | Self::OpenEnd { .. }
            | Self::UnknownFields {}
            | Self::Numbers {}
            | Self::Nulls {}
            | Self::Absent {}
            | Self::SuccessWords {} => Sort::Rows,
        }
    }

    /// What is said instead of an answer.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`sort` tells those that are said instead")]
    fn said(&self, request_id: &str) -> Answer {
        let fault =
            |status, code, text: &str| Fault { status, code, text: text.to_owned() }.answer(request_id);
        match self {
            Self::StaleToken {} => Fault::stale_token().answer(request_id),
            Self::Throttled { limit, time, retry_after } => {
                let text = format!(
                    "The throttling threshold has been reached: policy user over ratelimit,limit:{limit},time:{time} second"
                );
                let mut answer = fault(429, "APIGW.0308", &text);
                answer.headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
                answer
            }
            Self::Forbidden {} => Answer::json(
                403,
                &json!({
                    "error_code": "WKS.00081102",
                    "error_msg": "User does not have permission to access this resource.",
                    "encoded_authorization_message": "SIMULATED-ENCODED-MESSAGE",
                }),
            ),
            Self::Unavailable {} => {
                let text = "The service is now unavailable to process the request.";
                fault(503, "WKS.00050902", text)
            }
            Self::BadGateway {} => {
                Answer::html(502, "<html><head><title>502 Bad Gateway</title></head></html>")
            }
            Self::GatewayTimeout {} => fault(504, "APIGW.0201", "Backend timeout."),
            Self::ErrorIn200 {} => fault(200, "WKS.00010109", "The requested operation failed."),
            Self::HtmlIn200 {} => Answer::html(200, "<html><body>Please sign in.</body></html>"),
            _ => fault(500, "WKS.00211401", "The requested operation failed. Please try again later."),
        }
    }
}

/// A trouble that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTrouble {
    /// It is not one.
    #[error("no trouble: {0}")]
    Unreadable(String),
    /// There are [`MAX_TROUBLES`] already.
    #[error("more than {MAX_TROUBLES} troubles wait; call them off with DELETE /simulate/trouble")]
    TooMany,
}

impl Trouble {
    /// Once, for any list.
    pub fn once(what: What) -> Self {
        Self { what, times: Some(1), list: None }
    }

    /// Until it is called off.
    pub fn always(what: What) -> Self {
        Self { what, times: None, list: None }
    }

    /// For requests of `list` only.
    #[must_use]
    pub fn of(self, list: List) -> Self {
        Self { list: Some(list), ..self }
    }

    /// Reads one: `{"kind": "throttled", "times": 3, "endpoint": "app_logins", "retry_after": 2}`.
    /// Without `times` it comes once; with `"always"` it stays.
    pub fn from_json(value: Value) -> Result<Self, BadTrouble> {
        let bad = |text: &str| BadTrouble::Unreadable(text.to_owned());
        let Value::Object(mut map) = value else { return Err(bad("it is no JSON object")) };
        let times = match map.shift_remove("times") {
            None => Some(1),
            Some(Value::String(word)) if word == "always" => None,
            Some(times) => {
                let number = times.as_u64().and_then(|times| u32::try_from(times).ok());
                Some(
                    number
                        .filter(|times| *times > 0)
                        .ok_or_else(|| bad("`times` is a number above 0 or \"always\""))?,
                )
            }
        };
        let list = match map.shift_remove("endpoint") {
            None => None,
            Some(name) => {
                let named = |list: &List| name.as_str() == Some(list.as_str());
                let known = List::ALL.into_iter().find(named);
                Some(known.ok_or_else(|| bad("`endpoint` is desktop_logins, app_logins or app_launches"))?)
            }
        };
        let what = serde_json::from_value(Value::Object(map));
        Ok(Self { what: what.map_err(|error| bad(&error.to_string()))?, times, list })
    }

    /// The same the other way round.
    pub fn to_json(&self) -> Value {
        let mut map = match serde_json::to_value(&self.what) {
            Ok(Value::Object(map)) => map,
            Ok(_) | Err(_) => Map::new(),
        };
        map.insert("times".to_owned(), self.times.map_or_else(|| "always".into(), Value::from));
        if let Some(list) = self.list {
            map.insert("endpoint".to_owned(), list.as_str().into());
        }
        Value::Object(map)
    }
}

/// `throttled`, or the JSON of one with its values.
impl std::str::FromStr for Trouble {
    type Err = BadTrouble;

    fn from_str(text: &str) -> Result<Self, BadTrouble> {
        if text.trim_start().starts_with('{') {
            let value = serde_json::from_str(text);
            return Self::from_json(value.map_err(|error| BadTrouble::Unreadable(error.to_string()))?);
        }
        Self::from_json(json!({"kind": text}))
    }
}

/// The troubles that wait, in order.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Vec<Trouble>);

impl Troubles {
    /// Adds one behind the others.
    pub fn add(&mut self, trouble: Trouble) -> Result<(), BadTrouble> {
        if self.0.len() >= MAX_TROUBLES {
            return Err(BadTrouble::TooMany);
        }
        self.0.push(trouble);
        Ok(())
    }

    /// Calls all off.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that wait.
    pub fn waiting(&self) -> &[Trouble] {
        &self.0
    }

    /// What is said instead of an answer to a request of `list`, if anything; and whether the token
    /// of the request is stale from now on.
    pub fn instead(&mut self, list: List, request_id: &str) -> Option<(Answer, bool)> {
        let what = self.take(list, Sort::Instead, 1).pop()?;
        Some((what.said(request_id), what == What::StaleToken {}))
    }

    /// How the rows of a page look.
    pub fn rows(&mut self, list: List, first_page: bool) -> Vec<What> {
        let mut taken = self.take(list, Sort::Rows, usize::MAX);
        if first_page {
            taken.extend(self.take(list, Sort::FirstPage, usize::MAX));
        }
        taken
    }

    /// How `answer` travels.
    pub fn travel(&mut self, list: List, answer: &mut Answer) {
        for what in self.take(list, Sort::Travel, usize::MAX) {
            if let What::Slow { by } = what {
                answer.delay = by.min(MAX_DELAY);
            }
            if let What::Cut { after } = what {
                answer.cut_after = Some(after);
            }
            if let What::Truncated {} = what {
                answer.body.truncate(answer.body.len() / 2);
            }
        }
    }

    /// The first `most` of a sort; what has been played often enough goes.
    fn take(&mut self, list: List, sort: Sort, most: usize) -> Vec<What> {
        let mut taken = Vec::new();
        self.0.retain_mut(|trouble| {
            let meant = trouble.list.is_none_or(|meant| meant == list) && trouble.what.sort() == sort;
            if !meant || taken.len() >= most {
                return true;
            }
            taken.push(trouble.what.clone());
            trouble.times = trouble.times.map(|times| times - 1);
            trouble.times != Some(0)
        });
        taken
    }
}
