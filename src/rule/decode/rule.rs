//! The top level of a rule file.

use super::super::case::check_names;
use super::super::doubts;
use super::super::hours::{BadSpan, DAYS, Hours, MAX_SPANS, WeekSpan};
use super::super::keys::{ALERT, COOLDOWN, EXCEPTION, HOURS, LEVEL_LINE, RULE, VERBS};
use super::super::problem::Span;
use super::super::spec::{
    About, AlertText, Cooldown, Exception, Expr, Grouping, LevelLine, Mode, Spec, Verb,
};
use super::super::template::{Form, Text};
use super::super::yaml::{Entry, Kind, Node};
use super::condition::{Defaults, expression, of_map};
use super::taken::{Taken, first_key};
use super::{Cx, Options, cases, suggest, values, verbs};
use crate::record::{FieldName, Level, Millis, RuleId, Timestamp};

/// What a rule is called here whose id is missing or none: it does not load.
const NAMELESS: &str = "nameless";

/// How late a record may come where the rule does not say.
const LATE_WITHIN: Millis = Millis::hours(1);

/// The rule in `root`.
pub(super) fn rule(cx: &mut Cx<'_>, root: &Node) -> Option<Spec> {
    let sigma = root.map().and_then(|entries| {
        let key = |name: &str| entries.iter().find(|entry| entry.key.text == name);
        key("detection").or_else(|| key("correlation"))
    });
    if let Some(entry) = sigma {
        let hint =
            "put it into the folder of the Sigma documents (`sigma:` in the configuration, or `--sigma`)";
        let message = format!("`{}` makes this a Sigma document, not a Larum rule", entry.key.text);
        cx.fault(entry.key.span, message, hint);
        return None;
    }
    let map = Taken::open(cx, root, &RULE, first_key(root), "rule: failure-burst")?;
    cx.lists.known = cx.options.lists.to_vec();
    if cx.options.lists_of_tests {
        cx.lists.known.extend(cases::lists_given(root));
    }
    // A map under a key that there is not may be a verb.
    let strange = |entry: &Entry| RULE.key(&entry.key.text).is_none() && entry.value.map().is_some();
    let hidden_verb = root.map().unwrap_or_default().iter().any(strange);
    let id = id(cx, &map);
    let title = map.text(cx, "title");
    if let Some(entry) = map.get("title").filter(|_| title.as_deref().is_some_and(is_template)) {
        let hint = "put it under `alert: {title: …}`, and say here what the rule is for";
        cx.warn(entry.value.span, "the rule's `title` is shown as it stands, and is no template", hint);
    }
    let level = level(cx, &map);
    let matches = map.get("match").and_then(|entry| expression(cx, entry, Defaults::Login));
    let before = cx.problems.errors();
    let found = verbs::verbs(cx, &map);
    // Texts and tests use the verb's names: against half a verb they would be blamed for its faults.
    let verb_is_sure = !hidden_verb && cx.problems.errors() == before;
    let matches = found.first().and_then(verbs::any_step).or(matches);
    if let (Some(Verb::Sequence(_)), Some(entry)) = (found.first(), map.get("match")) {
        let hint = "put its conditions into the steps, and take `match` out";
        cx.fault(entry.key.span, "the steps of a sequence match by themselves", hint);
    }
    let mut verb = found.first().cloned();
    if let (Some(Verb::Overlap(overlap)), Some(matches), Some(entry)) =
        (&mut verb, &matches, map.get("match"))
    {
        verbs::sessions(cx, overlap, matches, entry.key.span);
    }
    let except = map.maps(cx, "except", &EXCEPTION).iter().filter_map(|map| exception(cx, map)).collect();
    let levels = map.maps(cx, "levels", &LEVEL_LINE).iter().filter_map(|map| level_line(cx, map)).collect();
    let cooldown = cooldown(cx, &map, verb.as_ref());
    let late_within =
        if map.is_off("late_within") { Some(Millis::ZERO) } else { map.duration(cx, "late_within") };
    let quiet_while = quiet_while(cx, &map, id.as_ref().map(|(id, _)| id));
    let mode = if map.word(cx, "mode") == Some("observe") { Mode::Observe } else { Mode::Live };
    let notify = notify(cx, &map);
    let alert = alert(cx, &map);
    let about = about(cx, &map);
    let tests = cases::cases(cx, &map);
    let hours = hours(cx, &map);
    let at = id.as_ref().map_or(first_key(root), |(_, span)| *span);
    if !verb_is_sure {
        // There will be no rule to look at; what it matches, and what its texts are, can be looked at here.
        if let Some(matches) = &matches {
            doubts::note_logins(matches, verb.as_ref(), at, &mut cx.problems);
        }
        let scope = verbs::scope_of_faulty(cx, &map, &found);
        let scope = if hidden_verb { scope.and_others() } else { scope };
        let scope = scope.with(cx.options.declared.iter().map(String::as_str));
        for (text, form) in [(&alert.title, Form::Title), (&alert.runbook, Form::Runbook)] {
            if let Some(text) = text {
                Text::compile(text, form, &scope, &mut cx.problems);
            }
        }
        check_names(&tests, &scope, &mut cx.problems);
        return None;
    }
    // What is missing here is told already; the rest of the rule can still be looked at.
    let (id, id_span) = id.or_else(|| Some((NAMELESS.parse().ok()?, at)))?;
    let title = title.unwrap_or_default();
    let level = level.unwrap_or(Level::Informational);
    let matches = if matches!(verb, Some(Verb::Risk(_))) {
        only_alerts(cx, &map);
        Expr::Any(Vec::new())
    } else {
        matches.unwrap_or(Expr::All(Vec::new()))
    };
    Some(Spec {
        semantics: cx.options.semantics,
        id,
        id_span,
        title,
        level,
        matches,
        per_row: false,
        declared: cx.options.declared.to_vec(),
        lists: cx.lists.clone(),
        hours,
        verb,
        except,
        levels,
        cooldown,
        late_within: late_within.unwrap_or(LATE_WITHIN),
        quiet_while,
        mode,
        notify,
        alert,
        about,
        tests,
    })
}

