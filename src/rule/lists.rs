//! Lists of values that rules name: `public_ip|in: egress`.
//!
//! A list is text: one value a line, or CSV whose first line names its columns (`value,until`). What
//! follows ` #` is a comment. Values compare as they do under `match`; an address or a network holds
//! for the addresses in it. A value with `until` holds until the end of that day, in event time.
//! Values belong to the generation: they change between batches, and the journal names them by
//! digest. Nothing here opens a file or reads a clock.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use chrono_tz::Tz;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::compile::key_text;
use super::condition::address;
use super::decode::values::day_end;
use super::problem::{Problems, Span};
use crate::record::fact;
use crate::record::fold::fold;
use crate::record::{FieldKind, Number, Timestamp, Value};

/// Lists of one configuration; a script finds all of them in one map.
pub const MAX_LISTS: usize = 100;
/// Bytes of one list.
pub const MAX_BYTES: usize = 8 << 20;
/// Values of one list.
pub const MAX_VALUES: usize = 100_000;
/// Bytes of one value: a longer one is no value of any record.
pub const MAX_VALUE: usize = 4_096;
/// Faults that are told of one list.
const MAX_FAULTS: usize = 20;
/// Hexadecimal digits of a digest in an alert.
const SHOWN_DIGEST: usize = 16;

/// A list as text: what the store keeps, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListText {
    /// What rules call it.
    pub name: String,
    /// The file it was read from, for messages.
    pub file: String,
    /// Its first line names its columns.
    pub csv: bool,
    /// Digest of the text; 32 hexadecimal digits.
    pub digest: String,
    /// The text. Kept apart from what names it.
    #[serde(skip)]
    pub text: Arc<str>,
}

impl ListText {
    /// A list whose file holds `text`; one that ends in `.csv` is CSV.
    pub fn new(name: &str, file: &str, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let csv = file.len() >= 4 && file[file.len() - 4..].eq_ignore_ascii_case(".csv");
        let digest = blake3::hash(text.as_bytes()).to_hex()[..32].to_owned();
        Self { name: name.to_owned(), file: file.to_owned(), csv, digest, text }
    }

    /// Reads its values; days end in `zone`. A list comes back whole, or it may not be used: then the
    /// problems hold an error.
    pub fn read(&self, zone: Tz) -> (List, Problems) {
        let mut problems = Problems::new(self.file.clone(), self.text.clone());
        let mut list =
            List { digest: self.digest[..SHOWN_DIGEST.min(self.digest.len())].to_owned(), ..List::default() };
        if self.text.len() > MAX_BYTES {
            let message = format!("the list is longer than {} MB", MAX_BYTES >> 20);
            problems.error_hint(
                Span { start: 0, end: 0 },
                message,
                "write networks instead of single addresses",
            );
            return (list, problems);
        }
        let mut columns: Option<Columns> = None;
        for (at, line) in lines(&self.text) {
            if problems.errors() >= MAX_FAULTS {
                break;
            }
            let whole = Span { start: at, end: at + line.len() };
            if !self.csv {
                list.add(line, None, whole, &mut problems);
                continue;
            }
            let Some(cells) = cells(line) else {
                problems.error_hint(
                    whole,
                    "this line has a quote without its end",
                    "write `\"a \"\"word\"\"\"`, all in one line",
                );
                continue;
            };
            if let Some(columns) = &columns {
                columns.row(&cells, zone, whole, &mut list, &mut problems);
                continue;
            }
            columns = Columns::of(&cells);
            if columns.is_none() {
                let hint = "write `value,until` as the first line; `until` and other columns may be left out";
                problems.error_hint(whole, "the first line names no column `value`", hint);
                break;
            }
        }
        (list, problems)
    }
}

/// Lines that say something, without comments and white space, and where each begins.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split('\n').filter_map(move |whole| {
        let start = at;
        at += whole.len() + 1;
        let mark = if start == 0 && whole.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let said = whole[mark..].split(" #").next().unwrap_or_default();
        let trimmed = said.trim();
        let begins = start + mark + said.len() - said.trim_start().len();
        (!trimmed.is_empty() && !trimmed.starts_with('#')).then_some((begins, trimmed))
    })
}

