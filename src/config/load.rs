//! The text of a configuration to a [`Config`], with every fault of it.
//!
//! A fault is noted and reading goes on. No secret is read, and no file.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono_tz::Tz;
use regex::{Regex, RegexBuilder};

use crate::record::fact::FailureKind;
use crate::record::scan::Endpoint;
use crate::record::{Level, Millis, RuleId};
use crate::route::{AtMost, Pattern, ReceiverName};
use crate::rule::lists::{MAX_LISTS, is_name};
use crate::rule::problem::{Problems, Span};
use crate::rule::sigma::{LogSource, LogSourceLine, LogSourceMap};
use crate::rule::suggest;
use crate::rule::yaml::{self, Kind, Node};

use super::keys::{
    ADMIN, AT_MOST, AT_MOST_RULES, CONFIG, CONFIG_FILES, FAILURE_CODES, FAILURE_KINDS, FAILURE_REASON, GEO,
    HEARTBEAT, KEEP, LISTS, LOGSOURCE, RECEIVER, SOURCE, WATCHDOG,
};
use super::part::{Kinds, Part};
use super::{
    Bytes, Config, Failures, GeoKind, Keep, ListFile, Options, ReceiverConfig, SourceConfig, Text, folder_of,
    mask, routes,
};

/// Receivers or sources of one daemon: each holds a connection or two.
const MAX_PARTS: usize = 1_000;
/// How often a watchdog may come.
const WATCHDOG_EVERY: (Millis, Millis) = (Millis::mins(1), Millis::days(7));
/// Bytes of one compiled pattern.
const MAX_REGEX: usize = 1 << 20;
/// Patterns over reasons: each is tried on every new reason.
const MAX_REASONS: usize = 200;
/// Whose records they are where the file does not say.
pub const DEFAULT_TENANT: &str = "default";
/// Least that `keep` may hold: less would forget what rules look back on.
const MIN_KEPT: Bytes = Bytes(10_000_000);

/// Reads the configuration that `text` holds. `file` names it in messages, and its folder is where
/// relative paths begin. A configuration comes back where enough could be read to look for more
/// faults (whether every part can be built); it may be used if no problem is an error.
pub fn load(file: &str, text: &str, kinds: &Kinds<'_>) -> (Option<Config>, Problems) {
    // A byte order mark is no part of the text; editors on Windows write it.
    let source: Arc<str> = text.strip_prefix('\u{feff}').unwrap_or(text).into();
    let mut problems = Problems::new(file, source.clone());
    let root = yaml::parse_as(&mut problems, &CONFIG_FILES);
    mask::hide(&mut problems, root.as_ref(), kinds);
    let config = root.and_then(|root| config(file, &source, &root, kinds, &mut problems));
    (config, problems)
}

fn config(
    file: &str,
    source: &Arc<str>,
    root: &Node,
    kinds: &Kinds<'_>,
    problems: &mut Problems,
) -> Option<Config> {
    let at = root.map().and_then(|entries| entries.first()).map_or(root.span, |entry| entry.key.span);
    let top = Options::open(root, &CONFIG, at, problems)?;
    let folder = folder_of(file);
    let store = top.text(problems, "store").map(|path| folder.join(path));
    let zone = top.text(problems, "zone").map_or(Tz::UTC, |name| zone(&top, &name, problems));
    let rules = paths(&top, problems).into_iter().map(|path| folder.join(path)).collect();
    lists_something(&top, "sigma", problems);
    let sigma = top.texts(problems, "sigma").into_iter().map(|path| folder.join(path)).collect();
    let logsources = logsources(&top, problems);
    let lists = lists(&top, problems);
    let geo = geo(&top, problems);
    let declared = declared(&top);
    let sources = sources(&top, kinds, problems);
    let mut rules_named = Vec::new();
    let (receivers, names) = receivers(&top, kinds, &mut rules_named, problems);
    let spelt = match top.node("receivers") {
        Some(Node { kind: Kind::List(nodes), .. }) => nodes.len(),
        Some(_) | None => usize::MAX,
    };
    let known = Known { names: &names, complete: names.len() == spelt };
    let routes = routes::routes(&top, &known, (&declared, &sources), &mut rules_named, problems);
    let ops = ops(&top, &known, problems);
    let failures = failures(&top, problems);
    let keep = keep(&top, problems);
    let admin = Part::section(&top, "admin", &ADMIN, problems);
    let heartbeat = Part::section(&top, "heartbeat", &HEARTBEAT, problems);
    Some(Config {
        file: file.to_owned(),
        text: Text { source: source.clone(), masked: problems.masked().to_vec() },
        store: store.unwrap_or_default(),
        zone,
        rules,
        rules_at: top.place("rules"),
        sigma,
        sigma_at: top.place("sigma"),
        logsources,
        lists: lists
            .into_iter()
            .map(|(name, path, at)| ListFile { name, path: folder.join(path), at })
            .collect(),
        geo: geo.into_iter().map(|(kind, path, at)| (kind, folder.join(path), at)).collect(),
        declared,
        sources,
        receivers,
        routes,
        proxy: proxy(&top, problems),
        rules_named,
        ops,
        failures,
        keep,
        admin,
        heartbeat,
    })
}

