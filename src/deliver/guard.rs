//! Which addresses a name may stand for.
//!
//! A name is resolved by whoever runs its zone, and what it says can change between two messages: a
//! receiver's name must not lead into this machine, its network or the cloud's metadata service. So
//! each connection resolves the name anew, and goes to none of the addresses of such ranges but those
//! that the configuration allows: `allow_private`. What is checked is what is connected to; there is no
//! second look-up between the two.
//!
//! Where the configuration asks for a proxy, names are resolved by it and not here.
//!
//! An address that stands in the configuration itself is the operator's own word and is not asked
//! about, nor is `localhost`, which stands for this machine and for nothing else.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Name, Resolve, Resolving};

use crate::config::{Options, Proxies};
use crate::rule::keys::{KeyDoc, Takes, may};
use crate::rule::problem::Problems;

/// `allow_private` of every receiver that connects to somebody.
pub const ALLOW_PRIVATE: KeyDoc = may(
    "allow_private",
    Takes::Texts,
    "private networks that the host's name may stand for; without them a name that leads into this machine, its \
     network or a metadata service is refused",
    "allow_private: [10.20.0.0/16]",
);

/// Networks under `allow_private`.
const MAX_NETWORKS: usize = 64;

/// Shortest prefixes: no private network is larger, and a wider one would switch the guard off.
const SHORTEST: (u8, u8) = (8, 7);

/// Ranges that are nobody's receiver, and what they are.
const RANGES: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "a private network"),
    ("100.64.0.0/10", "a carrier's inner network"),
    ("127.0.0.0/8", "this machine"),
    ("168.63.129.16/32", "a metadata service"),
    ("169.254.169.254/32", "a metadata service"),
    ("169.254.0.0/16", "the local link"),
    ("172.16.0.0/12", "a private network"),
    ("192.0.0.0/24", "a reserved range"),
    ("192.0.2.0/24", "a range for documentation"),
    ("192.88.99.0/24", "a reserved range"),
    ("192.168.0.0/16", "a private network"),
    ("198.18.0.0/15", "a range for benchmarks"),
    ("198.51.100.0/24", "a range for documentation"),
    ("203.0.113.0/24", "a range for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "a reserved range"),
    ("::/128", "this network"),
    ("::1/128", "this machine"),
    ("::/96", "a reserved range"),
    ("64:ff9b:1::/48", "a translated private network"),
    ("100::/64", "a reserved range"),
    ("2001::/23", "a reserved range"),
    ("2001:db8::/32", "a range for documentation"),
    ("2002::/16", "a tunnel"),
    ("3fff::/20", "a range for documentation"),
    ("5f00::/16", "a reserved range"),
    ("fc00::/7", "a private network"),
    ("fd00:ec2::254/128", "a metadata service"),
    ("fe80::/10", "the local link"),
    ("fec0::/10", "a private network"),
    ("ff00::/8", "multicast"),
];

/// What the range of `address` is called, where no message may go there by a name.
pub fn private(address: IpAddr) -> Option<&'static str> {
    let address = plain(address);
    let ranges = RANGES.iter().filter_map(|(net, what)| Some((net.parse::<IpNet>().ok()?, *what)));
    ranges
        .filter(|(net, _)| net.contains(&address))
        .max_by_key(|(net, _)| net.prefix_len())
        .map(|(_, what)| what)
}

/// The IPv4 address that an IPv6 one stands for by itself or through a translator, else itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    let translated = octets[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let last = || Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]);
    if translated { IpAddr::V4(last()) } else { address.to_canonical() }
}

/// Asks what a name stands for.
trait Lookup: Send + Sync + std::fmt::Debug {
    fn look_up(&self, host: String, port: u16) -> Looking;
}

type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The system.
#[derive(Debug)]
struct System;

