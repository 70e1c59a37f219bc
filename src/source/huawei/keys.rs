//! What a `huawei` source is spelt like, and the values it comes to.

use std::net::IpAddr;

use reqwest::Url;
use secrecy::ExposeSecret;

use super::api::{Api, Service};
use super::client::Credentials;
use super::lane::Pace;
use super::place::KEPT;
use super::{APIS, region};
use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;

const EVERY: Millis = Millis::secs(30);
const SETTLE: Millis = Millis::secs(60);
const LOOKBACK: Millis = Millis::mins(15);
const SINCE: Millis = Millis::hours(24);
const PER_SECOND: u32 = 1;
const BURST: u32 = 5;
/// What the gateway allows by default; nothing beyond it makes sense.
const MAX_PER_SECOND: u32 = 200;
/// Requests at once.
const MAX_BURST: u32 = 1_000;

pub(super) static SOURCE: MapDoc = MapDoc {
    name: "a huawei source",
    about: "the audit records of one project",
    open: Open::Closed,
    keys: &[
        need("region", Takes::Text, "the project's region", "region: ap-southeast-3"),
        need(
            "project_id",
            Takes::Text,
            "the project, 32 hexadecimal digits",
            "project_id: 0123456789abcdef0123456789abcdef",
        ),
        need(
            "credentials",
            Takes::Map(&CREDENTIALS),
            "who asks: an access key, or a token",
            "credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}",
        ),
        may(
            "endpoints",
            Takes::Texts,
            "what is read: desktop_logins, app_logins and app_launches unless told; sessions and user_events besides",
            "endpoints: [desktop_logins, app_logins, app_launches]",
        ),
        may("every", Takes::Duration, "time between polls: 1s to 1h", "every: 30s"),
        may("settle", Takes::Duration, "how late a row may appear: at most 1h", "settle: 60s"),
        may(
            "lookback",
            Takes::Duration,
            "how much of what was read is read again: 1m to 24h",
            "lookback: 15m",
        ),
        may("since", Takes::Duration, "how far back at the first start", "since: 24h"),
        may(
            "requests",
            Takes::Map(&REQUESTS),
            "how many requests each host is asked",
            "requests: {per_second: 1, burst: 5}",
        ),
        may(
            "base_url",
            Takes::Map(&BASE_URL),
            "hosts other than the region's",
            "base_url: {workspace: https://workspace.example.com}",
        ),
    ],
};

pub(super) static CREDENTIALS: MapDoc = MapDoc {
    name: "`credentials`",
    about: "who asks: `ak` and `sk`, or `token`",
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
    ],
};

pub(super) static REQUESTS: MapDoc = MapDoc {
    name: "`requests`",
    about: "how many requests each host is asked",
    open: Open::Closed,
    keys: &[
        may("per_second", Takes::Whole(1, MAX_PER_SECOND), "requests a second", "per_second: 1"),
        may("burst", Takes::Whole(1, MAX_BURST), "requests at once", "burst: 5"),
    ],
};

pub(super) static BASE_URL: MapDoc = MapDoc {
    name: "`base_url`",
    about: "hosts other than the region's",
    open: Open::Closed,
    keys: &[
        may(
            "workspace",
            Takes::Text,
            "where desktop logins are asked for",
            "workspace: https://workspace.example.com",
        ),
        may(
            "workspaceapp",
            Takes::Text,
            "where logins and starts of applications are asked for",
            "workspaceapp: https://appstream.example.com",
        ),
    ],
};

/// What a source is built from.
#[derive(Debug)]
pub(super) struct Settings {
    pub region: String,
    pub project_id: String,
    pub credentials: Credentials,
    pub apis: Vec<&'static Api>,
    pub every: Millis,
    pub settle: Millis,
    pub lookback: Millis,
    pub since: Millis,
    pub per_second: u32,
    pub burst: u32,
    /// Of the services that the endpoints need.
    pub bases: Vec<(Service, Url)>,
}

impl Settings {
    /// Reads a source; every fault is noted.
    pub fn read(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors();
        let region = read_region(options, problems);
        let project_id = read_project(options, problems);
        let credentials = read_credentials(options, secrets, problems);
        let apis = read_endpoints(options, problems);
        let mut within = |key: &str, bounds: (Millis, Millis), default: Millis| {
            options.duration_in(problems, key, bounds).unwrap_or(default)
        };
        let every = within("every", (Millis::secs(1), Millis::hours(1)), EVERY);
        let settle = within("settle", (Millis::ZERO, Millis::hours(1)), SETTLE);
        let lookback = within("lookback", (Millis::mins(1), Millis::hours(24)), LOOKBACK);
        let since = options.duration(problems, "since").unwrap_or(SINCE);
        if since > KEPT {
            options.fault(
                problems,
                "since",
                format!("the service keeps {KEPT}"),
                format!("write `since: {KEPT}` or less"),
            );
        }
        let requests = options.map(problems, "requests", &REQUESTS);
        let mut number = |key: &str, default: u32| {
            requests.as_ref().and_then(|map| map.whole(problems, key)).unwrap_or(default)
        };
        let (per_second, burst) = (number("per_second", PER_SECOND), number("burst", BURST));
        let bases = region.as_deref().and_then(|region| read_bases(options, region, &apis, problems));
        if problems.errors() > before {
            return None;
        }
        Some(Self {
            region: region?,
            project_id: project_id?,
            credentials: credentials?,
            apis,
            every,
            settle,
            lookback,
            since,
            per_second,
            burst,
            bases: bases?,
        })
    }