/// The cells of a line of CSV; none where a quote does not end.
fn cells(line: &str) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = true;
            }
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    (!quoted).then(|| cells.into_iter().map(|cell| cell.trim().to_owned()).collect())
}

/// Where the columns stand.
struct Columns {
    value: usize,
    until: Option<usize>,
    all: usize,
}

impl Columns {
    fn of(cells: &[String]) -> Option<Self> {
        let at = |name: &str| cells.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        Some(Self { value: at("value")?, until: at("until"), all: cells.len() })
    }

    fn row(&self, cells: &[String], zone: Tz, whole: Span, list: &mut List, problems: &mut Problems) {
        if cells.len() > self.all {
            let message =
                format!("this line has {} cells, and the first one names {}", cells.len(), self.all);
            problems.error_hint(whole, message, "put a value with a comma in quotes");
            return;
        }
        let cell = |at: usize| cells.get(at).map_or("", String::as_str);
        let spelt = self.until.map_or("", cell);
        let until = if spelt.is_empty() { None } else { day_end(spelt, zone) };
        if until.is_none() && !spelt.is_empty() {
            let hint =
                "write a day as `2027-01-31` or an instant as `2027-01-31T18:00:00Z`; empty is for good";
            problems.error_hint(whole, format!("`until` is `{spelt}`, which is no day"), hint);
            return;
        }
        list.add(cell(self.value), until, whole, problems);
    }
}

/// Until when a value holds; none: for good.
type Until = Option<Timestamp>;

/// The values of one list, ready to be asked.
#[derive(Debug, Default)]
pub struct List {
    digest: String,
    values: usize,
    /// The first value that is an account with its domain.
    with_domain: Option<String>,
    exact: HashMap<String, Until, foldhash::fast::RandomState>,
    folded: HashMap<String, Until, foldhash::fast::RandomState>,
    numbers: BTreeMap<Number, Until>,
    /// By how many bits they have in common; a single address has all of its own. Never iterated but
    /// to ask each for one network.
    networks: BTreeMap<(bool, u8), HashMap<IpNet, Until, foldhash::fast::RandomState>>,
}

impl List {
    /// A list of these values, for a rule's own tests.
    pub fn of(values: &[(String, Until)]) -> Self {
        let mut list = Self { digest: "of a test".to_owned(), ..Self::default() };
        for (value, until) in values {
            list.insert(value, *until);
        }
        list
    }

    fn add(&mut self, value: &str, until: Until, at: Span, problems: &mut Problems) {
        if value.is_empty() || value.len() > MAX_VALUE {
            let (message, hint) = if value.is_empty() {
                ("this line has no value".to_owned(), "take the line out")
            } else {
                (format!("this value is longer than {MAX_VALUE} bytes"), "no record has so long a value")
            };
            problems.error_hint(at, message, hint);
            return;
        }
        if self.values >= MAX_VALUES {
            if self.values == MAX_VALUES {
                let message = format!("the list has more than {MAX_VALUES} values");
                problems.error_hint(
                    at,
                    message,
                    "write networks instead of single addresses, or split the list",
                );
            }
            self.values += 1;
            return;
        }
        match value.parse::<IpNet>() {
            Ok(net) if net.trunc() != net => {
                let message = format!("`{value}` has bits set behind its prefix");
                problems.warn(at, message, format!("it is read as `{}`", net.trunc()));
            }
            Err(_) if is_meant_as_network(value) => {
                let message = format!("`{value}` is no network, and no address is in it");
                problems.warn(at, message, "write it as `203.0.113.0/24` or `2001:db8::/32`");
            }
            Ok(_) | Err(_) => {}
        }
        if self.with_domain.is_none() && fact::user(value) != fold(value) {
            self.with_domain = Some(value.to_owned());
        }
        self.insert(value, until);
    }

