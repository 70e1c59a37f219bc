//! Text as people may see it: every string of a record comes through here before a sink has it.
//!
//! [`Shown`] is text on one line in which every character that hides, reorders or commands is
//! spelt `\u{..}`, so that nothing is lost, and that is cut visibly. It can be made of our own words
//! and of raw strings told apart by type. It is not markup: a sink takes it where its format takes
//! text literally, or through an encoder of this file, and there is no other way to its characters.

use std::fmt::{self, Write as _};

use serde_json::Value as Json;

use crate::alert::AlertId;
use crate::record::{Level, Millis, RuleId, Timestamp};
use crate::route::DeliveryId;
use crate::rule::problem::deceives;

/// Characters of one raw string that are shown.
pub const MAX_SHOWN: usize = 512;

/// Characters that the mark of a cut may need, itself included.
const MARK: usize = 40;

/// One line of text in which nothing deceives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(String);

/// What is ours and no one else's: it can be put in as it is.
pub trait Ours: fmt::Display {}

impl Ours for &'static str {}
impl Ours for u64 {}
impl Ours for u32 {}
impl Ours for usize {}
impl Ours for i64 {}
impl Ours for Level {}
impl Ours for RuleId {}
impl Ours for AlertId {}
impl Ours for DeliveryId {}
impl Ours for Timestamp {}
impl Ours for Millis {}
impl Ours for chrono_tz::Tz {}
impl Ours for chrono::NaiveDateTime {}
impl Ours for chrono::NaiveTime {}

impl Shown {
    /// A raw string.
    pub fn raw(text: &str) -> Self {
        Self::default().and_raw(text)
    }

    /// Words of ours.
    pub fn ours(words: impl Ours) -> Self {
        Self::default().and(words)
    }

    /// A value of JSON; a list as its entries, as many as fit.
    pub fn value(value: &Json) -> Self {
        match value {
            Json::Null => Self::ours("none"),
            Json::Bool(true) => Self::ours("yes"),
            Json::Bool(false) => Self::ours("no"),
            Json::String(text) => Self::raw(text),
            Json::Array(items) => Self::list(items.iter().map(Self::value)),
            Json::Number(number) => Self::raw(&number.to_string()),
            // As text of JSON its strings would be escaped before they are shown.
            Json::Object(map) => Self::list(map.iter().map(|(name, value)| {
                let name = Self::raw(name).and(" ");
                name.and_shown(&Self::value(value))
            })),
        }
    }

    /// Entries with commas between them, and how many did not fit.
    pub fn list(items: impl ExactSizeIterator<Item = Self>) -> Self {
        let total = items.len();
        let mut list = Self::default();
        for (count, item) in items.enumerate() {
            if count == MAX_ITEMS || count > 0 && list.length() + item.length() > 2 * MAX_SHOWN {
                return list.and(" and ").and(total - count).and(" more");
            }
            if count > 0 {
                list = list.and(", ");
            }
            list = list.and_shown(&item);
        }
        list
    }

    /// With words of ours at its end.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a borrowed text may be anybody's; a static one is ours"
    )]
    pub fn and(mut self, words: impl Ours) -> Self {
        let _ = write!(self.0, "{words}");
        self
    }

    /// With another one at its end.
    #[must_use]
    pub fn and_shown(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// With a raw string at its end: at most [`MAX_SHOWN`] characters of it, then how many are missing.
    #[must_use]
    pub fn and_raw(mut self, text: &str) -> Self {
        // Escapes are longer than what they stand for; the common string needs neither them nor a cut.
        let mut escaped = String::new();
        let (mut length, mut fits) = (0, None);
        let mut rest = text.char_indices().peekable();
        while let Some((at, c)) = rest.next() {
            let from = escaped.len();
            push_escaped(&mut escaped, c, &text[at + c.len_utf8()..]);
            length += escaped[from..].chars().count();
            if length > MAX_SHOWN {
                break;
            }
            if length <= MAX_SHOWN - MARK {
                fits = Some((escaped.len(), rest.peek().map_or(text.len(), |(next, _)| *next)));
            }
        }
        if length <= MAX_SHOWN {
            self.0.push_str(&escaped);
            return self;
        }
        let (kept, taken) = fits.unwrap_or_default();
        self.0.push_str(&escaped[..kept]);
        let _ = write!(self.0, "… (+{} characters)", text[taken..].chars().count());
        self
    }

    /// At most `most` UTF-16 units of it, with a mark where it is cut; never a part of an escape.
    #[must_use]
    pub fn cut(&self, most: usize) -> Self {
        self.cut_by(most, |text| text.encode_utf16().count())
    }

    /// The same, measured by `size`; of two pieces together it is no more than the sum.
    #[must_use]
    pub fn cut_by(&self, most: usize, size: fn(&str) -> usize) -> Self {
        if size(&self.0) <= most {
            return self.clone();
        }
        let (mut kept, mut length) = (0, size("…"));
        for piece in pieces(&self.0) {
            length += size(piece);
            if length > most {
                break;
            }
            kept += piece.len();
        }
        Self(format!("{}…", &self.0[..kept]))
    }

    /// Its characters, for a format that takes them literally: JSON strings that no one parses again,
    /// plain text, a terminal, a header that a library encodes.
    pub fn literal(&self) -> &str {
        &self.0
    }

    /// Characters that are shown.
    pub fn length(&self) -> usize {
        self.0.chars().count()
    }

    /// True where there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Entries of a list that are shown.
const MAX_ITEMS: usize = 10;

/// One character as it is shown. A backslash that would begin an escape of ours is spelt out, so
/// that whoever reads an escape knows that it is one.
fn push_escaped(text: &mut String, c: char, rest: &str) {
    if deceives(c) || c == '\\' && rest.starts_with("u{") {
        let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
    } else {
        text.push(c);
    }
}

/// Characters and whole escapes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = if rest.starts_with("\\u{") {
            rest.find('}').map_or(rest.len(), |end| end + 1)
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(piece)
    })
}

