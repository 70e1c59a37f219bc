//! A message as a letter: headers by which programs sort and thread, text, and HTML beside it.
//!
//! Headers hold what is ours, but for the subject, in which nothing is a control character and which
//! the library encodes. HTML is written by the encoder of `shown`. There is no link and no picture.

use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::deliver::render::{self, Fact};
use crate::deliver::shown::{Html, Shown, header};
use crate::deliver::{Content, Message};

/// UTF-16 units of a subject.
const MAX_SUBJECT: usize = 200;

/// The letter as it goes over the wire. The identities in it are those of the delivery and the alert,
/// the same at every try.
pub fn write(message: &Message, from: &Mailbox, to: &[Mailbox]) -> Result<Vec<u8>, String> {
    let domain = from.email.domain();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(message.now.0.max(0).unsigned_abs());
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .date(now)
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .subject(header(&render::subject(message).cut(MAX_SUBJECT)));
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    for (name, value) in headers(message, domain) {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    let letter = if message.plain {
        builder.singlepart(SinglePart::plain(format!("{}\n", render::one_line(message).literal())))
    } else {
        builder.multipart(MultiPart::alternative_plain_html(text(message), html(message)))
    };
    letter.map(|letter| letter.formatted()).map_err(|error| format!("no letter can be made of it: {error}"))
}

/// Headers for programs. All of it is ours.
fn headers(message: &Message, domain: &str) -> Vec<(&'static str, String)> {
    let mut headers =
        vec![("Auto-Submitted", "auto-generated".to_owned()), ("X-Auto-Response-Suppress", "All".to_owned())];
    match &message.content {
        Content::Alert(alert) => {
            // What became of an alert answers the letter that told of it first. Where a digest told of it,
            // nobody has that letter, and those that answer it stand together all the same.
            if let Some(thread) = &message.thread {
                let root = format!("<{}@{domain}>", thread.first);
                headers.push(("References", root.clone()));
                headers.push(("In-Reply-To", root));
            }
            headers.push(("List-Id", format!("<{}.larum.{domain}>", alert.rule)));
            headers.push(("X-Larum-Rule", alert.rule.to_string()));
            headers.push(("X-Larum-Level", alert.level.to_string()));
            headers.push(("X-Larum-Alert", alert.id.to_string()));
        }
        Content::Digest(_) => headers.push(("List-Id", format!("<digest.larum.{domain}>"))),
        Content::Probe => headers.push(("List-Id", format!("<probe.larum.{domain}>"))),
        Content::Watchdog(_) => headers.push(("List-Id", format!("<watchdog.larum.{domain}>"))),
    }
    headers
}

fn text(message: &Message) -> String {
    let told = render::telling(message);
    let mut lines = vec![told.headline.literal().to_owned()];
    lines.extend(told.lead.iter().map(|lead| lead.literal().to_owned()));
    for facts in [&told.facts, &told.closing] {
        lines.push(String::new());
        lines.extend(facts.iter().map(|fact| format!("{}: {}", fact.name.literal(), fact.value.literal())));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn html(message: &Message) -> String {
    let told = render::telling(message);
    let mut html = Html::default();
    html.markup("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head><body>\n");
    paragraph(&mut html, "<h3>", &told.headline, "</h3>\n");
    if let Some(lead) = &told.lead {
        paragraph(&mut html, "<p>", lead, "</p>\n");
    }
    html.markup("<table cellpadding=\"3\">\n");
    for Fact { name, value, .. } in told.facts.iter().chain(&told.closing) {
        html.markup("<tr>");
        paragraph(&mut html, "<th align=\"left\" valign=\"top\">", name, "</th>");
        paragraph(&mut html, "<td>", value, "</td>");
        html.markup("</tr>\n");
    }
    html.markup("</table>\n</body></html>\n");
    html.finish()
}

fn paragraph(html: &mut Html, open: &'static str, text: &Shown, close: &'static str) {
    html.markup(open);
    html.text(text);
    html.markup(close);
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;
    use crate::alert::State;
    use crate::deliver::samples;

    fn letter(message: &Message) -> String {
        let to: Vec<Mailbox> =
            ["soc@example.com", "Ana <ana@example.com>"].map(|to| to.parse().unwrap()).into();
        String::from_utf8(write(message, &"Larum <larum@example.org>".parse().unwrap(), &to).unwrap())
            .unwrap()
    }

    #[test]
    fn a_letter_says_it_in_text_and_in_html() {
        let message = samples::changed(|alert| {
            alert.revision = 2;
            alert.state = State::Resolved;
            alert.title = "<b>ana</b>".to_owned();
        });
        insta::assert_snapshot!(text(&message), @r"
        [high, resolved] <b>ana</b>
        what ends it was seen: 0 more since it fired, 5 in all; the level is high, last seen 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)

        rule: failure-burst
        user: ana
        count: 5
        asked: at_least 5
        found: count 5 when it fired
        at: 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)
        seen: 2026-01-05 09:00:00 to 09:08:00 UTC (17:00:00 to 17:08:00 Asia/Shanghai)
        window: 2026-01-05 08:58:00 to 09:08:00 UTC (16:58:00 to 17:08:00 Asia/Shanghai)
        public_ip: 192.0.2.9, 198.51.100.4
        level: high, as the rule says
        attack: T1110.001
        runbook: https://wiki.example/burst

        alert: 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        see more: larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        ");
        insta::assert_snapshot!(html(&message), @r#"
        <!DOCTYPE html>
        <html><head><meta charset="utf-8"></head><body>
        <h3>[high, resolved] &lt;b&gt;ana&lt;/b&gt;</h3>
        <p>what ends it was seen: 0 more since it fired, 5 in all; the level is high, last seen 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)</p>
        <table cellpadding="3">
        <tr><th align="left" valign="top">rule</th><td>failure-burst</td></tr>
        <tr><th align="left" valign="top">user</th><td>ana</td></tr>
        <tr><th align="left" valign="top">count</th><td>5</td></tr>
        <tr><th align="left" valign="top">asked</th><td>at_least 5</td></tr>
        <tr><th align="left" valign="top">found</th><td>count 5 when it fired</td></tr>
        <tr><th align="left" valign="top">at</th><td>2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)</td></tr>
        <tr><th align="left" valign="top">seen</th><td>2026-01-05 09:00:00 to 09:08:00 UTC (17:00:00 to 17:08:00 Asia/Shanghai)</td></tr>
        <tr><th align="left" valign="top">window</th><td>2026-01-05 08:58:00 to 09:08:00 UTC (16:58:00 to 17:08:00 Asia/Shanghai)</td></tr>
        <tr><th align="left" valign="top">public_ip</th><td>192.0.2.9, 198.51.100.4</td></tr>
        <tr><th align="left" valign="top">level</th><td>high, as the rule says</td></tr>
        <tr><th align="left" valign="top">attack</th><td>T1110.001</td></tr>
        <tr><th align="left" valign="top">runbook</th><td>https://wiki.example/burst</td></tr>
        <tr><th align="left" valign="top">alert</th><td>1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a</td></tr>
        <tr><th align="left" valign="top">see more</th><td>larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a</td></tr>
        </table>
        </body></html>
        "#);
    }

    #[test]
    fn programs_can_thread_sort_and_drop_repeats() {
        let letter = letter(&samples::alert());
        let (headers, _) = letter.split_once("\r\n\r\n").unwrap();
        let shown: Vec<&str> = headers.lines().filter(|line| !line.contains("boundary")).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        From: Larum <larum@example.org>
        Date: Mon, 05 Jan 2026 09:09:30 +0000
        Message-ID: <07070707070707070707070707070707@example.org>
        Subject: [high] ana: 5 failed sign-ins in 10 minutes
        To: soc@example.com, Ana <ana@example.com>
        Auto-Submitted: auto-generated
        X-Auto-Response-Suppress: All
        List-Id: <failure-burst.larum.example.org>
        X-Larum-Rule: failure-burst
        X-Larum-Level: high
        X-Larum-Alert: 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        MIME-Version: 1.0
        Content-Type: multipart/alternative;
        ");
    }

    #[test]
    fn what_became_of_an_alert_answers_the_letter_that_told_of_it_first() {
        use crate::deliver::Thread;
        use crate::route::DeliveryId;

        let first = letter(&samples::alert());
        let thread = Some(Thread { first: samples::alert().id, mark: None });
        let later =
            Message { id: DeliveryId([8; 16]), thread, ..samples::changed(|alert| alert.revision = 2) };
        let later = letter(&later);
        let parse = |letter: &str| {
            let parsed = MessageParser::default().parse(letter.as_bytes()).unwrap().into_owned();
            let answers = |value: &mail_parser::HeaderValue<'_>| value.as_text().map(str::to_owned);
            (
                parsed.message_id().map(str::to_owned),
                answers(parsed.in_reply_to()),
                answers(parsed.references()),
            )
        };
        let (id, no_root, _) = parse(&first);
        let (other, root, references) = parse(&later);
        assert_eq!((no_root, &root, &references), (None, &id, &id));
        assert_ne!(id, other);
    }

    #[test]
    fn the_last_letter_says_in_its_subject_that_it_is_over() {
        let told = |state| {
            let letter = letter(&samples::changed(|alert| (alert.revision, alert.state) = (2, state)));
            let parsed = MessageParser::default().parse(letter.as_bytes()).unwrap();
            (parsed.subject().unwrap().to_owned(), parsed.thread_name().unwrap().to_owned())
        };
        // What a mail program threads by leaves the word in brackets aside.
        let thread = "ana: 5 failed sign-ins in 10 minutes".to_owned();
        for (state, word) in [
            (State::Open, "[high]"),
            (State::Updated, "[high, still going on]"),
            (State::Closed, "[high, over]"),
            (State::Resolved, "[high, resolved]"),
        ] {
            assert_eq!(told(state), (format!("{word} {thread}"), thread.clone()));
        }
    }

    #[test]
    fn the_minimal_form_is_plain_text_alone() {
        let mut message = samples::alert();
        message.plain = true;
        let letter = letter(&message);
        let parsed = MessageParser::default().parse(letter.as_bytes()).unwrap();
        assert_eq!(parsed.html_body_count() + parsed.text_body_count(), 2, "one part, shown as either");
        assert_eq!(parsed.body_text(0).unwrap().trim_end(), render::one_line(&message).literal());
    }

    #[test]
    fn no_title_makes_a_header() {
        let message =
            samples::changed(|alert| alert.title = "x\r\nBcc: evil@example.net\r\n\r\n<script>".to_owned());
        let letter = letter(&message);
        let parsed = MessageParser::default().parse(letter.as_bytes()).unwrap();
        assert!(parsed.bcc().is_none());
        let subject = parsed.subject().unwrap();
        assert_eq!(subject, r"[high] x\u{d}\u{a}Bcc: evil@example.net\u{d}\u{a}\u{d}\u{a}<script>");
    }
}
