//! The simulator's own paths, for those on this machine, without credentials:
//!
//! - `GET /simulate/state`: virtual now, rows born and left, requests by what they asked for,
//!   answers by status;
//! - `POST /simulate/clock` with `{"now": "2026-01-05T09:00:00Z"}`, `{"advance": "10m"}` or
//!   `{"speed": 60}`, several at once too: moved first, then run; answers the state;
//! - `POST /simulate/trouble` with one trouble or a list of them, as [`super::Trouble::from_json`]
//!   reads them; `GET` tells those that wait, `DELETE` calls all off.

use serde_json::{Map, Value, json};

use crate::record::{Millis, Timestamp};

use super::clock::MAX_SPEED;
use super::trouble::Trouble;
use super::{Answer, Request, Simulation};

/// Largest body of a control request.
const MAX_CONTROL: usize = 64 << 10;

/// Answers a request of the control paths; none where it is another one.
pub fn answer(simulation: &mut Simulation, request: &Request<'_>, wall: Timestamp) -> Option<Answer> {
    let path = request.path().strip_prefix("/simulate/").filter(|_| request.local)?;
    let done = match (request.method, path) {
        ("GET", "state") => Ok(state(simulation, wall)),
        ("POST", "clock") => clock(simulation, request.body, wall),
        ("POST", "trouble") => trouble(simulation, request.body),
        ("GET", "trouble") => Ok(waiting(simulation)),
        ("DELETE", "trouble") => {
            simulation.troubles().clear();
            Ok(waiting(simulation))
        }
        _ => {
            let paths = "there are GET /simulate/state, POST /simulate/clock, and POST, GET and DELETE of /simulate/trouble";
            let error = format!("no such control path; {paths}");
            return Some(Answer::json(404, &json!({ "error": error })));
        }
    };
    Some(match done {
        Ok(body) => Answer::json(200, &body),
        Err(fault) => Answer::json(400, &json!({"error": fault})),
    })
}

/// What `GET /simulate/state` tells.
pub fn state(simulation: &Simulation, wall: Timestamp) -> Value {
    let now = simulation.now(wall);
    let born = simulation.world.born(now);
    let all = simulation.world.len();
    let answers = simulation.answers.iter().map(|(status, count)| (status.to_string(), json!(count)));
    json!({
        "now": now.to_string(),
        "speed": simulation.clock.speed(),
        "rows": {"born": born, "left": all - born},
        // Every row is born and every end has come.
        "finished": simulation.world.complete().is_none_or(|last| last <= now),
        "last_change": simulation.world.complete().map(|last| last.to_string()),
        "requests": simulation.requests,
        "answers": answers.collect::<Map<String, Value>>(),
        // By virtual time.
        "busiest_minute": simulation.load.busiest,
        "most_401_in_a_row": simulation.load.refused.1,
        "troubles": simulation.troubles.waiting().len(),
    })
}

fn read(body: &[u8]) -> Result<Value, String> {
    if body.len() > MAX_CONTROL {
        return Err(format!("more than {MAX_CONTROL} bytes"));
    }
    serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
}

fn clock(simulation: &mut Simulation, body: &[u8], wall: Timestamp) -> Result<Value, String> {
    let Value::Object(moves) = read(body)? else {
        return Err("an object with `now`, `advance` or `speed`".to_owned());
    };
    let mut now = simulation.now(wall);
    let mut speed = simulation.clock.speed();
    for (name, value) in &moves {
        let text = value.as_str().unwrap_or_default();
        match name.as_str() {
            "now" => now = text.parse::<Timestamp>().map_err(|error| error.to_string())?,
            "advance" => now = now + Millis::parse(text).map_err(|error| error.to_string())?,
            "speed" => {
                let given = value.as_u64().and_then(|speed| u32::try_from(speed).ok());
                let given = given.filter(|speed| *speed <= MAX_SPEED);
                speed = given.ok_or_else(|| format!("`speed` is a whole number up to {MAX_SPEED}"))?;
            }
            other => return Err(format!("`{other}` is none of `now`, `advance` and `speed`")),
        }
    }
    simulation.clock.set(now, wall);
    simulation.clock.run_at(speed, wall);
    Ok(state(simulation, wall))
}

fn trouble(simulation: &mut Simulation, body: &[u8]) -> Result<Value, String> {
    let given = match read(body)? {
        Value::Array(all) => all,
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![one]
        }
    };
    let troubles: Result<Vec<Trouble>, _> = given.into_iter().map(Trouble::from_json).collect();
    for trouble in troubles.map_err(|error| error.to_string())? {
        simulation.troubles().add(trouble).map_err(|error| error.to_string())?;
    }
    Ok(waiting(simulation))
}

fn waiting(simulation: &Simulation) -> Value {
    let waiting = simulation.troubles.waiting().iter().map(Trouble::to_json);
    json!({"waiting": waiting.collect::<Vec<_>>()})
}