/// HTML that is being written: tags of ours, text of anybody's.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Markup of ours.
    pub fn markup(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Text: nothing of it is markup.
    pub fn text(&mut self, text: &Shown) {
        for c in text.0.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }

    /// The whole.
    pub fn finish(self) -> String {
        self.0
    }
}

/// Text for a field that Slack parses: the three characters of its markup are entities, and no word
/// begins with `@`, which some services of its form take for a mention.
pub fn mrkdwn(text: &Shown) -> String {
    let mut safe = String::with_capacity(text.0.len());
    let mut before = ' ';
    for c in text.0.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '@' if !before.is_alphanumeric() => safe.push_str("\\u{40}"),
            c => safe.push(c),
        }
        before = c;
    }
    safe
}

/// Text for a chat that takes it literally but for mentions: no word begins with `@`, and `<at` opens
/// no tag. See [`chat_size`].
pub fn chat(text: &Shown) -> String {
    let mut safe = String::with_capacity(text.0.len());
    let mut before = ' ';
    for (at, c) in text.0.char_indices() {
        let rest = text.0[at..].trim_start_matches(['<', '/']).as_bytes();
        match c {
            '@' if !before.is_alphanumeric() => safe.push_str("\\u{40}"),
            '<' if rest.get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case(b"at")) => {
                safe.push_str("\\u{3c}");
            }
            c => safe.push(c),
        }
        before = c;
    }
    safe
}

/// Bytes that a piece of text has at most once [`chat`] has spelt it and JSON has escaped that.
pub fn chat_size(text: &str) -> usize {
    let size = |c| match c {
        '@' | '<' => 7,
        '"' | '\\' => 2,
        c => c.len_utf8(),
    };
    text.chars().map(size).sum()
}

