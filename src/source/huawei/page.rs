//! Reads a page: its total and its rows, each as it was served, on one line.
//!
//! Nothing here looks into a row.

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::api::Api;
use crate::record::mended;

/// A page of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// How many rows the window has, as the service says.
    pub total: Option<u64>,
    /// Each without a line feed.
    pub rows: Vec<String>,
}

/// An answer that is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPage {
    /// It says what went wrong instead: code and text.
    Complaint(Complaint),
    /// It cannot be read; how.
    Broken(String),
}

/// What an answer says went wrong. Not yet fit to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    pub code: String,
    pub text: String,
}

type Keys<'a> = HashMap<String, &'a RawValue>;

/// Reads the body of a 200.
pub(super) fn read(body: &str, api: &Api) -> Result<Page, NoPage> {
    let keys: Keys<'_> = serde_json::from_str(body).map_err(|error| {
        let first = body.trim_start().chars().next();
        NoPage::Broken(match first {
            None => "the answer is empty".to_owned(),
            Some('<') => "the answer is HTML, not JSON".to_owned(),
            Some(_) if error.is_eof() => "the answer is JSON cut short".to_owned(),
            Some(_) => format!("the answer is no page of JSON (line {})", error.line()),
        })
    })?;
    let complaint = complaint_of(&keys);
    if !complaint.code.is_empty() {
        return Err(NoPage::Complaint(complaint));
    }
    let given = |key: &str| keys.get(key).filter(|value| value.get() != "null");
    let rows = match given(api.rows) {
        Some(rows) => {
            let rows: Vec<&RawValue> = serde_json::from_str(rows.get())
                .map_err(|_| NoPage::Broken(format!("`{}` of the answer is no list", api.rows)))?;
            rows.into_iter().map(|row| one_line(&settled(row.get(), api.restless))).collect()
        }
        None if keys.contains_key(api.rows) || keys.contains_key(api.total) => Vec::new(),
        None => return Err(NoPage::Broken(format!("the answer has no `{}`", api.rows))),
    };
    // Numbers are strings in some answers.
    let total = given(api.total).and_then(|total| total.get().trim_matches('"').parse().ok());
    Ok(Page { total, rows })
}

/// A row without the keys that change though nothing happened.
fn settled<'r>(row: &'r str, restless: &[&str]) -> Cow<'r, str> {
    if !restless.iter().any(|key| row.contains(key)) {
        return Cow::Borrowed(row);
    }
    let whole = mended(row);
    let Ok(mut keys) = serde_json::from_str::<IndexMap<Cow<'_, str>, &RawValue>>(&whole) else {
        return Cow::Borrowed(row);
    };
    keys.retain(|key, _| !restless.contains(&&**key));
    serde_json::to_string(&keys).map_or(Cow::Borrowed(row), Cow::Owned)
}

/// A row on one line. Within a string of JSON a line feed is always escaped, so that those which
/// stand in it are white space.
fn one_line(row: &str) -> String {
    row.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect()
}

/// What the body of an error says; its beginning, where it is no JSON.
pub(super) fn complaint(body: &str) -> Complaint {
    match serde_json::from_str::<Keys<'_>>(body) {
        Ok(keys) => complaint_of(&keys),
        Err(_) if body.trim_start().starts_with('<') => Complaint::default(),
        Err(_) => Complaint { code: String::new(), text: body.to_owned() },
    }
}

/// Code and text in any of the spellings of the vendor's services, also one level down.
fn complaint_of(keys: &Keys<'_>) -> Complaint {
    let text = |names: &[&str]| {
        let found = names.iter().filter_map(|name| keys.get(*name)).map(|value| value.get());
        let spelt = |json: &str| match serde_json::from_str::<serde_json::Value>(json) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(serde_json::Value::Number(number)) => number.to_string(),
            Ok(_) | Err(_) => String::new(),
        };
        found.map(spelt).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let code = text(&["error_code", "errorCode", "code"]);
    let text = text(&["error_msg", "errorMsg", "message"]);
    if code.is_empty()
        && let Some(inner) = keys.get("error")
        && let Ok(inner) = serde_json::from_str::<Keys<'_>>(inner.get())
    {
        return complaint_of(&inner);
    }
    Complaint { code, text }
}

#[cfg(test)]
mod tests {
    use super::super::{app_logins, desktop_logins, sessions};
    use super::*;

    #[test]
    fn rows_keep_their_spelling_and_lose_their_line_feeds() {
        let body = "{\"count\": 2,\n \"items\": [ {\"id\" :\n\"a\\nb\",\"n\":1.50}\r\n, {} ], \"new\": 1}";
        let page = read(body, &app_logins::API).unwrap();
        assert_eq!(page.rows, ["{\"id\" : \"a\\nb\",\"n\":1.50}", "{}"]);
        assert_eq!(page.total, Some(2));
    }