/// Where the proxy of the environment is asked for. What stands there instead is not told: it may be an
/// address with a password.
fn proxy(top: &Options<'_>, problems: &mut Problems) -> Option<Span> {
    let word = top.node("proxy").and_then(Node::scalar);
    if word.is_some_and(|word| word.text != "environment") {
        let hint = "write `proxy: environment`, and the address into the variable `HTTPS_PROXY`";
        top.fault(problems, "proxy", "`proxy` takes no address", hint);
        return None;
    }
    top.word(problems, "proxy").map(|_| top.place("proxy"))
}

fn zone(top: &Options<'_>, name: &str, problems: &mut Problems) -> Tz {
    suggest::zone(name).unwrap_or_else(|hint| {
        top.fault(problems, "zone", format!("there is no time zone `{name}`"), hint);
        Tz::UTC
    })
}

fn paths(top: &Options<'_>, problems: &mut Problems) -> Vec<PathBuf> {
    lists_something(top, "rules", problems);
    top.texts(problems, "rules").into_iter().map(PathBuf::from).collect()
}

/// Tells of a list without any entry.
fn lists_something(top: &Options<'_>, key: &str, problems: &mut Problems) {
    if let Some(Node { kind: Kind::List(nodes), .. }) = top.node(key) {
        if nodes.is_empty() {
            top.fault(problems, key, format!("`{key}` lists nothing"), top.write(key));
        } else if nodes.len() > MAX_PARTS {
            let message = format!("`{key}` lists more than {MAX_PARTS} entries");
            top.fault(problems, key, message, "run several daemons, each with its own file and store");
        }
    }
}

/// Whose records the logsources of Sigma documents are.
fn logsources(top: &Options<'_>, problems: &mut Problems) -> LogSourceMap {
    let mut lines = Vec::new();
    for node in entries(top, "logsources", problems) {
        let at = node.map().and_then(|entries| entries.first()).map_or(node.span, |entry| entry.key.span);
        let Some(line) = Options::open(node, &LOGSOURCE, at, problems) else { continue };
        let part = |name: &str, problems: &mut Problems| line.text(problems, name);
        let logsource = LogSource {
            category: part("category", problems),
            product: part("product", problems),
            service: part("service", problems),
        };
        let kinds = known(&line, "kinds", Endpoint::ALL.map(|endpoint| Some(endpoint.kind())), problems);
        let services = known(&line, "services", Endpoint::ALL.map(Endpoint::service), problems);
        if kinds.is_empty() && services.is_empty() {
            let hint = "add `kinds: [login]` or `services: [desktop]`, or take the line out";
            problems.error_hint(at, "this line does not say whose records they are", hint);
        }
        lines.push(LogSourceLine { logsource, kinds, services });
    }
    LogSourceMap(lines)
}

/// The words under `key`, of which these are known.
fn known<'w>(
    line: &Options<'_>,
    key: &str,
    words: impl IntoIterator<Item = Option<&'w str>>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut known: Vec<&str> = words.into_iter().flatten().collect();
    known.sort_unstable();
    known.dedup();
    let spelt = line.texts(problems, key);
    for word in spelt.iter().filter(|word| !known.contains(&word.as_str())) {
        let hint = format!("known: {}", known.join(", "));
        line.fault(problems, key, format!("`{key}` cannot hold `{word}`"), hint);
    }
    spelt
}

