//! What IAM is asked: a token for a user's password, the id of a project by its name
//! (`reference/huawei-api.md`, 8.2 and 8.3).

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Credentials, Held, NoCredentials, REFUSED};
use crate::record::{Millis, Timestamp};
use crate::source::huawei::api::{Call, Method};
use crate::source::huawei::client::{Http, Requests, Silence, host_of};
use crate::source::huawei::trouble::{Redactor, said_by};

/// When IAM is asked again after it did not answer.
const AGAIN: Millis = Millis::mins(1);

/// A user and where IAM is.
#[derive(Debug, Clone)]
pub(in crate::source::huawei) struct Login {
    pub iam: Url,
    pub user: String,
    /// The account's name.
    pub domain: String,
    pub password: SecretString,
    /// The project's name.
    pub region: String,
}

#[derive(Deserialize)]
struct TokenBody {
    token: Issued,
}

#[derive(Deserialize)]
struct Issued {
    expires_at: String,
}

/// A token for the user's password.
pub(super) async fn token(login: &Login, http: &Http, redactor: &Redactor) -> Result<Held, NoCredentials> {
    let body = serde_json::json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "domain": {"name": login.domain}, "name": login.user, "password": login.password.expose_secret(),
        }}},
        "scope": {"project": {"name": login.region}},
    }});
    let mut url = login.iam.clone();
    url.set_path(&format!("{}/v3/auth/tokens", login.iam.path().trim_end_matches('/')));
    url.set_query(Some("nocatalog=true"));
    let host = host_of(&login.iam);
    let request =
        http.service.post(url).header("content-type", "application/json;charset=utf8").body(body.to_string());
    let (answer, headers) = http.read(request, redactor).await.map_err(|silence| silent(&host, silence))?;
    let token = headers.get("x-subject-token").and_then(|value| value.to_str().ok());
    match (answer.status, token) {
        (201, Some(token)) => {
            let ends = serde_json::from_str::<TokenBody>(&answer.body)
                .ok()
                .and_then(|body| Timestamp::parse(&body.token.expires_at));
            Ok(Held { credentials: Credentials::Token(token.into()), ends })
        }
        (401, _) => Err(NoCredentials {
            text: format!(
                "{}; IAM refuses the user of `credentials`: check `user`, `password` and `domain` (it must be an IAM \
                 user, and one without a second factor); nothing more is asked until the configuration \
                 changes",
                said_by(&host, &answer, redactor)
            ),
            wait: None,
        }),
        (400..=499, _) if answer.status != 429 => Err(NoCredentials {
            text: format!("{}; check `region` and `credentials`", said_by(&host, &answer, redactor)),
            wait: Some(REFUSED),
        }),
        _ => Err(NoCredentials { text: said_by(&host, &answer, redactor), wait: Some(AGAIN) }),
    }
}

fn silent(host: &str, silence: Silence) -> NoCredentials {
    let text = match silence {
        Silence::Unreachable(text) => format!("cannot ask `{host}`: {text}"),
        Silence::Giant => format!("the answer of `{host}` is longer than 16 MiB"),
    };
    NoCredentials {
        text: format!("{text}; name the host in `base_url: {{iam: https://…}}`"),
        wait: Some(AGAIN),
    }
}

#[derive(Deserialize)]
struct Projects {
    #[serde(default)]
    projects: Vec<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}

/// The id of the project that is called as its region is. The text of a failure says the way out.
pub(in crate::source::huawei) async fn project(
    requests: &Requests,
    iam: &Url,
    region: &str,
    now: Timestamp,
) -> Result<String, String> {
    let call = Call {
        method: Method::Get,
        path: "/v3/projects".to_owned(),
        query: vec![("name".to_owned(), region.to_owned())],
        body: String::new(),
    };
    let host = host_of(iam);
    let way_out = "write `project_id`, which the console shows under My Credentials";
    let (answer, _) = requests.send(iam, &call, now).await;
    let answer = answer.map_err(|silence| {
        let NoCredentials { text, .. } = silent(&host, silence);
        format!("the id of the project `{region}` cannot be looked up: {text}; or {way_out}")
    })?;
    let redactor = &requests.redactor;
    if answer.status != 200 {
        return Err(format!(
            "the id of the project `{region}` cannot be looked up: {}; check `credentials`, or {way_out}",
            said_by(&host, &answer, redactor)
        ));
    }
    let found: Projects = serde_json::from_str(&answer.body)
        .map_err(|_| format!("`{host}` answered with no list of projects; {way_out}"))?;
    match found.projects.as_slice() {
        [one] if is_id(&one.id) => Ok(one.id.to_ascii_lowercase()),
        [_] => Err(format!("`{host}` answered with an odd project id; {way_out}")),
        [] => {
            Err(format!("IAM knows no project `{region}` of these credentials: check `region`, or {way_out}"))
        }
        many => Err(format!("IAM knows {} projects `{region}` of these credentials; {way_out}", many.len())),
    }
}

/// 32 hexadecimal digits.
pub(in crate::source::huawei) fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
