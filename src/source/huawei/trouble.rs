//! What an answer means: a page, or one of the few troubles that a poller treats differently
//! (`reference/huawei-api.md`, 9).
//!
//! By status first, then by the gateway's code, then by its text. Whatever the service said is
//! redacted before anybody sees it: it may echo the request with every signed header. Says what to
//! make of one answer; when to ask again is decided elsewhere.

use secrecy::{ExposeSecret, SecretString};

use super::api::Api;
use super::page::{self, Complaint, NoPage, Page};
use crate::record::{Millis, Timestamp};

/// Characters of the service's words that are shown.
const MAX_SHOWN: usize = 512;
/// How long a locked key is left alone: the lock's five minutes, and one for its clock.
const LOCKED: Millis = Millis::mins(6);
/// When a generic refusal is tried again.
pub(super) const REFUSED: Millis = Millis::mins(30);
/// How long the service is left alone when it throttles and does not say how long.
const THROTTLED: Millis = Millis::secs(5);
const FOR_GOOD: &str = "nothing more is asked until they change";
const NEW_TOKEN: &str =
    "the token has expired or is of another region: put a new one at the place that `token` names";
/// The longest wait that an answer may ask for.
const MAX_ASKED: Millis = Millis::hours(1);

/// An answer, read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    /// What the service's clock said.
    pub date: Option<Timestamp>,
    pub retry_after: Option<Millis>,
    pub body: String,
}

/// A limit that the service told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub requests: u32,
    pub within: Millis,
}

/// Why there is no page. Every text is redacted and says the way out where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bad {
    /// Worth another try by itself, no sooner than the service asked.
    Passing { text: String, wait: Option<Millis> },
    /// Too many requests.
    Throttled { text: String, wait: Millis, limit: Option<Limit> },
    /// What was lent has ended; renewed, it may be good.
    Ended { text: String },
    /// The credentials are no good: not one more request, of any endpoint.
    Credentials { text: String },
    /// The key is locked for everybody: nothing before `wait` is over.
    Locked { text: String, wait: Millis },
    /// The moment of signing is too far from the service's clock, or temporary keys have expired.
    Clock { text: String },
    /// This endpoint is refused; others need not be.
    Refused { text: String },
}

/// Takes out of the service's words what must not be shown.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    secrets: Vec<SecretString>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(***)")
    }
}

impl Redactor {
    pub fn new(secrets: Vec<SecretString>) -> Self {
        Self { secrets }
    }

    /// Text that is fit to be shown: no secret, no echoed request, no control character, 512
    /// characters at most.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty())
        {
            text = text.replace(secret, "***");
        }
        // The echo of a request begins with this word, whatever follows.
        let echo = text.to_ascii_lowercase().find("canonical");
        if let Some(at) = echo {
            text.truncate(at);
            text.push_str("… (the echo of the request is left out)");
        }
        let plain: String = text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
        plain.trim().chars().take(MAX_SHOWN).collect()
    }
}

/// False for control characters and those that turn the direction of text.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What an answer of `api` at `host` means.
pub(super) fn judge(answer: &Answer, api: &Api, host: &str, redactor: &Redactor) -> Result<Page, Bad> {
    if answer.status != 200 {
        return Err(refusal(answer, &page::complaint(&answer.body), api.action, host, redactor));
    }
    match page::read(&answer.body, api) {
        Ok(page) => Ok(page),
        Err(NoPage::Broken(text)) => {
            Err(Bad::Passing { text: redactor.clean(&text), wait: answer.retry_after })
        }
        Err(NoPage::Complaint(complaint)) => Err(refusal(answer, &complaint, api.action, host, redactor)),
    }
}

/// Whether an answer that is no page is one that was hoped for; `action` is what it takes to get it.
pub(super) fn accept(answer: &Answer, action: &str, host: &str, redactor: &Redactor) -> Result<(), Bad> {
    let complaint = page::complaint(&answer.body);
    if answer.status == 200 && complaint.code.is_empty() {
        return Ok(());
    }
    Err(refusal(answer, &complaint, action, host, redactor))
}

fn refusal(answer: &Answer, complaint: &Complaint, action: &str, host: &str, redactor: &Redactor) -> Bad {
    let said = said(answer.status, complaint, redactor);
    let code = complaint.code.rsplit('.').next().unwrap_or_default();
    let from_gateway = complaint.code.starts_with("API");
    match (answer.status, code) {
        (429, _) | (_, "0308") if answer.status == 429 || from_gateway => throttled(answer, complaint, said),
        (401, _) => unauthorized(complaint, said, from_gateway),
        (403, _) => Bad::Refused {
            text: format!(
                "{said}; allow the IAM action `{action}` to the user of these credentials (a read-only policy \
                 does not hold it)"
            ),
        },
        (404, _) => Bad::Refused {
            text: format!(
                "{said}; `{host}` has no such endpoint: check `region` and `project_id`, or name the host in \
                 `base_url`"
            ),
        },
        (300..=399, _) => Bad::Passing {
            text: format!("{said}; a redirect is not followed: name the right host in `base_url`"),
            wait: answer.retry_after,
        },
        _ => Bad::Passing { text: said, wait: answer.retry_after },
    }
}