/// Names of lists, and the file of each.
fn lists(top: &Options<'_>, problems: &mut Problems) -> Vec<(String, String, Span)> {
    let Some(map) = top.map(problems, "lists", &LISTS) else { return Vec::new() };
    let mut lists: Vec<(String, String, Span)> = Vec::new();
    for entry in map.rest() {
        let name = entry.key.text.as_str();
        let path = entry.value.scalar().filter(|_| !entry.value.is_null()).map(|scalar| scalar.text.trim());
        if !is_name(name) {
            let hint = "a list is called by up to 64 of a-z, 0-9 and _, such as `egress`";
            problems.error_hint(entry.key.span, format!("`{name}` cannot be a list's name"), hint);
        } else if let Some(path) = path.filter(|path| !path.is_empty()) {
            lists.push((name.to_owned(), path.to_owned(), entry.value.span));
        } else {
            let message = format!("`{name}` is the file of a list, not {}", entry.value.what());
            problems.error_hint(entry.key.span, message, format!("write `{name}: lists/{name}.txt`"));
        }
    }
    if lists.len() > MAX_LISTS {
        let message = format!("`lists` names more than {MAX_LISTS} lists");
        top.fault(problems, "lists", message, "join lists that are used together");
    }
    lists.sort();
    lists
}

/// Files that tell where addresses are.
fn geo(top: &Options<'_>, problems: &mut Problems) -> Vec<(GeoKind, String, Span)> {
    let Some(map) = top.map(problems, "geo", &GEO) else { return Vec::new() };
    if GeoKind::ALL.iter().all(|kind| !map.has(kind.key())) {
        top.fault(problems, "geo", "`geo` names no file", "write `geo: {city: geo/city.mmdb}`");
    }
    let file = |kind: GeoKind| Some((kind, map.text(problems, kind.key())?, map.place(kind.key())));
    GeoKind::ALL.into_iter().filter_map(file).collect()
}

/// Fields that file sources declare under `fields:`.
fn declared(top: &Options<'_>) -> Vec<String> {
    let Some(Node { kind: Kind::List(sources), .. }) = top.node("sources") else { return Vec::new() };
    let entries = sources.iter().filter_map(Node::map).flatten();
    let fields = entries.filter(|entry| entry.key.text == "fields").filter_map(|entry| entry.value.map());
    let mut names: Vec<String> = fields.flatten().map(|entry| entry.key.text.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// The maps in the list under `key`; a value that is no list is told.
fn entries<'n>(top: &Options<'n>, key: &str, problems: &mut Problems) -> &'n [Node] {
    lists_something(top, key, problems);
    match top.node(key) {
        Some(Node { kind: Kind::List(nodes), .. }) if nodes.len() <= MAX_PARTS => nodes,
        Some(Node { kind: Kind::List(_), .. }) | None => &[],
        Some(node @ Node { kind: Kind::Scalar(_) | Kind::Map(_), .. }) => {
            let message = format!("`{key}` takes a list of maps, not {}", node.what());
            top.fault(problems, key, message, top.write(key));
            &[]
        }
    }
}

/// Names that stand in the file already, and where.
#[derive(Default)]
struct Names(BTreeMap<String, Span>);

impl Names {
    /// The name of one source or receiver, if it is well formed and not taken.
    fn take(&mut self, options: &Options<'_>, what: &str, problems: &mut Problems) -> Option<ReceiverName> {
        let text = options.text(problems, "name")?;
        let at = options.place("name");
        let name = match text.parse::<ReceiverName>() {
            Ok(name) => name,
            Err(error) => {
                problems.error_hint(at, error.to_string(), format!("write `name: {}`", plain(&text)));
                return None;
            }
        };
        if let Some(first) = self.0.get(&text) {
            let message = format!("two {what} are called `{text}`");
            problems.error_with(at, message, "give one of them another name", (*first, "the other one"));
            return None;
        }
        self.0.insert(text, at);
        Some(name)
    }
}

/// A name as near to `text` as names can be.
fn plain(text: &str) -> String {
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(plain).take(ReceiverName::MAX_LEN).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "a-name".to_owned() } else { name.to_owned() }
}

