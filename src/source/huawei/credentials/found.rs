//! Where a configuration finds its credentials, in the order that users of the SDK know: what the
//! configuration names, the environment, the profile file, the machine's metadata service.
//!
//! Everything is read through [`Secrets`], once, when the configuration is read.

use std::path::PathBuf;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{Credentials, Keeper, Login, Origin, Places};
use crate::config::{Options, Secrets};
use crate::rule::keys::{MapDoc, Open, Takes, may};
use crate::rule::problem::Problems;

/// Names of the environment: access key, secret key, security token, project. Those of the SDK, then
/// those of Terraform.
const VARIABLES: [[&str; 4]; 2] = [
    [
        "HUAWEICLOUD_SDK_AK",
        "HUAWEICLOUD_SDK_SK",
        "HUAWEICLOUD_SDK_SECURITY_TOKEN",
        "HUAWEICLOUD_SDK_PROJECT_ID",
    ],
    ["HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN", "HW_PROJECT_ID"],
];
/// Names the profile file, where it is not [`PROFILE`] in the home folder.
const PROFILE_VARIABLE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
const PROFILE: &str = ".huaweicloud/credentials";
/// The section of the profile file that is read.
const SECTION: &str = "basic";

pub(in crate::source::huawei) static CREDENTIALS: MapDoc = MapDoc {
    name: "`credentials`",
    about: "who asks; without it: the environment, the profile file, the machine's agency, in this order",
    open: Open::Closed,
    keys: &[
        may("ak", Takes::Secret, "the access key", "ak: env:HW_ACCESS_KEY"),
        may("sk", Takes::Secret, "its secret key", "sk: file:/run/credentials/larum/sk"),
        may(
            "security_token",
            Takes::Secret,
            "comes with a temporary access key",
            "security_token: env:HW_SECURITY_TOKEN",
        ),
        may("token", Takes::Secret, "a token of IAM, instead of a key", "token: env:HW_TOKEN"),
        may("user", Takes::Text, "an IAM user, for whose password IAM gives tokens", "user: larum"),
        may("password", Takes::Secret, "the user's password", "password: env:HW_USER_PASSWORD"),
        may("domain", Takes::Text, "the account that the user belongs to", "domain: example-account"),
        may(
            "from",
            Takes::Word(&["environment", "profile", "metadata"]),
            "the one place that is asked",
            "from: metadata",
        ),
    ],
};

/// What was found.
#[derive(Debug)]
pub(in crate::source::huawei) struct Found {
    pub keeper: Keeper,
    /// The project that goes with the credentials, where their place names one.
    pub project_id: Option<String>,
    /// Where IAM is, where their place says.
    pub iam: Option<String>,
}

impl Found {
    fn of(origin: Origin, held: Option<Credentials>) -> Self {
        Self { keeper: Keeper::new(origin, held), project_id: None, iam: None }
    }
}

/// Finds the credentials of a source; every fault is noted. `iam` and `metadata` are where to ask.
pub(in crate::source::huawei) fn read(
    options: &Options<'_>,
    secrets: &Secrets,
    region: &str,
    (iam, metadata): (Option<Url>, Url),
    problems: &mut Problems,
) -> Option<Found> {
    if !options.has("credentials") {
        return chain(options, secrets, metadata, problems);
    }
    let map = options.map(problems, "credentials", &CREDENTIALS)?;
    let given = |keys: &[&str]| keys.iter().any(|key| map.has(key));
    let kinds = [
        given(&["ak", "sk", "security_token"]),
        given(&["token"]),
        given(&["user", "password", "domain"]),
        given(&["from"]),
    ];
    if kinds.iter().filter(|kind| **kind).count() > 1 {
        let key = ["from", "user", "token"].into_iter().find(|key| map.has(key)).unwrap_or("ak");
        let hint = "keep one: `ak` and `sk`, or `token`, or `user` and `password`, or `from`";
        map.fault(problems, key, "`credentials` names two credentials", hint);
        return None;
    }
    if kinds[3] {
        let place = map.word(problems, "from")?;
        if secrets.dry {
            return Some(Found::of(Origin::Metadata(metadata), None));
        }
        return match place {
            "environment" => environment(&map, "from", secrets, problems)?.or_else(|| {
                let names = VARIABLES[0];
                let hint = format!("set `{}` and `{}` where larum runs", names[0], names[1]);
                map.fault(problems, "from", "the environment holds no access key", hint);
                None
            }),
            "profile" => profile(&map, "from", secrets, problems)?.or_else(|| {
                let hint = format!(
                    "write a section [{SECTION}] with ak and sk to {}",
                    profile_path(secrets).display()
                );
                map.fault(problems, "from", "there is no profile file", hint);
                None
            }),
            _ => Some(Found::of(Origin::Metadata(metadata), None)),
        };
    }
    if kinds[2] {
        return login(&map, options, secrets, region, iam, problems);
    }
    places(&map, options, secrets, problems)
}

