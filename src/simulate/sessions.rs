//! What can be done about sessions besides listing them: those of one user, and ending them.

use serde_json::{Map, Value, json};

use crate::record::Timestamp;

use super::dress::spell;
use super::fault::Fault;
use super::what::Spelling;
use super::world::{List, World, time_in};
use super::{Answer, Request};

/// Sessions that are ended at once.
const MAX_ENDED: usize = 999;
/// What this operation says of a session that is open.
const NOT_ENDED: &str = "0001-01-01 00:00:00";

/// `GET /v1/{project_id}/session/user-session-info`: the open sessions of one user. Its times have
/// no zone and its ends are never absent (`reference/huawei-api.md`, 5.1).
pub fn of_user(world: &World, request: &Request<'_>, now: Timestamp) -> Result<Answer, Fault> {
    let query = request.query();
    let user = query.iter().find(|(key, value)| key == "user_name" && !value.is_empty());
    let (_, user) = user.ok_or_else(|| Fault::parameter("user_name is required."))?;
    let rows = world.rows(List::Sessions).iter();
    let open =
        rows.filter(|row| row.born.is_none_or(|born| born <= now) && row.end.is_none_or(|end| end > now));
    let shown = open.map(|row| row.at(List::Sessions, now));
    let shown: Vec<Value> = shown
        .filter(|fields| fields.get("login_user").and_then(Value::as_str) == Some(user))
        .map(|fields| Value::Object(spaced(fields)))
        .collect();
    Ok(Answer::json(200, &json!({"session_info_list": shown})))
}

fn spaced(mut fields: Map<String, Value>) -> Map<String, Value> {
    let names: Vec<String> = fields.keys().filter(|name| name.ends_with("_time")).cloned().collect();
    for name in names {
        if let Some(time) = time_in(&fields, &name) {
            fields.insert(name, spell(Spelling::Spaced, time).into());
        }
    }
    fields.insert("end_time".to_owned(), NOT_ENDED.into());
    fields
}

/// `POST /v1/{project_id}/session/logoff`: read with care, and nothing is ended: the rows are what
/// they will be.
pub fn logoff(request: &Request<'_>) -> Result<Answer, Fault> {
    let body: Value =
        serde_json::from_slice(request.body).map_err(|_| Fault::message("It is no JSON object."))?;
    let count = body["session_ids"].as_array().map_or(0, Vec::len);
    if !(1..=MAX_ENDED).contains(&count) {
        return Err(Fault::parameter(&format!("session_ids is no list of 1 to {MAX_ENDED} texts.")));
    }
    Ok(Answer::text(200, ""))
}