    #[test]
    fn missing_rows_null_rows_and_totals_in_strings_are_read() {
        let read = |body: &str| read(body, &desktop_logins::API);
        assert_eq!(read(r#"{"total_count":0}"#), Ok(Page { total: Some(0), rows: vec![] }));
        assert_eq!(read(r#"{"total_count":"7","records":null}"#).unwrap().total, Some(7));
        assert_eq!(read(r#"{"records":[{}]}"#).unwrap().total, None);
    }

    #[test]
    fn what_changes_though_nothing_happened_is_left_out() {
        const ROW: &str = r#"{"id":"s\u00fc","status_continue_time":"90","session_state":"Active","n":1.50}"#;
        let body = format!("{{\"count\":1,\"items\":[{ROW}]}}");
        let row = |api: &Api| read(&body, api).unwrap().rows[0].clone();
        assert_eq!(row(&sessions::API), r#"{"id":"s\u00fc","session_state":"Active","n":1.50}"#);
        assert_eq!(row(&app_logins::API), ROW);
    }

    #[test]
    fn half_of_a_surrogate_pair_spoils_no_page() {
        const ROW: &str = r#"{"id":"s","login_user":"\ud800","\udfff":1,"status_continue_time":"90"}"#;
        let body = format!("{{\"count\":1,\"items\":[{ROW}]}}");
        let row = |api: &Api| read(&body, api).unwrap().rows[0].clone();
        assert_eq!(row(&app_logins::API), ROW);
        let settled = "{\"id\":\"s\",\"login_user\":\"\\ufffd\",\"\u{fffd}\":1}";
        assert_eq!(row(&sessions::API), settled);
    }

    #[test]
    fn what_is_no_page_says_what_it_is() {
        let fault = |body: &str| match read(body, &app_logins::API) {
            Err(NoPage::Broken(fault)) => fault,
            Err(NoPage::Complaint(said)) => format!("{} {}", said.code, said.text),
            Ok(page) => panic!("{page:?}"),
        };
        assert_eq!(fault("{}"), "the answer has no `items`");
        assert_eq!(fault(""), "the answer is empty");
        assert_eq!(fault("<html>"), "the answer is HTML, not JSON");
        assert_eq!(fault(r#"{"count":3,"items":[{"id":"#), "the answer is JSON cut short");
        assert_eq!(fault("[1]"), "the answer is no page of JSON (line 1)");
        assert_eq!(fault(r#"{"items":{}}"#), "`items` of the answer is no list");
        assert_eq!(fault(r#"{"error_code":"WKS.1","error_msg":"no","items":[]}"#), "WKS.1 no");
        assert_eq!(fault(r#"{"error":{"code":401,"message":"Unauthorized"}}"#), "401 Unauthorized");
        assert!(read(r#"{"count":0,"items":[],"error_code":""}"#, &app_logins::API).is_ok());
    }
}

/// The samples of the vendor's own pages, read as the service's answers are.
#[cfg(test)]
mod samples {
    use std::path::Path;

    use super::super::{app_launches, app_logins, desktop_logins};
    use super::*;
    use crate::record::scan::{Endpoint, Origin, Scanner};
    use crate::record::{Columns, Locator, Phase};

    /// The answer that the page `name` shows; none, said aloud, where the pages are not there.
    #[expect(clippy::disallowed_methods, reason = "a test finds its data by the environment")]
    fn sample(name: &str) -> Option<String> {
        let shared = std::env::var("LARUM_SHARED").unwrap_or_else(|_| "../shared".to_owned());
        let path = Path::new(&shared).join("reference/vendor-pages").join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            assert!(std::env::var("LARUM_CI").is_err(), "no page at `{}`; set LARUM_SHARED", path.display());
            eprintln!("SKIPPED: no page at `{}`; set LARUM_SHARED", path.display());
            return None;
        };
        let answers = &text[text.find("Example Responses").unwrap()..];
        let json = &answers[answers.find('{').unwrap()..];
        Some(json[..=json.find("\n}").unwrap() + 1].to_owned())
    }

    /// Each row's start, its end, and whether it is still open.
    fn rows(name: &str, api: &Api, endpoint: Endpoint) -> Option<Vec<(String, Option<String>, bool)>> {
        let page = read(&sample(name)?, api).unwrap();
        let scanner = Scanner::new(
            Columns::default().freeze(),
            std::sync::Arc::default(),
            Origin::huawei("cn-north-4", "p", endpoint),
        );
        let batch = scanner.scan(page.rows.join("\n"), Locator(0));
        assert!(batch.faults.is_empty(), "{:?}", batch.faults);
        let start = |row: usize| batch.record(row, Phase::Start).time().to_string();
        let end = |row: usize| batch.rows[row].end.map(|end| end.to_string());
        Some((0..batch.rows.len()).map(|row| (start(row), end(row), batch.rows[row].open)).collect())
    }

    fn row(start: &str, end: Option<&str>) -> (String, Option<String>, bool) {
        (format!("{start}.000Z"), end.map(|end| format!("{end}.000Z")), end.is_none())
    }

    #[test]
    fn user_logins_of_the_page_are_one_open_and_one_ended() {
        let Some(rows) = rows("000_c247444ceace3e95.txt", &app_logins::API, Endpoint::AppLogins) else {
            return;
        };
        let ended = row("2023-05-23T09:10:04", Some("2023-05-23T09:16:15"));
        assert_eq!(rows, [row("2023-06-05T06:37:47", None), ended]);
    }

    #[test]
    fn desktop_logins_of_the_page_are_two_of_a_total_of_four() {
        let name = "002_771e1f448f217a00.txt";
        let Some(rows) = rows(name, &desktop_logins::API, Endpoint::DesktopLogins) else { return };
        let first = row("2020-04-24T03:02:47", Some("2020-04-24T03:36:43"));
        assert_eq!(rows, [first, row("2020-04-23T08:58:02", Some("2020-04-23T22:45:00"))]);
        assert_eq!(read(&sample(name).unwrap(), &desktop_logins::API).unwrap().total, Some(4));
    }

    #[test]
    fn launches_of_the_page_have_no_end_yet() {
        let Some(rows) = rows("003_8a44e932dfd0ca61.txt", &app_launches::API, Endpoint::AppLaunches) else {
            return;
        };
        assert_eq!(rows, [row("2023-06-06T14:13:48", None), row("2023-06-06T14:02:00", None)]);
    }
}
