//! What a `huawei` source is spelt like, and the values it comes to.

use std::net::IpAddr;

use reqwest::Url;

use super::api::{Api, Service};
use super::credentials::{self, CREDENTIALS, Found, Keeper, is_id};
use super::filter::{self, FILTER, Filters};
use super::lane::Pace;
use super::lateness;
use super::place::KEPT;
use super::{APIS, region};
use crate::config::{Options, Proxies, Secrets};
use crate::record::Millis;
use crate::record::scan::Endpoint;
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;

const EVERY: Millis = Millis::secs(30);
const SETTLE: Millis = Millis::secs(60);
const LOOKBACK: Millis = Millis::mins(15);
const SINCE: Millis = Millis::hours(24);
/// Where a machine of the cloud is told about itself.
const METADATA: &str = "http://169.254.169.254";
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
        may(
            "project_id",
            Takes::Text,
            "the project, 32 hexadecimal digits; looked up by the region's name without it",
            "project_id: 0123456789abcdef0123456789abcdef",
        ),
        may(
            "credentials",
            Takes::Map(&CREDENTIALS),
            "who asks; without it: the environment, the profile file, the machine's agency, in this order",
            "credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}",
        ),
        may(
            "endpoints",
            Takes::Texts,
            "what is read: desktop_logins, app_logins and app_launches unless told; sessions and user_events besides",
            "endpoints: [desktop_logins, app_logins, app_launches]",
        ),
        may(
            "filter",
            Takes::Map(&FILTER),
            "what the service is asked by, an endpoint; no rule sees what it leaves out",
            "filter: {desktop_logins: {domain: corp.example}}",
        ),
        may("every", Takes::Duration, "time between polls: 1s to 1h", "every: 30s"),
        may(
            "settle",
            Takes::Or(&Takes::Duration, &Takes::Word(&["auto"])),
            "how late a row may appear: at most 1h; `auto` follows how late rows do appear",
            "settle: 60s",
        ),
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
        may("iam", Takes::Text, "where tokens and project ids come from", "iam: https://iam.example.com"),
        may(
            "metadata",
            Takes::Text,
            "where a machine's agency is asked for keys",
            "metadata: http://169.254.169.254",
        ),
    ],
};

/// What a source is built from.
#[derive(Debug)]
pub(super) struct Settings {
    pub region: String,
    /// None where it is to be looked up.
    pub project_id: Option<String>,
    pub keeper: Keeper,
    /// Where project ids are looked up.
    pub iam: Option<Url>,
    pub apis: Vec<&'static Api>,
    pub every: Millis,
    pub settle: Millis,
    pub settle_auto: bool,
    pub lookback: Millis,
    pub since: Millis,
    pub per_second: u32,
    pub burst: u32,
    /// Of the services that the endpoints need, and of others where they are known.
    pub bases: Vec<(Service, Url)>,
    pub filters: Vec<(Endpoint, Filters)>,
    /// How the service is reached.
    pub proxies: Proxies,
}

impl Settings {
    /// Reads a source; every fault is noted.
    pub fn read(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors();
        let region = read_region(options, problems);
        let project_id = read_project(options, problems);
        let apis = read_endpoints(options, problems);
        let endpoints: Vec<Endpoint> = apis.iter().map(|api| api.endpoint).collect();
        let filters = filter::read(options, &endpoints, problems);
        let mut within = |key: &str, bounds: (Millis, Millis), default: Millis| {
            options.duration_in(problems, key, bounds).unwrap_or(default)
        };
        let every = within("every", (Millis::secs(1), Millis::hours(1)), EVERY);
        let lookback = within("lookback", (Millis::mins(1), Millis::hours(24)), LOOKBACK);
        let settle_auto = is_auto(options);
        let settle = if settle_auto {
            lateness::BEGIN
        } else {
            let bounds = (Millis::ZERO, Millis::hours(1));
            options.duration_in(problems, "settle", bounds).unwrap_or(SETTLE)
        };
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
        let places = region.as_deref().map(|region| Places { options, secrets, region });
        let bases = places.as_ref().and_then(|places| places.bases(&apis, problems));
        let asked = places.as_ref().and_then(|places| places.credentials(problems));
        if problems.errors() > before {
            return None;
        }
        let asked = asked?;
        Some(Self {
            region: region?,
            project_id: project_id.or(asked.0.project_id),
            keeper: asked.0.keeper,
            iam: asked.1,
            apis,
            every,
            settle,
            settle_auto,
            lookback,
            since,
            per_second,
            burst,
            bases: bases?,
            filters,
            proxies: secrets.proxies.clone(),
        })
    }