impl Lookup for System {
    fn look_up(&self, host: String, port: u16) -> Looking {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Resolves names, and lets nobody be connected to whom no message is meant for.
#[derive(Debug, Clone)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
    proxies: Proxies,
    lookup: Arc<dyn Lookup>,
}

impl Default for Guard {
    fn default() -> Self {
        Self { allowed: Arc::default(), proxies: Proxies::default(), lookup: Arc::new(System) }
    }
}

/// Why a name is not connected to.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody knows what it stands for.
    #[error("cannot find the address of `{host}`")]
    Unknown {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// It stands for nothing.
    #[error("`{0}` has no address")]
    NoAddress(String),
    /// It stands for private addresses alone.
    #[error(
        "`{host}` is at {address}, which is {what}; if that is meant, write `allow_private: [{address}/{bits}]`"
    )]
    Private {
        /// The name.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
        /// What its range is.
        what: &'static str,
        /// All bits of such an address.
        bits: u8,
    },
}

impl Guard {
    /// As `allow_private` says.
    pub fn read(options: &Options<'_>, problems: &mut Problems) -> Self {
        let texts = options.placed_texts(problems, "allow_private");
        if texts.len() > MAX_NETWORKS {
            let message = format!("`allow_private` names more than {MAX_NETWORKS} networks");
            options.fault(problems, "allow_private", message, "write larger ones, such as 10.20.0.0/16");
        }
        let mut allowed = Vec::new();
        for (text, at) in texts.into_iter().take(MAX_NETWORKS) {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            let Ok(net) = net else {
                let message = format!("`{text}` is no network");
                problems.error_hint(at, message, "write one such as 10.20.0.0/16 or 127.0.0.1/32");
                continue;
            };
            let shortest = if net.addr().is_ipv4() { SHORTEST.0 } else { SHORTEST.1 };
            if net.prefix_len() < shortest {
                let message = format!("`{text}` is wider than any private network");
                problems.error_hint(at, message, "write the network that the receiver is in");
                continue;
            }
            allowed.push(net);
        }
        Self { allowed: allowed.into(), ..Self::default() }
    }

    /// The same with these proxies on the way: they may be anywhere, and what they connect to is theirs to
    /// look at.
    pub fn through(self, proxies: &Proxies) -> Self {
        Self { proxies: proxies.clone(), ..self }
    }

