//! `script`

use std::sync::Arc;

use super::super::super::problem::Span;
use super::super::super::script::is_script_name;
use super::super::super::spec::{ScriptSpec, ScriptText};
use super::super::super::yaml::{self, Scalar};
use super::super::taken::{Taken, place};
use super::super::{Cx, suggest};

pub(super) fn script(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<ScriptSpec> {
    let keep = map.whole(cx, "keep").unwrap_or(1);
    let group = map.grouping(cx);
    let entry = map.get("when")?;
    let Some(scalar) = entry.value.scalar().filter(|scalar| !scalar.text.trim().is_empty()) else {
        cx.fault(place(entry), "`when` holds no script", format!("write `{}`", map.example("when")));
        return None;
    };
    if let Some(name) = file_name(scalar) {
        return Some(ScriptSpec { group, keep, when: beside(cx, name, entry.value.span)? });
    }
    let text: Arc<str> = scalar.text.as_str().into();
    let lines = yaml::line_starts(&cx.source, &entry.value);
    let first_line = lines.first().map_or(0, |first| cx.problems.position(*first).0);
    Some(ScriptSpec { group, keep, when: ScriptText { text, lines, first_line, file: None } })
}

/// The name of the file that holds the script, where one is named: no script is one word that ends so.
fn file_name(scalar: &Scalar) -> Option<&str> {
    let name = scalar.text.trim();
    let is_name = is_script_name(name) && !name.contains(|c: char| c.is_whitespace() || "(){};".contains(c));
    is_name.then_some(name)
}

/// The script in the file called `name` beside the rule.
fn beside(cx: &mut Cx<'_>, name: &str, span: Span) -> Option<ScriptText> {
    let folder = cx.problems.file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let path = format!("{folder}{name}");
    if let Some((file, text)) = cx.options.scripts.iter().find(|(file, _)| *file == path) {
        let text: Arc<str> = text.as_str().into();
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        return Some(ScriptText { text, lines, first_line: 1, file: Some(file.as_str().into()) });
    }
    let known = cx.options.scripts.iter().filter_map(|(file, _)| file.strip_prefix(&folder));
    let hint = match suggest::nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if name.contains('/') => {
            "a script stands in the rule's own folder: write its name alone".to_owned()
        }
        None => "put the file into the rule's folder, or write the script here: `when: |`".to_owned(),
    };
    cx.fault(span, format!("there is no script `{name}` beside this rule"), hint);
    None
}