    pub fn filters_of(&self, api: &Api) -> Filters {
        let found = self.filters.iter().find(|(endpoint, _)| *endpoint == api.endpoint);
        found.map(|(_, filters)| filters.clone()).unwrap_or_default()
    }

    pub fn pace(&self, api: &Api) -> Pace {
        Pace {
            resolution: api.resolution,
            every: self.every,
            settle: self.settle,
            settle_auto: self.settle_auto,
            lookback: self.lookback,
            since: self.since,
        }
    }
}

fn is_auto(options: &Options<'_>) -> bool {
    let scalar = options.node("settle").and_then(|node| node.scalar());
    scalar.is_some_and(|scalar| scalar.text.trim() == "auto")
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
    let id = if options.has("project_id") { options.text(problems, "project_id")? } else { return None };
    if !is_id(&id) {
        let message = format!("`{id}` is no project id");
        let hint = "write the 32 hexadecimal digits that the console shows under My Credentials";
        options.fault(problems, "project_id", message, hint);
        return None;
    }
    Some(id.to_ascii_lowercase())
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

/// Where everything is asked for: what the configuration says, else the environment, else the table.
struct Places<'p> {
    options: &'p Options<'p>,
    secrets: &'p Secrets,
    region: &'p str,
}

impl Places<'_> {
    /// The address that `base_url` gives for `key`; the outer none is a fault, which is noted.
    #[expect(clippy::option_option, reason = "a fault, nothing given, and an address are three answers")]
    fn given(&self, key: &str, problems: &mut Problems) -> Option<Option<Url>> {
        if !self.options.has("base_url") {
            return Some(None);
        }
        let map = self.options.map(problems, "base_url", &BASE_URL)?;
        if !map.has(key) {
            return Some(None);
        }
        let text = map.text(problems, key)?;
        // Keys are lent over this machine's own link.
        let own = key == "metadata" && text.trim_end_matches('/') == METADATA;
        match if own { Url::parse(&text).map_err(|error| error.to_string()) } else { base(&text) } {
            Ok(url) => Some(Some(url)),
            Err(fault) => {
                map.fault(problems, key, fault, "write `https://` and a host");
                None
            }
        }
    }

    /// The address that the environment gives, as the SDK reads it: the first of a list.
    fn exported(&self, service: Service) -> Option<Url> {
        let service = match service {
            Service::Workspace => "WORKSPACE",
            Service::WorkspaceApp => "WORKSPACEAPP",
        };
        let region = self.region.to_ascii_uppercase().replace('-', "_");
        let text = self.secrets.variable(&format!("HUAWEICLOUD_SDK_REGION_{service}_{region}"))?;
        base(text.split(',').next().unwrap_or_default().trim()).ok()
    }

    fn bases(&self, apis: &[&Api], problems: &mut Problems) -> Option<Vec<(Service, Url)>> {
        let mut bases = Vec::new();
        for (key, service) in [("workspace", Service::Workspace), ("workspaceapp", Service::WorkspaceApp)] {
            if let Some(url) = self.given(key, problems)? {
                bases.push((service, url));
            } else if let Some(url) = self.exported(service) {
                bases.push((service, url));
            } else if let Some(host) = region::host(self.region, service) {
                bases.extend(Url::parse(&format!("https://{host}")).map(|url| (service, url)));
            } else if apis.iter().any(|api| api.service == service) {
                let message = format!("the host of `{key}` in region `{}` is not known", self.region);
                let hint = format!("name it: `base_url: {{{key}: https://…}}`");
                self.options.fault(problems, "region", message, hint);
            }
        }
        Some(bases)
    }

    /// The credentials, and where IAM is.
    fn credentials(&self, problems: &mut Problems) -> Option<(Found, Option<Url>)> {
        let given = self.given("iam", problems)?;
        let usual = || Url::parse(&format!("https://{}", region::iam(self.region))).ok();
        let metadata = match self.given("metadata", problems)? {
            Some(url) => url,
            None => Url::parse(METADATA).ok()?,
        };
        let iam = given.clone().or_else(usual);
        let found =
            credentials::read(self.options, self.secrets, self.region, (iam.clone(), metadata), problems)?;
        let named = found.iam.as_deref().and_then(|text| base(text).ok());
        let iam = given.or(named).or(iam);
        if let Some(id) = found.project_id.as_deref().filter(|id| !is_id(id)) {
            let message = format!("`{id}`, which stands beside the credentials, is no project id");
            self.options.fault(problems, "credentials", message, "write `project_id` here");
        }
        Some((found, iam))
    }
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