    fn insert(&mut self, value: &str, until: Until) {
        self.values += 1;
        longest(self.exact.entry(value.to_owned()), until);
        longest(self.folded.entry(fold(value).into_owned()), until);
        if let Some(number) = Number::parse(value) {
            let known = self.numbers.entry(number).or_insert(until);
            *known = later(*known, until);
        }
        let network = value.parse::<IpNet>().ok().or_else(|| address(value).map(IpNet::from));
        if let Some(network) = network {
            let network = unmapped(network.trunc());
            let key = (network.addr().is_ipv6(), network.prefix_len());
            longest(self.networks.entry(key).or_default().entry(network), until);
        }
    }

    /// Whether the field of `kind` that holds `value` is in the list at that time.
    pub fn contains(&self, value: Value<'_>, kind: FieldKind, cased: bool, at: Timestamp) -> bool {
        let Some(text) = value.text() else { return false };
        let live = |until: Option<&Until>| until.is_some_and(|until| until.is_none_or(|until| at < until));
        let spelt = || {
            if cased { live(self.exact.get(text)) } else { live(self.folded.get(&*fold(text))) }
        };
        match kind {
            FieldKind::Number | FieldKind::Duration => match value.number() {
                Some(number) => live(self.numbers.get(&number)),
                // Out of range they are the same if they are spelt so.
                None => Number::is_out_of_range(text) && live(self.exact.get(text)),
            },
            FieldKind::Address | FieldKind::Any => match address(text) {
                Some(address) => self.covers(address, &live) || (kind == FieldKind::Any && spelt()),
                None => spelt(),
            },
            FieldKind::Text | FieldKind::Bool | FieldKind::Time => spelt(),
        }
    }

    /// The same of a text that may be anything, as a script asks.
    pub fn contains_text(&self, text: &str, at: Timestamp) -> bool {
        self.contains(Value::Text(text), FieldKind::Any, false, at)
    }

    /// The same of a number.
    pub fn contains_number(&self, text: &str, at: Timestamp) -> bool {
        self.contains(Value::Number(text), FieldKind::Number, false, at)
    }

    /// Whether `is` says yes to some text of the list at that time, however it is spelt if not `cased`.
    pub fn has_text(&self, cased: bool, at: Timestamp, is: &dyn Fn(&str) -> bool) -> bool {
        let texts = if cased { &self.exact } else { &self.folded };
        texts.iter().any(|(text, until)| until.is_none_or(|until| at < until) && is(text))
    }

    /// Whether `text`, folded unless `cased`, stands in the list at that time.
    pub fn holds_text(&self, text: &str, cased: bool, at: Timestamp) -> bool {
        let texts = if cased { &self.exact } else { &self.folded };
        texts.get(text).is_some_and(|until| until.is_none_or(|until| at < until))
    }

    fn covers(&self, address: IpAddr, live: &dyn Fn(Option<&Until>) -> bool) -> bool {
        self.networks.iter().any(|((v6, bits), networks)| {
            *v6 == address.is_ipv6()
                && IpNet::new(address, *bits).is_ok_and(|network| live(networks.get(&network.trunc())))
        })
    }

    /// Its values as a group of a field of `kind` is known by them, in order, and until when each holds.
    /// A network is no group.
    pub fn keys(&self, kind: FieldKind) -> BTreeMap<String, Option<Timestamp>> {
        let mut keys: BTreeMap<String, Until> = BTreeMap::new();
        #[expect(clippy::iter_over_hash_type, reason = "fills a sorted map")]
        for (value, until) in &self.folded {
            let network = kind == FieldKind::Address && value.parse::<IpNet>().is_ok();
            let Some(key) = key_text(Value::Text(value), kind).filter(|_| !network) else { continue };
            let known = keys.entry(key.into_owned()).or_insert(*until);
            *known = later(*known, *until);
        }
        keys
    }