/// The first place that has something; the machine's agency, where none has.
fn chain(options: &Options<'_>, secrets: &Secrets, metadata: Url, problems: &mut Problems) -> Option<Found> {
    if secrets.dry {
        return Some(Found::of(Origin::Metadata(metadata), None));
    }
    if let Some(found) = environment(options, "credentials", secrets, problems)? {
        return Some(found);
    }
    if let Some(found) = profile(options, "credentials", secrets, problems)? {
        return Some(found);
    }
    Some(Found::of(Origin::Metadata(metadata), None))
}

/// A key of the environment; the outer none is a fault, which is noted.
#[expect(clippy::option_option, reason = "a fault, nothing there, and something are three answers")]
fn environment(
    options: &Options<'_>,
    key: &str,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Option<Found>> {
    for [ak, sk, token, project] in VARIABLES {
        let set = |name: &str| secrets.is_set(name);
        if !set(ak) && !set(sk) {
            continue;
        }
        if let Some(missing) = [ak, sk].into_iter().find(|name| !set(name)) {
            let message = format!("the environment has one half of an access key and no `{missing}`");
            options.fault(problems, key, message, format!("set `{missing}` where larum runs"));
            return None;
        }
        let places = Places {
            secrets: secrets.clone(),
            key: Some((format!("env:{ak}"), format!("env:{sk}"))),
            token: set(token).then(|| format!("env:{token}")),
        };
        let mut found = read_places(places, options, key, problems)?;
        if let Ok(id) = secrets.read(&format!("env:{project}")) {
            found.project_id = Some(id.expose_secret().to_owned());
        }
        return Some(Some(found));
    }
    Some(None)
}

fn profile_path(secrets: &Secrets) -> PathBuf {
    let named = secrets.read(&format!("env:{PROFILE_VARIABLE}"));
    let path = named.map_or_else(
        |_| {
            let home = secrets.read("env:HOME");
            home.map_or_else(|_| PathBuf::from("/"), |home| PathBuf::from(home.expose_secret())).join(PROFILE)
        },
        |named| PathBuf::from(named.expose_secret()),
    );
    secrets.folder.join(path)
}

/// The profile file, as the SDK reads it.
#[derive(Debug, Clone)]
pub(in crate::source::huawei) struct Profile {
    path: PathBuf,
    secrets: Secrets,
}

impl Profile {
    fn text(&self) -> Result<SecretString, String> {
        let read = self.secrets.read(&format!("file:{}", self.path.display()));
        read.map_err(|fault| format!("{fault}; {}", fault.way_out()))
    }

    /// The key that stands there now.
    pub(super) fn read(&self) -> Result<Credentials, String> {
        let text = self.text()?;
        let value = |name: &str| ini(text.expose_secret(), SECTION, name);
        let missing = |name: &str| {
            let path = self.path.display();
            format!("section [{SECTION}] of `{path}` has no `{name}`; write `{name} = …` there")
        };
        Ok(Credentials::Key {
            access: value("ak").ok_or_else(|| missing("ak"))?.to_owned(),
            secret: value("sk").ok_or_else(|| missing("sk"))?.into(),
            security_token: value("security_token").map(SecretString::from),
        })
    }
}

/// A key of the profile file; the outer none is a fault, which is noted.
#[expect(clippy::option_option, reason = "a fault, nothing there, and something are three answers")]
fn profile(
    options: &Options<'_>,
    key: &str,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Option<Found>> {
    let profile = Profile { path: profile_path(secrets), secrets: secrets.clone() };
    if !profile.path.exists() {
        return Some(None);
    }
    match profile.text().and_then(|text| Ok((profile.read()?, text))) {
        Ok((held, text)) => {
            let value = |name: &str| ini(text.expose_secret(), SECTION, name).map(str::to_owned);
            let (project_id, iam) = (value("project_id"), value("iam_endpoint"));
            let keeper = Keeper::new(Origin::Profile(profile), Some(held));
            Some(Some(Found { keeper, project_id, iam }))
        }
        Err(fault) => {
            options.fault(problems, key, fault, "mend the profile file, or name `credentials` here");
            None
        }
    }
}

/// The value of `name` in a section of an INI file; none where it is empty.
fn ini<'t>(text: &'t str, section: &str, name: &str) -> Option<&'t str> {
    let mut within = false;
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = title.trim() == section;
        } else if within
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim().eq_ignore_ascii_case(name)
        {
            found = Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    found
}

