//! The proxy that the environment names, for those who ask for it: `proxy: environment`.
//!
//! Without the key no client takes one, whatever the environment says: it is set for somebody else's
//! programs more often than for this one, and who controls it reads every address. With the key all
//! clients to the network go through it alike: sources, receivers, heartbeat, doctor and exports. Never
//! through it go calls to this machine and to its metadata service; mail knows no proxy.

use reqwest::{ClientBuilder, NoProxy, Proxy, Url};

use super::Secrets;

/// What is on this machine is reached without a proxy.
const HERE: &str = "localhost,127.0.0.0/8,::1";

/// How clients reach the network: straight, unless some are named here.
#[derive(Clone, Default)]
pub struct Proxies {
    list: Vec<Proxy>,
    hosts: Vec<String>,
}

/// An address may hold a password.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.hosts).finish()
    }
}

/// A variable that names no proxy. What it holds is not told: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` in the environment names no proxy that speaks HTTP")]
pub(super) struct BadProxy(&'static str);

impl Proxies {
    /// Those of the environment; a variable in capitals stands before the same in small letters.
    pub(super) fn of_environment(secrets: &Secrets) -> Result<Self, BadProxy> {
        let value = |name: &str| secrets.variable(name).or_else(|| secrets.variable(&name.to_lowercase()));
        let not = value("NO_PROXY").map_or_else(|| HERE.to_owned(), |list| format!("{list},{HERE}"));
        let not = NoProxy::from_string(&not);
        let mut proxies = Self::default();
        // The first that is for an address is taken.
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            let Some(text) = value(name) else { continue };
            let text = text.trim();
            let spelt = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
            let url = spelt.parse::<Url>().ok().filter(|url| ["http", "https"].contains(&url.scheme()));
            let host = url.as_ref().and_then(Url::host_str).map(str::to_owned);
            let proxy = match name {
                "HTTPS_PROXY" => Proxy::https(spelt),
                "HTTP_PROXY" => Proxy::http(spelt),
                _ => Proxy::all(spelt),
            };
            let (Some(host), Ok(proxy)) = (host, proxy) else { return Err(BadProxy(name)) };
            proxies.list.push(proxy.no_proxy(not.clone()));
            proxies.hosts.push(host);
        }
        Ok(proxies)
    }

    /// A client that takes these and no others.
    pub fn client(&self, client: ClientBuilder) -> ClientBuilder {
        self.list.iter().cloned().fold(client.no_proxy(), ClientBuilder::proxy)
    }

    /// True where `host` is one of them: who connects to it asks for somebody else.
    pub fn is_one(&self, host: &str) -> bool {
        self.hosts.iter().any(|other| other.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_proxy_is_told_without_what_it_holds() {
        for (name, value) in [
            ("HTTPS_PROXY", "socks5://u:hunter2@proxy.example"),
            ("all_proxy", "http://"),
            ("HTTP_PROXY", "file:///hunter2"),
        ] {
            let fault = Proxies::of_environment(&Secrets::default().with(name, value)).unwrap_err();
            let told =
                format!("`{}` in the environment names no proxy that speaks HTTP", name.to_uppercase());
            assert_eq!(fault.to_string(), told);
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let secrets = Secrets::default().with("HTTPS_PROXY", "u:hunter2@Proxy.example:3128");
        let proxies = Proxies::of_environment(&secrets).unwrap();
        assert_eq!(format!("{proxies:?}"), "[\"proxy.example\"]");
        assert!(proxies.is_one("PROXY.example") && !proxies.is_one("proxy.exampl"));
    }
}