/// Text for an adaptive card where it knows no Markdown: `{{` begins no function there.
pub fn card(text: &Shown) -> String {
    let mut safe = String::with_capacity(text.0.len());
    let mut rest = text.0.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '{' && rest.peek() == Some(&'{') {
            safe.push_str("\\u{7b}");
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Text for a phone: brackets, which operators refuse in messages, are round.
pub fn phone(text: &Shown) -> String {
    let round = |c| match c {
        '[' | '【' => '(',
        ']' | '】' => ')',
        c => c,
    };
    text.0.chars().map(round).collect()
}

/// Text for a header that a library encodes. What looks as if it were encoded already (RFC 2047) is
/// left as it is by libraries and read by mail programs: its beginning is spelt out.
pub fn header(text: &Shown) -> String {
    text.0.replace("=?", "\\u{3d}?")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a person would read the escapes as.
    fn read_back(shown: &str) -> String {
        pieces(shown)
            .map(|piece| match piece.strip_prefix("\\u{").and_then(|rest| rest.strip_suffix('}')) {
                Some(digits) => char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap().to_string(),
                None => piece.to_owned(),
            })
            .collect()
    }

    #[test]
    fn what_hides_or_commands_is_spelt_out() {
        for (raw, shown) in [
            ("ana", "ana"),
            ("CORP\\ana", "CORP\\ana"),
            ("a\r\nBcc: b@c", "a\\u{d}\\u{a}Bcc: b@c"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("evil\u{202e}exe.\u{2066}", "evil\\u{202e}exe.\\u{2066}"),
            ("a\u{200b}b\u{feff}\0", "a\\u{200b}b\\u{feff}\\u{0}"),
            ("\\u{202e}", "\\u{5c}u{202e}"),
            ("安娜 é 🦀", "安娜 é 🦀"),
        ] {
            assert_eq!(Shown::raw(raw).literal(), shown);
        }
    }

    #[test]
    fn a_long_string_is_cut_where_it_can_be_seen() {
        let exact = "x".repeat(MAX_SHOWN);
        assert_eq!(Shown::raw(&exact).literal(), exact);
        let long = Shown::raw(&"y".repeat(1 << 20));
        assert_eq!(long.literal(), format!("{}… (+1048104 characters)", "y".repeat(472)));
        let escaped = Shown::raw(&"\u{202e}".repeat(600));
        assert_eq!(escaped.literal(), format!("{}… (+541 characters)", "\\u{202e}".repeat(59)));
    }

    #[test]
    fn lists_say_how_many_are_missing() {
        let numbers: Vec<Json> = (0..25).map(Json::from).collect();
        assert_eq!(Shown::value(&Json::Array(numbers)).literal(), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 15 more");
        let long: Vec<Json> = (0..5).map(|_| Json::from("x".repeat(500))).collect();
        assert!(Shown::value(&Json::Array(long)).literal().ends_with(" and 3 more"));
        assert_eq!(Shown::value(&Json::Null).literal(), "none");
        let nested = serde_json::json!({"by": {"user": "CORP\\ana\u{202e}"}, "n": 1.5, "ok": true});
        assert_eq!(Shown::value(&nested).literal(), "by user CORP\\ana\\u{202e}, n 1.5, ok yes");
    }

    #[test]
    fn markup_of_a_sink_is_text_after_its_encoder() {
        let hostile = Shown::raw("<!channel> <@U1> & \"x\" 'y' @here ana@corp.example");
        let mut html = Html::default();
        html.markup("<b>");
        html.text(&hostile);
        assert_eq!(
            html.finish(),
            "<b>&lt;!channel&gt; &lt;@U1&gt; &amp; &quot;x&quot; &#39;y&#39; @here ana@corp.example"
        );
        assert_eq!(
            mrkdwn(&hostile),
            "&lt;!channel&gt; &lt;\\u{40}U1&gt; &amp; \"x\" 'y' \\u{40}here ana@corp.example"
        );
    }

    #[test]
    fn no_word_of_a_header_is_encoded_by_anybody_else() {
        assert_eq!(header(&Shown::raw("=?utf-8?q?=0D=0ABcc:x?= a=b?")), "\\u{3d}?utf-8?q?=0D=0ABcc:x?= a=b?");
    }

    #[test]
    fn nobody_in_a_chat_is_mentioned() {
        for (raw, safe) in [
            ("@all <@ana> ana@corp.example", "\\u{40}all <\\u{40}ana> ana@corp.example"),
            (
                "<at user_id=\"all\">x</at> <AT> < at a<b",
                "\\u{3c}at user_id=\"all\">x\\u{3c}/at> \\u{3c}AT> < at a<b",
            ),
        ] {
            assert_eq!(chat(&Shown::raw(raw)), safe);
        }
    }

    #[test]
    fn a_card_calls_no_function_and_a_phone_is_given_no_brackets() {
        assert_eq!(card(&Shown::raw("{{{DATE(x)}} {a}")), "\\u{7b}\\u{7b}{DATE(x)}} {a}");
        assert_eq!(phone(&Shown::raw("[high] 【x】 {y}")), "(high) (x) {y}");
    }

    proptest! {
        #[test]
        fn a_chats_text_is_no_longer_than_it_was_measured(raw in "[@<a/ \"\\\\é🦀t]{0,60}") {
            let text = Shown::raw(&raw);
            let json = Json::from(chat(&text)).to_string();
            prop_assert!(json.len() - 2 <= chat_size(text.literal()));
            prop_assert_eq!(read_back(&chat(&text)), raw);
        }

        #[test]
        fn nothing_is_lost_and_nothing_deceives(raw in any::<String>()) {
            let shown = Shown::raw(&raw);
            prop_assert!(!shown.literal().contains(deceives));
            prop_assert!(shown.length() <= MAX_SHOWN);
            match shown.literal().split_once("… (+") {
                Some((kept, _)) if raw.chars().count() > 40 => prop_assert!(raw.starts_with(&read_back(kept))),
                Some(_) | None => prop_assert_eq!(read_back(shown.literal()), raw),
            }
        }

        #[test]
        fn a_cut_is_within_its_bound_and_never_inside_an_escape(raw in any::<String>(), most in 1_usize..80) {
            let shown = Shown::raw(&raw);
            let cut = shown.cut(most);
            prop_assert!(cut.literal().encode_utf16().count() <= most);
            let kept = cut.literal().strip_suffix('…').unwrap_or(cut.literal());
            prop_assert!(shown.literal().starts_with(kept));
            if kept.len() < shown.literal().len() {
                prop_assert!(raw.starts_with(&read_back(kept)));
            }
        }
    }
}