fn sources(top: &Options<'_>, kinds: &Kinds<'_>, problems: &mut Problems) -> Vec<SourceConfig> {
    let mut names = Names::default();
    let mut sources = Vec::new();
    for node in entries(top, "sources", problems) {
        let (Some(options), part) = Part::open(node, &SOURCE, kinds.sources, problems) else { continue };
        let name = names.take(&options, "sources", problems);
        let tenant = options.text(problems, "tenant").unwrap_or_else(|| DEFAULT_TENANT.to_owned());
        if let Err(error) = tenant.parse::<ReceiverName>() {
            options.fault(
                problems,
                "tenant",
                error.to_string(),
                format!("write `tenant: {}`", plain(&tenant)),
            );
        }
        if let (Some(name), Some(part)) = (name, part) {
            sources.push(SourceConfig { name: name.into(), tenant: tenant.into(), part });
        }
    }
    sources
}

/// Receivers, and the names of all that stand in the file, those with faults included.
fn receivers(
    top: &Options<'_>,
    kinds: &Kinds<'_>,
    named: &mut Vec<(Pattern, Span)>,
    problems: &mut Problems,
) -> (Vec<ReceiverConfig>, Vec<ReceiverName>) {
    let mut names = Names::default();
    let (mut receivers, mut known) = (Vec::new(), Vec::new());
    for node in entries(top, "receivers", problems) {
        let (Some(options), part) = Part::open(node, &RECEIVER, kinds.receivers, problems) else { continue };
        let name = names.take(&options, "receivers", problems);
        let at_most_rules = at_most_rules(&options, named, problems);
        let at_most = at_most(&options, problems);
        let watchdog = options.map(problems, "watchdog", &WATCHDOG);
        let watchdog = watchdog.and_then(|map| map.duration_in(problems, "every", WATCHDOG_EVERY));
        let closed = options.word(problems, "closed").map(|word| word == "on");
        known.extend(name.clone());
        if let (Some(name), Some(part)) = (name, part) {
            receivers.push(ReceiverConfig { name, at_most, at_most_rules, closed, watchdog, part });
        }
    }
    (receivers, known)
}

fn at_most(options: &Options<'_>, problems: &mut Problems) -> Vec<(Level, Option<AtMost>)> {
    let mut limits = Vec::new();
    if let Some(node) = options.node("at_most").filter(|node| node.scalar().is_some() && !node.is_null()) {
        let text = node.scalar().map_or("", |scalar| scalar.text.as_str());
        let rate = if text.parse::<AtMost>().is_ok() { text } else { "10 in 15m" };
        let message = format!("`at_most` takes levels and a rate of each, not `{text}`");
        options.fault(problems, "at_most", message, format!("write `at_most: {{medium: {rate}}}`"));
        return limits;
    }
    let Some(map) = options.map(problems, "at_most", &AT_MOST) else { return limits };
    for level in Level::ALL {
        let word = level.as_str();
        if map.is_off(word) {
            limits.push((level, None));
        } else if let Some(rate) = map.rate(problems, word) {
            limits.push((level, Some(rate)));
        }
    }
    limits
}

/// Limits of single rules. That `at_most` is a map, and of known keys, is told with the levels.
fn at_most_rules(
    options: &Options<'_>,
    named: &mut Vec<(Pattern, Span)>,
    problems: &mut Problems,
) -> Vec<(RuleId, AtMost)> {
    let mut limits: Vec<(RuleId, AtMost)> = Vec::new();
    let mut quiet = Problems::new(problems.file.clone(), problems.source.clone());
    let Some(map) = options.map(&mut quiet, "at_most", &AT_MOST) else { return limits };
    let Some(rules) = map.map(problems, "rules", &AT_MOST_RULES) else { return limits };
    for entry in rules.rest() {
        let name = entry.key.text.as_str();
        let Ok(rule) = name.parse::<RuleId>() else {
            let message = format!("`{name}` cannot be a rule's id");
            problems.error_hint(
                entry.key.span,
                message,
                "write the id that stands under `rule:` in its file",
            );
            continue;
        };
        named.push((Pattern::new(name), entry.key.span));
        let text = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
        if let Some(rate) = text.parse::<AtMost>().ok().filter(Options::fits) {
            limits.push((rule, rate));
        } else {
            let message = format!("`{name}` takes a rate such as `3 in 1h`");
            problems.error_hint(entry.value.span, message, format!("write `{name}: 3 in 1h`"));
        }
    }
    if limits.len() > MAX_PARTS {
        let message = format!("`rules` names more than {MAX_PARTS} rules");
        options.fault(problems, "at_most", message, "limit levels instead: `at_most: {medium: 10 in 15m}`");
    }
    limits
}

