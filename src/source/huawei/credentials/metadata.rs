//! The keys of a machine's agency, which its metadata service lends
//! (`reference/huawei-api.md`, 8.2).

use reqwest::Url;
use serde::Deserialize;

use super::{Credentials, Held, NoCredentials};
use crate::record::{Millis, Timestamp};
use crate::source::huawei::client::{Http, Silence};
use crate::source::huawei::trouble::{Redactor, said_by};

/// Seconds that the token is asked for with which the keys are asked for.
const TOKEN_LASTS: &str = "21600";
/// When it is asked again after it did not answer.
const AGAIN: Millis = Millis::mins(1);
/// Where it is, in messages.
const NAME: &str = "the metadata service";

#[derive(Deserialize)]
struct Lent {
    credential: Key,
}

#[derive(Deserialize)]
struct Key {
    access: String,
    secret: String,
    securitytoken: String,
    expires_at: String,
}

/// The key that is lent now.
pub(super) async fn key(base: &Url, http: &Http, redactor: &Redactor) -> Result<Held, NoCredentials> {
    let at = |path: &str| {
        let mut url = base.clone();
        url.set_path(path);
        url
    };
    let request = http
        .metadata
        .put(at("/meta-data/latest/api/token"))
        .header("x-metadata-token-ttl-seconds", TOKEN_LASTS);
    let (answer, _) = http.read(request, redactor).await.map_err(silent)?;
    // An older service has no tokens.
    let token = (answer.status == 200).then(|| answer.body.trim().to_owned());
    let mut request = http.metadata.get(at("/openstack/latest/securitykey"));
    if let Some(token) = &token {
        request = request.header("x-metadata-token", token);
    }
    let (answer, _) = http.read(request, redactor).await.map_err(silent)?;
    if answer.status != 200 {
        let said = said_by(NAME, &answer, redactor);
        let text =
            format!("{said}; give this machine an agency that may read Workspace, or name `credentials`");
        return Err(NoCredentials { text, wait: Some(super::REFUSED) });
    }
    let lent: Lent = serde_json::from_str(&answer.body)
        .map_err(|_| NoCredentials { text: format!("{NAME} answered with no key"), wait: Some(AGAIN) })?;
    let key = lent.credential;
    Ok(Held {
        ends: Timestamp::parse(&key.expires_at),
        credentials: Credentials::Key {
            access: key.access,
            secret: key.secret.into(),
            security_token: Some(key.securitytoken.into()),
        },
    })
}

fn silent(silence: Silence) -> NoCredentials {
    let why = match silence {
        Silence::Unreachable(text) => text,
        Silence::Giant => "its answer is longer than 16 MiB".to_owned(),
    };
    let text = format!(
        "there are no credentials: none in the configuration, the environment or a profile file, and {NAME} of this \
         machine does not answer ({why}); write `credentials: {{ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}}`"
    );
    NoCredentials { text, wait: Some(AGAIN) }
}