    /// What stands between this machine and others.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The addresses of `host` that may be connected to, at least one.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refused> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.lookup.look_up(host.to_owned(), port).await;
        let found = found.map_err(|source| Refused::Unknown { host: host.to_owned(), source })?;
        let lower = host.trim_end_matches('.').to_ascii_lowercase();
        let here = lower == "localhost" || lower.ends_with(".localhost");
        let may = |at: &SocketAddr| {
            let address = plain(at.ip());
            let allowed = self.allowed.iter().any(|net| net.contains(&address) || net.contains(&at.ip()));
            allowed
                || self.proxies.is_one(&lower)
                || if here { address.is_loopback() } else { private(address).is_none() }
        };
        let fine: Vec<SocketAddr> = found.iter().copied().filter(may).collect();
        match found.first().map(|at| plain(at.ip())) {
            Some(_) if !fine.is_empty() => Ok(fine),
            Some(address) => Err(Refused::Private {
                host: host.to_owned(),
                address,
                what: private(address).unwrap_or("not this machine"),
                bits: if address.is_ipv4() { 32 } else { 128 },
            }),
            None => Err(Refused::NoAddress(host.to_owned())),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // The port is that of the address that is called.
            let found = Self::resolve(&guard, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// Says of any name what a test says, one answer after the other, the last for ever.
    #[derive(Debug)]
    struct Says(Mutex<VecDeque<Vec<SocketAddr>>>);

    impl Lookup for Says {
        fn look_up(&self, _: String, port: u16) -> Looking {
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
            let with_port =
                move |at: SocketAddr| SocketAddr::new(at.ip(), if port == 0 { at.port() } else { port });
            Box::pin(async move { Ok(answer.into_iter().map(with_port).collect()) })
        }
    }

    /// A guard over names that stand for `answers`, which allows `allowed`.
    pub(in super::super) fn guard(answers: &[&[&str]], allowed: &[&str]) -> Guard {
        let answer =
            |texts: &&[&str]| texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
        Guard {
            proxies: Proxies::default(),
            allowed: allowed.iter().map(|net| net.parse().unwrap()).collect(),
            lookup: Arc::new(Says(Mutex::new(answers.iter().map(answer).collect()))),
        }
    }

    async fn resolved(host: &str, answers: &[&str], allowed: &[&str]) -> Result<Vec<String>, String> {
        let found = guard(&[answers], allowed).resolve(host, 443).await;
        found.map(|all| all.iter().map(|at| at.ip().to_string()).collect()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn every_range_that_is_nobodys_receiver_is_known() {
        for (address, what) in [
            ("127.0.0.1", "this machine"),
            ("127.255.0.9", "this machine"),
            ("::1", "this machine"),
            ("::ffff:127.0.0.1", "this machine"),
            ("10.1.2.3", "a private network"),
            ("172.16.0.1", "a private network"),
            ("172.31.255.255", "a private network"),
            ("192.168.1.1", "a private network"),
            ("::ffff:192.168.1.1", "a private network"),
            ("64:ff9b::10.1.2.3", "a private network"),
            ("64:ff9b:1::1", "a translated private network"),
            ("fd12:3456::1", "a private network"),
            ("fec0::1", "a private network"),
            ("100.64.0.1", "a carrier's inner network"),
            ("100.100.100.200", "a carrier's inner network"),
            ("169.254.169.254", "a metadata service"),
            ("::ffff:169.254.169.254", "a metadata service"),
            ("fd00:ec2::254", "a metadata service"),
            ("168.63.129.16", "a metadata service"),
            ("169.254.1.1", "the local link"),
            ("fe80::1", "the local link"),
            ("0.0.0.0", "this network"),
            ("::", "this network"),
            ("::7f00:1", "a reserved range"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "a reserved range"),
            ("2002:7f00:1::", "a tunnel"),
            ("2001:0:1::1", "a reserved range"),
        ] {
            assert_eq!(private(address.parse().unwrap()), Some(what), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"] {
            assert_eq!(private(address.parse().unwrap()), None, "{address}");
        }
        assert!(RANGES.iter().all(|(net, _)| net.parse::<IpNet>().is_ok()));
    }

    #[tokio::test]
    async fn a_name_leads_to_public_addresses_and_to_those_that_are_allowed() {
        let at = |all: &[&str]| Ok(all.iter().map(|address| (*address).to_owned()).collect());
        let told = "`hook.example` is at 10.0.0.5, which is a private network; if that is meant, write \
                    `allow_private: [10.0.0.5/32]`";
        assert_eq!(resolved("hook.example", &["8.8.8.8"], &[]).await, at(&["8.8.8.8"]));
        assert_eq!(resolved("hook.example", &["10.0.0.5"], &[]).await, Err(told.to_owned()));
        assert_eq!(resolved("hook.example", &["10.0.0.5", "8.8.8.8"], &[]).await, at(&["8.8.8.8"]));
        assert_eq!(resolved("hook.example", &["10.0.0.5"], &["10.0.0.0/16"]).await, at(&["10.0.0.5"]));
        let mapped = resolved("hook.example", &["::ffff:10.0.0.5"], &["10.0.0.0/16"]).await;
        assert_eq!(mapped, at(&["::ffff:10.0.0.5"]));
        assert!(resolved("hook.example", &["10.1.0.5"], &["10.0.0.0/16"]).await.is_err());
        assert_eq!(resolved("hook.example", &[], &[]).await, Err("`hook.example` has no address".to_owned()));
    }

    #[tokio::test]
    async fn what_the_operator_writes_is_taken_at_its_word() {
        let at = |all: &[&str]| Ok(all.iter().map(|address| (*address).to_owned()).collect());
        for literal in ["127.0.0.1", "10.0.0.5", "169.254.169.254"] {
            assert_eq!(resolved(literal, &["8.8.8.8"], &[]).await, at(&[literal]));
        }
        assert_eq!(resolved("[::1]", &["8.8.8.8"], &[]).await, at(&["::1"]));
        assert_eq!(resolved("localhost", &["127.0.0.1", "10.0.0.5"], &[]).await, at(&["127.0.0.1"]));
        let elsewhere = resolved("localhost", &["8.8.8.8"], &[]).await.unwrap_err();
        assert!(elsewhere.starts_with("`localhost` is at 8.8.8.8, which is not this machine"), "{elsewhere}");
    }
}
