//! What there is that can go wrong, by name (`reference/huawei-api.md`, 15).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::record::Millis;

use super::Answer;
use super::fault::Fault;

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
    #[serde(rename = "error_in_200")]
    ErrorIn200 {},
    /// 200 with a page for people.
    #[serde(rename = "html_in_200")]
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
    /// The newest rows, if they were born within the last minute, are missing from the first page and
    /// its total, and there from the second on.
    Inserted {
        /// How many.
        rows: usize,
    },
    /// An export takes longer: its task is still being made at so many more looks.
    ExportLingers {
        /// How many.
        looks: u32,
    },
    /// An export fails.
    ExportFails {},
    /// The file of an export is gone as soon as it is there.
    ExportExpires {},
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
pub(super) enum Sort {
    /// Said instead of an answer.
    Instead,
    /// How the answer travels.
    Travel,
    /// How its rows look.
    Rows,
    /// The same, of a first page only.
    FirstPage,
    /// What becomes of an export.
    Export,
}

impl What {
    pub(super) fn sort(&self) -> Sort {
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
            Self::ExportLingers { .. } | Self::ExportFails {} | Self::ExportExpires {} => Sort::Export,
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
    pub(super) fn said(&self, request_id: &str) -> Answer {
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
