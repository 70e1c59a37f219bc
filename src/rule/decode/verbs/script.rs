//! `script`

use std::sync::Arc;

use super::super::super::spec::{ScriptSpec, ScriptText};
use super::super::super::yaml;
use super::super::Cx;
use super::super::taken::{Taken, place};

pub(super) fn script(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<ScriptSpec> {
    let keep = map.whole(cx, "keep").unwrap_or(1);
    let group = map.grouping(cx);
    let entry = map.get("when")?;
    let Some(scalar) = entry.value.scalar().filter(|scalar| !scalar.text.trim().is_empty()) else {
        cx.fault(place(entry), "`when` holds no script", format!("write `{}`", map.example("when")));
        return None;
    };
    let text: Arc<str> = scalar.text.as_str().into();
    let lines = yaml::line_starts(&cx.source, &entry.value);
    let first_line = lines.first().map_or(0, |first| cx.problems.position(*first).0);
    Some(ScriptSpec { group, keep, when: ScriptText { text, lines, first_line } })
}