/// Receivers that the rule names; one that the configuration does not have is a fault.
fn notify(cx: &mut Cx<'_>, map: &Taken<'_>) -> Vec<String> {
    let named = map.texts(cx, "notify");
    if let Some(known) = cx.options.receivers {
        for (name, span) in named.iter().filter(|(name, _)| !known.contains(name)) {
            let hint = match suggest::nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the configuration has {}", known.join(", ")),
            };
            cx.problems.error_hint(*span, format!("no receiver is called `{name}`"), hint);
        }
    }
    named.into_iter().map(|(name, _)| name).collect()
}

/// Whose past the rule's conditions ask about: what the verb's `by` says, or the cooldown's; where
/// neither says anything, the user's. What is wrong with a `by` is told where it is decoded.
pub(super) fn group_of_facts(root: &Node, options: &Options<'_>) -> Vec<FieldName> {
    let groups = root.map().unwrap_or_default().iter().filter(|entry| {
        let key = entry.key.text.as_str();
        VERBS.contains(&key) || key == "cooldown"
    });
    let by = groups
        .filter_map(|entry| entry.value.map())
        .find_map(|entries| entries.iter().find(|entry| entry.key.text == "by"));
    let Some(by) = by else { return FieldName::resolve("user").into_iter().collect() };
    let nodes = match &by.value.kind {
        Kind::List(nodes) => nodes.as_slice(),
        Kind::Scalar(_) | Kind::Map(_) => std::slice::from_ref(&by.value),
    };
    let field = |node: &Node| {
        let text = &node.scalar()?.text;
        let declared = || options.declared.contains(text).then(|| FieldName::declared(text));
        FieldName::resolve(text).or_else(declared)
    };
    nodes.iter().filter_map(field).collect()
}

/// A rule that is about risk looks at no records.
fn only_alerts(cx: &mut Cx<'_>, map: &Taken<'_>) {
    for name in ["match", "except", "levels"] {
        if let Some(entry) = map.get(name) {
            let message = format!("`risk` looks at other rules' alerts, and `{name}` at records");
            cx.fault(entry.key.span, message, format!("take `{name}` out"));
        }
    }
}