/// The receivers that others may name.
pub(super) struct Known<'c> {
    names: &'c [ReceiverName],
    /// False where one of them has no name that can be read: it may be the one that is meant.
    complete: bool,
}

impl Known<'_> {
    /// The receivers in a list of names; those that do not exist are told.
    pub(super) fn pick(&self, texts: Vec<(String, Span)>, problems: &mut Problems) -> Vec<ReceiverName> {
        let mut picked: Vec<ReceiverName> = Vec::new();
        for (text, at) in texts {
            match self.names.iter().find(|name| name.as_str() == text) {
                Some(name) if picked.contains(name) => {
                    problems.error_hint(
                        at,
                        format!("`{text}` stands twice in the list"),
                        "take one of them out",
                    );
                }
                Some(name) => picked.push(name.clone()),
                None if self.complete => {
                    let names = || self.names.iter().map(ReceiverName::as_str);
                    let hint = match suggest::nearest(&text, names()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    problems.error_hint(at, format!("no receiver is called `{text}`"), hint);
                }
                None => {}
            }
        }
        picked
    }
}

fn ops(top: &Options<'_>, known: &Known<'_>, problems: &mut Problems) -> Vec<ReceiverName> {
    lists_something(top, "ops", problems);
    let texts = top.placed_texts(problems, "ops");
    known.pick(texts, problems)
}

fn failures(top: &Options<'_>, problems: &mut Problems) -> Failures {
    let mut failures = Failures::default();
    let codes = top.map(problems, "failure_codes", &FAILURE_CODES);
    for entry in codes.iter().flat_map(Options::rest) {
        let code = entry.key.text.trim();
        if code.is_empty() || failures.codes.iter().any(|(other, _)| other.eq_ignore_ascii_case(code)) {
            let message = format!("`{code}` is empty, or stands here already in other letters");
            problems.error_hint(entry.key.span, message, "codes are compared without case: keep one of them");
            continue;
        }
        let word = entry.value.scalar().map_or(entry.value.what(), |scalar| scalar.text.as_str());
        match word.parse::<FailureKind>() {
            Ok(kind) => failures.codes.push((code.to_owned(), kind)),
            Err(error) => {
                let hint = match suggest::nearest(word, FAILURE_KINDS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write `\"{code}\": server`"),
                };
                problems.error_hint(entry.value.span, error.to_string(), hint);
            }
        }
    }
    let reasons = top.maps(problems, "failure_reasons", &FAILURE_REASON);
    if reasons.len() > MAX_REASONS {
        let message = format!("`failure_reasons` lists more than {MAX_REASONS} patterns");
        top.fault(problems, "failure_reasons", message, "put several into one, with `|`");
        return failures;
    }
    for reason in reasons {
        let pattern = reason.text(problems, "re");
        let kind = reason.word(problems, "kind").and_then(|word| word.parse().ok());
        let regex = pattern.and_then(|pattern| compiled(&reason, &pattern, problems));
        failures.reasons.extend(regex.zip(kind));
    }
    failures
}

fn compiled(reason: &Options<'_>, pattern: &str, problems: &mut Problems) -> Option<Regex> {
    match RegexBuilder::new(pattern).size_limit(MAX_REGEX).build() {
        Ok(regex) => Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            let message = format!("`re: {pattern}` is larger than {MAX_REGEX} bytes when compiled");
            reason.fault(problems, "re", message, "make it smaller, or split it");
            None
        }
        Err(_) => {
            let hint =
                "no look-around and no back-references; write `\\` before a character that stands for itself";
            reason.fault(problems, "re", format!("`re: {pattern}` is no regular expression"), hint);
            None
        }
    }
}

fn keep(top: &Options<'_>, problems: &mut Problems) -> Keep {
    let Some(map) = top.map(problems, "keep", &KEEP) else { return Keep::default() };
    let lasts = map.duration_in(problems, "for", (Millis::days(1), Millis::days(366)));
    let at_most = map.size(problems, "at_most");
    if at_most.is_some_and(|bytes| bytes < MIN_KEPT) {
        map.fault(problems, "at_most", "`at_most` is less than 10MB", "write `at_most: 20GB`");
    }
    Keep { lasts: lasts.unwrap_or(Keep::default().lasts), at_most }
}