/// What an answer that is no page says, and who says it; fit to be shown.
pub(super) fn said_by(host: &str, answer: &Answer, redactor: &Redactor) -> String {
    let said = said(answer.status, &page::complaint(&answer.body), redactor);
    said.replacen("the service", host, 1)
}

/// Status, code and text of a complaint, fit to be shown.
fn said(status: u16, complaint: &Complaint, redactor: &Redactor) -> String {
    let words = [&complaint.code, &complaint.text];
    let words: Vec<&str> =
        words.into_iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    let words = redactor.clean(&words.join(" "));
    if words.is_empty() {
        format!("the service answered {status}")
    } else {
        format!("the service answered {status}: {words}")
    }
}

fn unauthorized(complaint: &Complaint, said: String, from_gateway: bool) -> Bad {
    let text = complaint.text.to_ascii_lowercase();
    let has = |words: &str| text.contains(words);
    if has("reach the limit") {
        let text = format!(
            "{said}; the access key is locked for everybody after more than five bad signatures: nothing is \
             asked for {LOCKED}"
        );
        return Bad::Locked { text, wait: LOCKED };
    }
    if has("signature expired") {
        return Bad::Clock { text: said };
    }
    if complaint.code.ends_with(".0307") || has("token expires") || has("decrypt token") {
        return Bad::Ended { text: said };
    }
    let way_out = if has("token") {
        NEW_TOKEN
    } else if has("signature fail") {
        "the secret key does not belong to the access key: check `credentials`"
    } else if has("secretkey") || has("ak not exist") {
        "the access key does not exist or is disabled: check `credentials`"
    } else if !from_gateway && complaint.code.starts_with("WKS.") {
        // The service's own word, behind the gateway that took the credentials.
        return Bad::Refused { text: format!("{said}; check what this user may do in the project") };
    } else {
        "check `credentials`"
    };
    Bad::Credentials { text: format!("{said}; {way_out}; {FOR_GOOD}") }
}

/// What is said where a token has ended and there is no other.
pub(super) fn for_good(said: &str) -> String {
    format!("{said}; {NEW_TOKEN}; {FOR_GOOD}")
}

fn throttled(answer: &Answer, complaint: &Complaint, text: String) -> Bad {
    let limit = limit(&complaint.text);
    let window = limit.map_or(THROTTLED, |limit| limit.within);
    let asked = answer.retry_after.unwrap_or(Millis::ZERO);
    let wait = window.max(asked).min(MAX_ASKED);
    Bad::Throttled { text, wait, limit }
}

/// The limit in `policy user over ratelimit,limit:5,time:5 second`.
fn limit(text: &str) -> Option<Limit> {
    let number = |key: &str| {
        let rest = text.split_once(key)?.1.trim_start();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..digits)?.parse::<u32>().ok().filter(|number| *number > 0)?;
        Some((number, rest.get(digits..)?.trim_start()))
    };
    let (requests, _) = number("limit:")?;
    let (count, unit) = number("time:")?;
    let unit = match unit.get(..3)? {
        "sec" => Millis::secs(1),
        "min" => Millis::mins(1),
        "hou" => Millis::hours(1),
        "day" => Millis::days(1),
        _ => return None,
    };
    Some(Limit { requests, within: Millis(unit.0.saturating_mul(i64::from(count))) })
}

/// What `Retry-After` says, in seconds or as a date.
pub(super) fn retry_after(value: &str, date: Option<Timestamp>) -> Option<Millis> {
    let value = value.trim();
    let wait = match value.parse::<u32>() {
        Ok(seconds) => Millis::secs(i64::from(seconds)),
        Err(_) => http_date(value)? - date?,
    };
    Some(wait.max(Millis::ZERO).min(MAX_ASKED))
}