    /// Which version it is: the beginning of its text's digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.values
    }

    /// True for a list without values.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }
}

/// Of a value that stands twice, the later end counts.
fn longest<K>(entry: std::collections::hash_map::Entry<'_, K, Until>, until: Until) {
    let known = entry.or_insert(until);
    *known = later(*known, until);
}

fn later(one: Until, other: Until) -> Until {
    Some(one?.max(other?))
}

/// Whether somebody wrote this for a network, which it is not: `10.0.0.0/40`, `10.0.0/8`.
fn is_meant_as_network(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((net, bits)) = value.split_once('/') else { return false };
    let short = || net.contains('.') && net.split('.').all(digits);
    digits(bits) && (address(net).is_some() || short())
}

/// An IPv4-mapped IPv6 network is the IPv4 network.
fn unmapped(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|v4| ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96).ok())
            .map_or(network, IpNet::V4),
        IpNet::V4(_) | IpNet::V6(_) => network,
    }
}

/// Every list of a generation.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    by_name: BTreeMap<String, Arc<List>>,
}

impl Lists {
    /// Reads all of `texts`; those with a fault are left out and told.
    pub fn read(texts: &[ListText], zone: Tz, problems: &mut Vec<Problems>) -> Self {
        let mut by_name = BTreeMap::new();
        for text in texts {
            let (list, found) = text.read(zone);
            if !found.has_errors() {
                by_name.insert(text.name.clone(), Arc::new(list));
            }
            if !found.is_empty() {
                problems.push(found);
            }
        }
        Self { by_name }
    }

    /// These lists, and over them others of the same names.
    #[must_use]
    pub fn with(&self, others: impl IntoIterator<Item = (String, List)>) -> Self {
        let mut by_name = self.by_name.clone();
        by_name.extend(others.into_iter().map(|(name, list)| (name, Arc::new(list))));
        Self { by_name }
    }

    /// Lists that hold an account with its domain, and the first of each.
    pub fn with_domain(&self) -> Vec<(String, String)> {
        let with =
            self.by_name.iter().filter_map(|(name, list)| Some((name.clone(), list.with_domain.clone()?)));
        with.collect()
    }

    /// The list of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<List>> {
        self.by_name.get(name)
    }

    /// Every list, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<List>)> {
        self.by_name.iter().map(|(name, list)| (name.as_str(), list))
    }
}