fn login(
    map: &Options<'_>,
    options: &Options<'_>,
    secrets: &Secrets,
    region: &str,
    iam: Option<Url>,
    problems: &mut Problems,
) -> Option<Found> {
    if let Some(missing) = ["user", "password", "domain"].into_iter().find(|key| !map.has(key)) {
        let hint =
            "write `credentials: {user: larum, password: env:HW_USER_PASSWORD, domain: example-account}`";
        options.fault(problems, "credentials", format!("`credentials` needs `{missing}`"), hint);
        return None;
    }
    let (user, domain) = (map.text(problems, "user"), map.text(problems, "domain"));
    let password = map.secret(problems, secrets, "password");
    let login =
        Login { iam: iam?, user: user?, domain: domain?, password: password?, region: region.to_owned() };
    Some(Found::of(Origin::Login(login), None))
}

fn places(
    map: &Options<'_>,
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Found> {
    if !(map.has("token") || map.has("ak") && map.has("sk")) {
        let missing = if map.has("ak") { "sk" } else { "ak" };
        let hint = "write `credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}`, or a `token`";
        options.fault(problems, "credentials", format!("`credentials` needs `{missing}`"), hint);
        return None;
    }
    let mut sound = true;
    let mut place = |key: &str, problems: &mut Problems| {
        if !map.has(key) {
            return None;
        }
        sound &= map.secret(problems, secrets, key).is_some();
        map.text(problems, key)
    };
    let key = place("ak", problems).zip(place("sk", problems));
    let token = place(if map.has("token") { "token" } else { "security_token" }, problems);
    let places = Places { secrets: secrets.clone(), key, token };
    if sound { read_places(places, options, "credentials", problems) } else { None }
}

fn read_places(places: Places, options: &Options<'_>, key: &str, problems: &mut Problems) -> Option<Found> {
    match places.read() {
        Ok(held) => Some(Found::of(Origin::Places(places), Some(held))),
        Err(fault) => {
            options.fault(problems, key, fault.to_string(), fault.way_out());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_the_sdk_reads_it() {
        let text = "; old\nak = WRONG\n[global]\nak=G\n[basic]\n# mine\nAK = A\nsk: S=1\nsecurity_token =\n";
        assert_eq!(ini(text, "basic", "ak"), Some("A"));
        assert_eq!(ini(text, "basic", "sk"), Some("S=1"));
        assert_eq!(ini(text, "basic", "security_token"), None);
        assert_eq!(ini(text, "basic", "project_id"), None);
    }
}