/// What a `Date` header says.
pub(super) fn http_date(value: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(value.trim()).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::super::app_logins;
    use super::*;

    fn judged(status: u16, body: &str) -> Bad {
        let answer = Answer { status, body: body.to_owned(), ..Answer::default() };
        let redactor = Redactor::new(vec!["the-session-token".into()]);
        judge(&answer, &app_logins::API, "workspace.example", &redactor).unwrap_err()
    }

    fn gateway(status: u16, code: &str, text: &str) -> Bad {
        judged(status, &format!(r#"{{"error_msg":"{text}","error_code":"{code}","request_id":"r"}}"#))
    }

    fn auth(text: &str) -> Bad {
        gateway(401, "APIGW.0301", &format!("Incorrect IAM authentication information: {text}"))
    }

    #[test]
    fn every_kind_of_401_is_told_from_the_others() {
        let stops = |bad: Bad, way_out: &str| {
            assert!(matches!(&bad, Bad::Credentials { text } if text.contains(way_out)), "{bad:?}");
        };
        stops(auth("verify aksk signature fail"), "secret key does not belong");
        stops(auth("Get secretKey failed"), "does not exist");
        stops(auth("ak not exist"), "does not exist");
        stops(auth("x-auth-token not found"), "token has expired");
        for ended in [
            auth("decrypt token fail"),
            auth("token expires, expires_at: 2026-11-20T18:00:00Z"),
            gateway(401, "APIG.0307", "The token must be updated"),
        ] {
            assert!(matches!(ended, Bad::Ended { .. }), "{ended:?}");
        }
        stops(auth("Unauthorized"), "check `credentials`");
        stops(
            judged(401, r#"{"error":{"code":401,"message":"no","title":"Unauthorized"}}"#),
            "`credentials`",
        );
        stops(judged(401, ""), "check `credentials`");
        let locked = auth("AK access failed to reach the limit,forbidden");
        assert!(matches!(&locked, Bad::Locked { wait, .. } if *wait >= Millis::mins(5)), "{locked:?}");
        assert!(matches!(auth("calc ak sk signature fail:signature expired"), Bad::Clock { .. }));
        assert!(matches!(gateway(401, "WKS.00211302", "User authorization error."), Bad::Refused { .. }));
    }

    #[test]
    fn a_403_names_the_missing_action_and_a_404_the_host() {
        let Bad::Refused { text } = gateway(403, "WKS.00081102", "User does not have permission") else {
            panic!()
        };
        assert_eq!(
            text,
            "the service answered 403: WKS.00081102 User does not have permission; allow the IAM action \
             `workspace:session:listUserConnection` to the user of these credentials (a read-only policy \
             does not hold it)"
        );
        let Bad::Refused { text } = gateway(404, "APIGW.0101", "API does not exist") else { panic!() };
        assert!(text.contains("`workspace.example`") && text.contains("`base_url`"), "{text}");
    }

    #[test]
    fn a_limit_is_read_from_the_text_of_a_429() {
        let said =
            "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:5 second";
        let Bad::Throttled { wait, limit, .. } = gateway(429, "APIGW.0308", said) else { panic!() };
        assert_eq!((wait, limit), (Millis::secs(5), Some(Limit { requests: 5, within: Millis::secs(5) })));
        let said = "policy ip over ratelimit,limit:60,time:1 minute";
        let Bad::Throttled { wait, limit, .. } = gateway(200, "APIC.0308", said) else { panic!() };
        assert_eq!((wait, limit), (Millis::mins(1), Some(Limit { requests: 60, within: Millis::mins(1) })));
        for odd in ["slow down", "limit:0,time:5 second", "limit:5,time:5 aeons", "limit:,time:"] {
            let Bad::Throttled { wait, limit, .. } = gateway(429, "APIGW.0308", odd) else { panic!() };
            assert_eq!((wait, limit), (THROTTLED, None), "{odd}");
        }
    }

    #[test]
    fn retry_after_counts_where_it_is_longer() {
        let mut answer = Answer { status: 429, retry_after: Some(Millis::secs(30)), ..Answer::default() };
        let wait = |answer: &Answer| match judge(answer, &app_logins::API, "", &Redactor::default()) {
            Err(Bad::Throttled { wait, .. }) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(&answer), Millis::secs(30));
        answer.retry_after = Some(Millis::secs(1));
        assert_eq!(wait(&answer), THROTTLED);
        let date = http_date("Fri, 20 Nov 2026 18:30:00 GMT");
        assert_eq!(retry_after("Fri, 20 Nov 2026 18:30:09 GMT", date), Some(Millis::secs(9)));
        assert_eq!(retry_after("7", None), Some(Millis::secs(7)));
        assert_eq!(retry_after("99999999", None), Some(MAX_ASKED));
        assert_eq!(retry_after("soon", date), None);
    }

    #[test]
    fn an_echoed_request_and_a_session_token_are_never_shown() {
        let echo =
            "verify aksk signature fail, canonicalRequest:POST|/v1/x/|x-security-token:the-session-token|";
        let Bad::Credentials { text } = auth(echo) else { panic!() };
        assert!(!text.contains("the-session-token") && !text.contains("x-security-token"), "{text}");
        let Bad::Passing { text, .. } = judged(500, "so the-session-token said\u{1b}[31m\u{202e}") else {
            panic!()
        };
        assert_eq!(text, "the service answered 500: so *** said [31m");
        let Bad::Passing { text, .. } = judged(500, &"x".repeat(9_000)) else { panic!() };
        assert_eq!(text.chars().count(), "the service answered 500: ".len() + MAX_SHOWN);
    }

    #[test]
    fn all_else_is_worth_another_try() {
        for (status, body) in [
            (200, r#"{"error_code":"WKS.00211401","error_msg":"failed"}"#),
            (200, "<html>"),
            (200, r#"{"items":["#),
            (301, ""),
            (400, r#"{"error_code":"WKS.00211102"}"#),
            (500, ""),
            (502, "<html>Bad Gateway</html>"),
            (503, ""),
            (504, ""),
        ] {
            assert!(matches!(judged(status, body), Bad::Passing { .. }), "{status} {body}");
        }
        let Bad::Passing { text, .. } = judged(502, "<html>Bad Gateway</html>") else { panic!() };
        assert_eq!(text, "the service answered 502");
    }
}