/// True for what may be a list's name: a script reads it as `lists.name`.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(file: &str, text: &str) -> List {
        let (list, problems) = ListText::new("egress", file, text).read(Tz::Asia__Shanghai);
        assert!(!problems.has_errors(), "{}", problems.render(false));
        list
    }

    fn told(file: &str, text: &str) -> String {
        ListText::new("egress", file, text).read(Tz::UTC).1.render(false)
    }

    const NOW: Timestamp = Timestamp(1_767_603_600_000);

    fn has(list: &List, kind: FieldKind, text: &str) -> bool {
        list.contains(Value::Text(text), kind, false, NOW)
    }

    #[test]
    fn values_stand_one_a_line_with_comments_between() {
        let list = list(
            "egress.txt",
            "\u{feff}# our addresses\r\n198.51.100.7\r\n\n  203.0.113.0/24  # head office\n2001:db8::/32\nAna#1\n",
        );
        assert_eq!(list.len(), 4);
        for (text, within) in [
            ("198.51.100.7", true),
            ("::ffff:198.51.100.7", true),
            ("198.51.100.8", false),
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("unknown", false),
            ("", false),
        ] {
            assert_eq!(has(&list, FieldKind::Address, text), within, "{text}");
        }
        assert!(has(&list, FieldKind::Text, "ana#1"));
    }

    #[test]
    fn text_compares_as_it_does_under_match() {
        let list = list("users.txt", "Müller\nCORP\\ana\n042\n");
        assert!(has(&list, FieldKind::Text, "MÜLLER") && has(&list, FieldKind::Text, "corp\\ANA"));
        assert!(!list.contains(Value::Text("MÜLLER"), FieldKind::Text, true, NOW));
        assert!(list.contains(Value::Text("Müller"), FieldKind::Text, true, NOW));
        assert!(!has(&list, FieldKind::Text, "42") && has(&list, FieldKind::Number, "42.0"));
    }

    #[test]
    fn numbers_out_of_range_are_in_a_list_that_spells_them_so() {
        let list = list("ids.csv", "value,until\n123456789012345678901234567890,\n1e999,2026-01-01\nsoon,\n");
        for (text, within) in [
            ("123456789012345678901234567890", true),
            ("123456789012345678901234567891", false),
            ("123456789012345678901234567890.0", false),
            ("1e30", false),
            // It was there until the day before.
            ("1e999", false),
            ("soon", false),
        ] {
            assert_eq!(list.contains_number(text, NOW), within, "{text}");
            assert_eq!(has(&list, FieldKind::Duration, text), within, "{text}");
        }
        assert!(list.contains_number("1e999", Timestamp(0)));
    }

    #[test]
    fn a_value_ends_with_its_day_in_the_configured_zone() {
        let list = list(
            "leavers.csv",
            "until,value,because\n2026-01-05,ana,left\n,bob,\"for good, he said\"\n2026-01-05T09:00:00Z,eve,\n",
        );
        let at = |user: &str, time: &str| {
            list.contains(Value::Text(user), FieldKind::Text, false, Timestamp::parse(time).unwrap())
        };
        // The fifth of January ends at 16:00 UTC in Shanghai.
        assert!(at("ana", "2026-01-05T15:59:59.999Z") && !at("ana", "2026-01-05T16:00:00Z"));
        assert!(at("bob", "2036-01-01T00:00:00Z"));
        assert!(at("eve", "2026-01-05T08:59:59Z") && !at("eve", "2026-01-05T09:00:00Z"));
    }

    #[test]
    fn of_a_value_that_stands_twice_the_later_end_counts() {
        let list = list("x.csv", "value,until\nana,2026-01-06\nANA,2026-01-04\nbob,\nbob,2026-01-01\n");
        assert!(has(&list, FieldKind::Text, "ana") && has(&list, FieldKind::Text, "bob"));
    }

    #[test]
    fn a_list_with_a_fault_tells_all_of_them_at_their_lines() {
        let text = told("leavers.csv", "value,until\nana,tomorrow\n,2026-01-01\na,b,c\n\"x\n");
        for part in [
            "leavers.csv:2",
            "`until` is `tomorrow`, which is no day",
            "leavers.csv:3",
            "this line has no value",
            "leavers.csv:4",
            "this line has 3 cells, and the first one names 2",
            "leavers.csv:5",
            "a quote without its end",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(told("a.csv", "ana\nbob\n").contains("names no column `value`"));
        let long = format!("{}\n", "x".repeat(MAX_VALUE + 1));
        assert!(told("a.txt", &long).contains("longer than 4096 bytes"));
    }

    #[test]
    fn what_was_meant_as_a_network_and_is_none_is_warned_of() {
        for line in ["10.0.0.0/40", "10.0.0/8", "2001:db8::/129"] {
            let text = told("egress.txt", &format!("198.51.100.7\n{line}\n"));
            assert!(
                text.contains(&format!("warning: `{line}` is no network, and no address is in it")),
                "{text}"
            );
            assert!(text.contains("egress.txt:2"), "{text}");
        }
        for line in ["10.0.0.0/8", "team/42", "a.b/8", "10.0.0.0/x", "1/2"] {
            assert_eq!(told("names.txt", &format!("{line}\n")), "", "{line}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let many = (0..=MAX_VALUES).map(|number| format!("u{number}")).collect::<Vec<_>>().join("\n");
        assert!(told("a.txt", &many).contains("more than 100000 values"));
        assert!(told("a.txt", &"x\n".repeat(MAX_BYTES / 2 + 1)).contains("longer than 8 MB"));
    }
}