    pub fn pace(&self, api: &Api) -> Pace {
        Pace {
            resolution: api.resolution,
            every: self.every,
            settle: self.settle,
            lookback: self.lookback,
            since: self.since,
        }
    }
}

fn read_region(options: &Options<'_>, problems: &mut Problems) -> Option<String> {
    let region = options.text(problems, "region")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.len() > 64 || !region.bytes().all(plain) {
        let message = format!("`{region}` is no region");
        options.fault(problems, "region", message, "write a name such as `ap-southeast-3`");
        return None;
    }
    Some(region)
}

fn read_project(options: &Options<'_>, problems: &mut Problems) -> Option<String> {
    let id = options.text(problems, "project_id")?;
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = format!("`{id}` is no project id");
        let hint = "write the 32 hexadecimal digits that the console shows under My Credentials";
        options.fault(problems, "project_id", message, hint);
        return None;
    }
    Some(id.to_ascii_lowercase())
}

fn read_credentials(
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Credentials> {
    let map = options.map(problems, "credentials", &CREDENTIALS)?;
    let keys = map.has("ak") || map.has("sk") || map.has("security_token");
    if map.has("token") {
        if keys {
            let hint = "keep `ak` and `sk`, which last, or `token`";
            map.fault(problems, "token", "a token and an access key are two credentials", hint);
            return None;
        }
        return map.secret(problems, secrets, "token").map(Credentials::Token);
    }
    if !map.has("ak") || !map.has("sk") {
        let missing = if map.has("ak") { "sk" } else { "ak" };
        let hint = "write `credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}`, or a `token`";
        options.fault(problems, "credentials", format!("`credentials` needs `{missing}`"), hint);
        return None;
    }
    let access = map.secret(problems, secrets, "ak");
    let secret = map.secret(problems, secrets, "sk");
    let security_token =
        if map.has("security_token") { Some(map.secret(problems, secrets, "security_token")?) } else { None };
    Some(Credentials::Key { access: access?.expose_secret().to_owned(), secret: secret?, security_token })
}

fn read_endpoints(options: &Options<'_>, problems: &mut Problems) -> Vec<&'static Api> {
    if !options.has("endpoints") {
        return APIS.into_iter().filter(|api| api.by_default).collect();
    }
    let known =
        || APIS.iter().map(|api| format!("`{}`", api.endpoint.as_str())).collect::<Vec<_>>().join(", ");
    let names = options.texts(problems, "endpoints");
    let mut apis: Vec<&'static Api> = Vec::new();
    for name in &names {
        match APIS.iter().find(|api| api.endpoint.as_str() == name) {
            Some(api) if apis.iter().any(|other| other.endpoint == api.endpoint) => {
                options.fault(problems, "endpoints", format!("`{name}` stands twice"), "keep one");
            }
            Some(api) => apis.push(api),
            None => {
                let hint = format!("known: {}", known());
                options.fault(problems, "endpoints", format!("there is no endpoint `{name}`"), hint);
            }
        }
    }
    if names.is_empty() {
        options.fault(problems, "endpoints", "nothing would be read", format!("known: {}", known()));
    }
    apis
}

fn read_bases(
    options: &Options<'_>,
    region: &str,
    apis: &[&Api],
    problems: &mut Problems,
) -> Option<Vec<(Service, Url)>> {
    let given = options.map(problems, "base_url", &BASE_URL);
    let mut bases = Vec::new();
    for (key, service) in [("workspace", Service::Workspace), ("workspaceapp", Service::WorkspaceApp)] {
        if let Some(map) = given.as_ref().filter(|map| map.has(key)) {
            match base(&map.text(problems, key)?) {
                Ok(url) => bases.push((service, url)),
                Err(fault) => map.fault(problems, key, fault, "write `https://` and a host"),
            }
        } else if !apis.iter().any(|api| api.service == service) {
            // Nobody asks there.
        } else if let Some(host) = region::host(region, service) {
            bases.extend(Url::parse(&format!("https://{host}")).map(|url| (service, url)));
        } else {
            let message = format!("the host of `{key}` in region `{region}` is not known");
            let hint = format!("name it: `base_url: {{{key}: https://…}}`");
            options.fault(problems, "region", message, hint);
        }
    }
    Some(bases)
}

/// A base address: signatures and tokens go over TLS, or stay on this machine.
fn base(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("`{text}` is no address"))?;
    let bare = url.query().is_none() && url.fragment().is_none();
    if url.host_str().is_none_or(str::is_empty)
        || !bare
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err("a base address is `https://`, a host, and perhaps a port and a path".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => {
            Err(format!("`{text}` would send credentials in the clear; plain http is for loopback only"))
        }
        _ => Err(format!("`{text}` is not https")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
