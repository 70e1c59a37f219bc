//! What of IAM a poller needs: a token for a password, the id of a project by its name, and the
//! temporary keys that the metadata service hands to a machine (`reference/huawei-api.md`, 8.2 and
//! 8.3). They live by the wall clock.

use serde_json::{Value, json};

use crate::record::{Millis, Timestamp};

use super::fault::iam;
use super::gate::{Gate, micros};
use super::{Answer, Request, User};

/// `POST /v3/auth/tokens`: 201 with the token in `X-Subject-Token`.
pub fn tokens(gate: &mut Gate, user: &User, project: &str, request: &Request<'_>, wall: Timestamp) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(request.body) else {
        let (status, body) = iam(400, "The request body is invalid", "Bad Request");
        return Answer::json(status, &body);
    };
    let given = &body["auth"]["identity"]["password"]["user"];
    let right = given["domain"]["name"] == user.domain.as_str()
        && given["name"] == user.name.as_str()
        && given["password"] == user.password.as_str();
    if !right {
        let (status, body) = iam(401, "The username or password is wrong.", "Unauthorized");
        return Answer::json(status, &body);
    }
    let (token, expires) = gate.issue(wall);
    let body = json!({"token": {
        "expires_at": micros(expires),
        "issued_at": micros(wall),
        "methods": ["password"],
        "project": {"id": project, "domain": {"name": user.domain}},
        "user": {"name": user.name, "domain": {"name": user.domain}},
    }});
    let mut answer = Answer::json(201, &body);
    answer.headers.push(("x-subject-token", token));
    answer
}

/// `GET /v3/projects?name=…`: the one project, whatever region it is asked for.
pub fn projects(project: &str, request: &Request<'_>) -> Answer {
    let query = request.query();
    let name = query.iter().find(|(key, _)| key == "name").map_or("simulated-1", |(_, name)| name.as_str());
    Answer::json(200, &json!({"projects": [{"id": project, "name": name, "enabled": true}], "links": {}}))
}

/// What has leave to ask for the machine's keys.
const METADATA_TOKEN: &str = "SIMULATED-METADATA-TOKEN";

/// `PUT /meta-data/latest/api/token`: leave to ask for the machine's keys, for so many seconds.
pub fn metadata_token(request: &Request<'_>) -> Answer {
    let seconds = request.header("x-metadata-token-ttl-seconds").and_then(|text| text.parse::<u32>().ok());
    if seconds.is_some_and(|seconds| (1..=21_600).contains(&seconds)) {
        return Answer::text(200, METADATA_TOKEN);
    }
    Answer::text(400, "Bad Request")
}

/// `GET /openstack/latest/securitykey`: the first temporary key there is. It may be asked for without
/// leave, not with a wrong one.
pub fn security_key(gate: &mut Gate, lives: Millis, request: &Request<'_>, wall: Timestamp) -> Answer {
    if request.header("x-metadata-token").is_some_and(|token| token != METADATA_TOKEN) {
        return Answer::text(401, "Unauthorized");
    }
    match gate.hand_out(lives, wall) {
        Some((key, expires)) => Answer::json(
            200,
            &json!({"credential": {
                "access": key.ak,
                "secret": key.sk,
                "securitytoken": key.security_token,
                "expires_at": micros(expires),
            }}),
        ),
        None => Answer::text(401, "Please configure Cloud Service Agency first"),
    }
}

/// 401 in IAM's own shape.
pub fn refused() -> Answer {
    let (status, body) = iam(401, "The request you have made requires authentication.", "Unauthorized");
    Answer::json(status, &body)
}
