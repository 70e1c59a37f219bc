//! What of IAM a poller needs: a token for a password, the id of a project by its name, and the
//! temporary keys that the metadata service hands to a machine (`reference/huawei-api.md`, 8.2 and
//! 8.3). They live by the wall clock.

use serde_json::{Value, json};

use crate::record::Timestamp;

use super::fault::iam;
use super::gate::{Gate, Key, TOKEN_LIVES, micros};
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

/// `GET /openstack/latest/securitykey`: the first temporary key there is.
pub fn security_key(keys: &[Key], wall: Timestamp) -> Answer {
    let temporary = keys.iter().find_map(|key| Some((key, key.security_token.as_ref()?)));
    match temporary {
        Some((key, token)) => Answer::json(
            200,
            &json!({"credential": {
                "access": key.ak,
                "secret": key.sk,
                "securitytoken": token,
                "expires_at": micros(wall + TOKEN_LIVES),
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