fn id(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<(RuleId, Span)> {
    let text = map.text(cx, "rule")?;
    let span = map.get("rule")?.value.span;
    match text.parse::<RuleId>() {
        Ok(id) => Some((id, span)),
        Err(error) => {
            let help = match RuleId::nearest(&text) {
                Some(near) => format!("write `rule: {near}`"),
                None => "write a name of these, such as `rule: failure-burst`".to_owned(),
            };
            cx.fault(span, error.to_string(), help);
            None
        }
    }
}

fn level(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Level> {
    let word = map.word(cx, "level")?;
    Level::ALL.into_iter().find(|level| level.as_str() == word)
}

fn exception(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Exception> {
    let entries = map.rest();
    if entries.is_empty() {
        cx.fault(
            map.at,
            "an entry of `except` names no field, and would except every record",
            "name the records: `public_ip|cidr: 203.0.113.0/24`",
        );
    }
    let matches = of_map(cx, &entries, &["because", "until"]);
    let because = map.text(cx, "because");
    let until = map.get("until").map(|_| until(cx, map));
    match until {
        Some(None) => None,
        until => Some(Exception { matches: matches?, because: because?, until: until.flatten() }),
    }
}

/// The instant at which `until` of a map is over.
pub(super) fn until(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Timestamp> {
    let text = map.text(cx, "until")?;
    let until = values::day_end(&text, cx.options.zone);
    if until.is_none() {
        let span = map.get("until").map_or(map.at, |entry| entry.value.span);
        let hint = "write a day as `2027-01-31` or an instant as `2027-01-31T18:00:00Z`; without `until` it is for good";
        cx.fault(span, format!("`until: {text}` is no day"), hint);
    }
    until
}

fn level_line(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<LevelLine> {
    let level = level(cx, map);
    let when = map.get("when").and_then(|entry| expression(cx, entry, Defaults::None));
    Some(LevelLine { level: level?, when: when? })
}

fn cooldown(cx: &mut Cx<'_>, rule: &Taken<'_>, verb: Option<&Verb>) -> Option<Cooldown> {
    let entry = rule.get("cooldown")?;
    let restarts = matches!(verb, Some(Verb::Count(count)) if count.restart);
    if rule.is_off("cooldown") {
        return Some(Cooldown::Off);
    }
    if restarts {
        cx.fault(
            entry.key.span,
            "a count with `restart: true` has no cooldown",
            "take out `cooldown` or `restart`",
        );
    }
    let Kind::Map(_) = entry.value.kind else {
        return rule
            .duration(cx, "cooldown")
            .map(|lasts| Cooldown::For { lasts, group: Grouping::default() });
    };
    let map = rule.map(cx, "cooldown", &COOLDOWN)?;
    let lasts = map.duration(cx, "for");
    let group = map.grouping(cx);
    let named = map.get("by").or(map.get("missing"));
    if let (Some(_), Some(by)) = (verb, named) {
        let message = format!("the verb has its group already, so `{}` cannot stand here", by.key.text);
        cx.fault(by.key.span, message, "write `cooldown: 1h`; it holds for each group of the verb");
    }
    Some(Cooldown::For { lasts: lasts?, group })
}

/// Whether somebody meant values to be put into this text.
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn hours(cx: &mut Cx<'_>, rule: &Taken<'_>) -> Option<Hours> {
    let map = rule.map(cx, "hours", &HOURS)?;
    let before = cx.problems.errors();
    let zone = match map.text(cx, "zone") {
        None => cx.options.zone,
        Some(name) => suggest::zone(&name).unwrap_or_else(|hint| {
            let span = map.get("zone").map_or(map.at, |entry| entry.value.span);
            cx.fault(span, format!("there is no time zone `{name}`"), hint);
            cx.options.zone
        }),
    };
    let (inside, spelt) = match (map.get("inside"), map.get("outside")) {
        (Some(entry), None) => (true, entry),
        (None, Some(entry)) => (false, entry),
        (Some(_), Some(other)) => {
            let hint = "keep one of them: `outside` is every time that its spans leave out";
            cx.fault(other.key.span, "`inside` and `outside` do not go together", hint);
            return None;
        }
        (None, None) => {
            let hint = "add `outside: \"Mon-Fri 08:00-19:00\"`, or the same with `inside`";
            cx.fault(map.at, "`hours` needs `inside` or `outside`", hint);
            return None;
        }
    };
    let nodes = match &spelt.value.kind {
        Kind::List(nodes) if (1..=MAX_SPANS).contains(&nodes.len()) => nodes.as_slice(),
        Kind::List(nodes) => {
            let (message, hint) = if nodes.is_empty() {
                ("it lists no span".to_owned(), "write `\"Mon-Fri 08:00-19:00\"`")
            } else {
                (format!("it lists more than {MAX_SPANS} spans"), "join days: `Mon,Wed,Fri 08:00-19:00`")
            };
            cx.fault(spelt.value.span, message, hint);
            return None;
        }
        Kind::Scalar(_) | Kind::Map(_) => std::slice::from_ref(&spelt.value),
    };
    let spans = nodes.iter().filter_map(|node| span_of(cx, node, &spelt.key.text)).collect();
    (cx.problems.errors() == before).then_some(Hours { zone, inside, spans })
}

fn span_of(cx: &mut Cx<'_>, node: &Node, key: &str) -> Option<WeekSpan> {
    let hint = |bad: &BadSpan| match bad {
        BadSpan::Day(_) => format!("days are {}; several are `Mon-Fri` or `Mon,Wed`", DAYS.join(", ")),
        BadSpan::Time(_) => "times are 00:00 to 23:59, and 24:00 for the end of a day".to_owned(),
        BadSpan::Empty(_) => "the whole day is `00:00-24:00`".to_owned(),
        BadSpan::Unreadable(_) => format!("write `{key}: \"Mon-Fri 08:00-19:00\"`"),
    };
    let text = match node.scalar() {
        Some(scalar) if !scalar.is_null() => scalar.text.as_str(),
        Some(_) | None => "",
    };
    match WeekSpan::parse(text) {
        Ok(span) => Some(span),
        Err(bad) => {
            let at = if node.span.start == node.span.end {
                Span { start: node.span.start.saturating_sub(1), end: node.span.end }
            } else {
                node.span
            };
            cx.fault(at, bad.to_string(), hint(&bad));
            None
        }
    }
}

/// The rules that `quiet_while` names; whether there are such rules is seen when all are loaded.
fn quiet_while(cx: &mut Cx<'_>, rule: &Taken<'_>, own: Option<&RuleId>) -> Vec<(RuleId, Span)> {
    let mut list: Vec<(RuleId, Span)> = Vec::new();
    for (text, span) in rule.texts(cx, "quiet_while") {
        match text.parse::<RuleId>() {
            Ok(id) if Some(&id) == own => {
                cx.fault(span, "a rule cannot wait for itself", "name another rule");
            }
            Ok(id) if list.iter().any(|(other, _)| *other == id) => {
                cx.fault(span, format!("`{id}` stands twice in `quiet_while`"), "take one of them out");
            }
            Ok(id) => list.push((id, span)),
            Err(error) => cx.fault(span, error.to_string(), "write the id of a rule"),
        }
    }
    list
}

fn alert(cx: &mut Cx<'_>, rule: &Taken<'_>) -> AlertText {
    let Some(map) = rule.map(cx, "alert", &ALERT) else { return AlertText::default() };
    let title = map.template(cx, "title");
    let show = map.fields(cx, "show");
    let runbook = map.template(cx, "runbook");
    AlertText { title, show, runbook }
}

fn about(cx: &mut Cx<'_>, map: &Taken<'_>) -> About {
    let texts = |cx: &mut Cx<'_>, name| map.texts(cx, name).into_iter().map(|(text, _)| text).collect();
    About {
        why: map.text(cx, "why"),
        attack: techniques(cx, map),
        falsepositives: texts(cx, "falsepositives"),
        tags: texts(cx, "tags"),
        status: map.word(cx, "status").map(str::to_owned),
        description: map.text(cx, "description"),
        references: texts(cx, "references"),
        author: map.text(cx, "author"),
        date: map.text(cx, "date"),
    }
}

/// `T1234` or `T1234.001`.
fn techniques(cx: &mut Cx<'_>, map: &Taken<'_>) -> Vec<String> {
    let mut list = Vec::new();
    for (text, span) in map.texts(cx, "attack") {
        if is_technique(&text) {
            list.push(text);
            continue;
        }
        let bare = text.rsplit('.').next().unwrap_or(&text);
        let upper = text.strip_prefix("attack.").unwrap_or(&text).to_uppercase();
        let upper = if upper.starts_with('T') { upper } else { format!("T{upper}") };
        let hint = if is_technique(&upper) {
            format!("write `{upper}`")
        } else if suggest::nearest(bare, ["initial_access", "credential_access", "persistence"]).is_some() {
            "name the technique, such as T1110, not the tactic".to_owned()
        } else {
            "write it as T1110 or T1110.001".to_owned()
        };
        cx.fault(span, format!("`{text}` is no ATT&CK technique"), hint);
    }
    list
}

fn is_technique(text: &str) -> bool {
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = text.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((main, sub)) => digits(main, 4) && digits(sub, 3),
        None => digits(rest, 4),
    }
}
