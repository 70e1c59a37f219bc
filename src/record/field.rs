//! One vocabulary: a field has one name in rules whatever endpoint it came from.
//!
//! The vendor's own spellings are aliases. What has no name here is read as `raw.<name>`. Names
//! that a run wants are interned as [`Columns`]; a batch has one slot per column and row.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of value a field holds: how a rule's text is read against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum FieldKind {
    /// Compared as text, without case unless asked.
    Text,
    /// Compared as exact decimals.
    Number,
    /// `true` or `false`.
    Bool,
    /// An instant; compared as time with `gt` and its kin, as text otherwise.
    Time,
    /// A length of time, in milliseconds; rules write it with a unit.
    Duration,
    /// An IP address: an IPv4-mapped IPv6 address is the IPv4 address.
    Address,
    /// A vendor field without a name here, or one that a file source declares: text, and a number
    /// where the rule compares with a number.
    Any,
}

/// One entry of the vocabulary.
#[derive(Debug)]
pub struct FieldInfo {
    /// The one name in rules.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// The vendor's other spellings.
    pub aliases: &'static [&'static str],
    /// True for facts: made at the door, not read from the row (unless the row gives them).
    pub produced: bool,
    /// One line for the reference.
    pub about: &'static str,
}

const fn read(
    name: &'static str,
    kind: FieldKind,
    aliases: &'static [&'static str],
    about: &'static str,
) -> FieldInfo {
    FieldInfo { name, kind, aliases, produced: false, about }
}

const fn fact(name: &'static str, kind: FieldKind, about: &'static str) -> FieldInfo {
    FieldInfo { name, kind, aliases: &[], produced: true, about }
}

use FieldKind::{Address, Any, Bool, Duration, Number, Text, Time};

/// Every field with a name, in the order of the reference.
pub static VOCABULARY: &[FieldInfo] = &[
    fact("kind", Text, "login, app_launch, session or user_event"),
    fact("service", Text, "desktop or app"),
    fact("phase", Text, "start, end or amended"),
    fact("outcome", Text, "success or failure"),
    fact("failure_kind", Text, "credentials, unknown_user, locked, policy, network, server or unknown"),
    fact("user", Text, "the account in lower case without domain decoration"),
    fact("device", Text, "client_mac, else client_name"),
    fact("duration", Duration, "end_time less start_time"),
    fact("changed", Text, "names of the fields that an amended row changed"),
    fact("geo.country", Text, "ISO 3166 code of public_ip's country"),
    fact("geo.city", Text, "city of public_ip"),
    fact("geo.lat", Number, "latitude in degrees"),
    fact("geo.lon", Number, "longitude in degrees"),
    fact("geo.radius", Number, "accuracy radius in km"),
    fact("asn.number", Text, "autonomous system of public_ip"),
    fact("asn.name", Text, "its organisation"),
    read("id", Text, &[], "the vendor's id of the row"),
    read("user_name", Text, &["login_user", "username"], "the account as the service spelt it"),
    read("start_time", Time, &["connection_start_time", "brokering_time", "event_time"], "start"),
    read("setup_time", Time, &["connection_setup_time"], "when the desktop connection stood"),
    read("pre_conn_time", Time, &[], "when the connection was prepared"),
    read("end_time", Time, &["connection_end_time"], "end; absent while open"),
    read("update_time", Time, &[], "last change of the row"),
    read("public_ip", Address, &[], "address the client came from; 0.0.0.0 is unknown"),
    read("client_ip", Address, &["terminal_ip"], "address of the client in its own network"),
    read("client_mac", Text, &["terminal_mac"], "MAC address of the client"),
    read("client_name", Text, &["terminal_name"], "name of the client"),
    read("client_type", Text, &["terminal_type"], "operating system or kind of client"),
    read("client_version", Text, &[], "version of the client"),
    read("agent_version", Text, &[], "version of the agent on the machine"),
    read("machine_name", Text, &["computer_name"], "the desktop or server"),
    read("machine_sid", Text, &["sid"], "its Windows SID"),
    read("machine_ip", Address, &["vm_ip", "desktop_ip"], "its address"),
    read("network_rtt", Number, &[], "network round trip in ms"),
    read("e2e_rtt", Number, &[], "end-to-end round trip in ms"),
    read("failed_code", Text, &["error_code"], "the service's code of a failure"),
    read("failed_reason", Text, &["connection_failure_reason", "error_msg"], "its reason"),
    read("gateway_ip", Text, &["wi_ip"], "gateway addresses, joined by #"),
    read("virtual_ip", Address, &[], "virtual address of the session"),
    read("source_ip", Address, &[], "source address as the gateway saw it"),
    read("connect_type", Text, &[], "1 shared desktop, 2 application"),
    read("connect_flag", Text, &[], "opaque"),
    read("is_reconnect", Bool, &[], "true when a session was resumed"),
    read("desktop_group_name", Text, &[], "desktop group"),
    read("desktop_id", Text, &[], "id of the desktop"),
    read("tenant_id", Text, &["tenantId"], "the vendor's tenant"),
    read("transaction_id", Text, &[], "the vendor's transaction"),
    read("app_id", Text, &[], "id of the application"),
    read("app_name", Text, &[], "the application"),
    read("app_group_name", Text, &[], "application group"),
    read("app_group_id", Text, &[], "its id"),
    read("aps_instance_id", Text, &[], "server instance"),
    read("aps_instance_name", Text, &[], "its name"),
    read("aps_host_id", Text, &[], "server host"),
    read("primary_server_group_id", Text, &[], "primary server group"),
    read("secondary_server_group_id", Text, &[], "secondary server group"),
    read("enterprise_project_id", Text, &[], "enterprise project"),
    read("session_state", Text, &[], "Active, Disconnected, AppcInit, SignedOut, InitFail"),
    read("event_type", Text, &[], "type of a user event"),
    read("resource_name", Text, &[], "resource of a user event"),
];

/// Facts that have few values. Another one is legal, because a file source may give its own, but
/// no producer makes it.
pub const WORDS: &[(&str, &[&str])] = &[
    ("kind", &["login", "app_launch", "session", "user_event"]),
    ("service", &["desktop", "app"]),
    ("phase", &["start", "end", "amended"]),
    ("outcome", &["success", "failure"]),
    ("failure_kind", &["credentials", "unknown_user", "locked", "policy", "network", "server", "unknown"]),
];

/// Prefix of vendor fields that have no name in the vocabulary.
pub const RAW: &str = "raw.";

/// A field's one name: of the vocabulary, `raw.<name>`, or one that a file source declares.
///
/// Sigma documents name fields as the line spells them: see [`Self::spelt`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldName {
    name: Cow<'static, str>,
    spelt: bool,
}

/// Stands before a name that is meant as the line spells it, where names are kept.
const SPELT: char = '=';

impl FieldName {
    /// The field as the line spells it: the key `name` itself; where the line has none, the path that
    /// its dots make, through lists by any element; where there is no such path either, what `name`
    /// means here.
    pub fn spelt(name: &str) -> Self {
        Self { name: Cow::Owned(name.to_owned()), spelt: true }
    }

    /// Every value of the line, wherever it stands.
    pub fn line() -> Self {
        Self { name: Cow::Borrowed(""), spelt: true }
    }

    /// True for names that are meant as the line spells them.
    pub fn is_spelt(&self) -> bool {
        self.spelt
    }

    /// True for [`Self::line`].
    pub fn is_line(&self) -> bool {
        self.spelt && self.name.is_empty()
    }

    /// True for the vocabulary's field of this name.
    pub fn is(&self, name: &str) -> bool {
        !self.spelt && self.name == name
    }

    /// What a field that is spelt so means where the line does not have it.
    pub fn meaning(&self) -> Option<Self> {
        if self.spelt { Self::resolve(&self.name) } else { None }
    }

    /// The field `spelling` means: its name or an alias of the vocabulary, or `raw.<name>`.
    /// None for everything else.
    pub fn resolve(spelling: &str) -> Option<Self> {
        if let Some(info) = lookup(spelling) {
            return Some(Self { name: Cow::Borrowed(info.name), spelt: false });
        }
        let raw = spelling.strip_prefix(RAW)?;
        if raw.is_empty() {
            return None;
        }
        Some(match lookup(raw) {
            // `raw.user_name` is the field itself: a named field has one name.
            Some(info) if !info.produced => Self { name: Cow::Borrowed(info.name), spelt: false },
            Some(_) | None => Self { name: Cow::Owned(spelling.to_owned()), spelt: false },
        })
    }

    /// A field that a file source declares under `fields:`; the vocabulary's own where it has one.
    pub fn declared(name: &str) -> Self {
        Self::resolve(name).unwrap_or_else(|| Self { name: Cow::Owned(name.to_owned()), spelt: false })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The few words that it has; none of a field that may hold anything.
    pub fn words(&self) -> &'static [&'static str] {
        let named = WORDS.iter().find(|(name, _)| self.is(name));
        named.map_or(&[], |(_, words)| words)
    }

    /// What the field holds; anything, if it is as the line spells it.
    pub fn kind(&self) -> FieldKind {
        if self.spelt {
            return Any;
        }
        lookup(&self.name).map_or(Any, |info| info.kind)
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spelt { write!(f, "`={}`", self.name) } else { write!(f, "`{}`", self.name) }
    }
}

/// A name of the vocabulary, an alias of one, or a name that a source declares; with `=` before it, a
/// name as the line spells it.
impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(name) = text.strip_prefix(SPELT) {
            return Ok(Self::spelt(name));
        }
        Ok(Self::resolve(&text).unwrap_or_else(|| Self::declared(&text)))
    }
}

impl Serialize for FieldName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.spelt {
            return serializer.collect_str(&format_args!("{SPELT}{}", self.name));
        }
        serializer.serialize_str(&self.name)
    }
}

/// The vocabulary's entry for a name or alias.
pub fn lookup(spelling: &str) -> Option<&'static FieldInfo> {
    use std::sync::LazyLock;
    static BY_SPELLING: LazyLock<HashMap<&'static str, &'static FieldInfo, foldhash::fast::RandomState>> =
        LazyLock::new(|| {
            let spelt = |info: &'static FieldInfo| {
                std::iter::once(info.name)
                    .chain(info.aliases.iter().copied())
                    .map(move |spelling| (spelling, info))
            };
            VOCABULARY.iter().flat_map(spelt).collect()
        });
    BY_SPELLING.get(spelling).copied()
}

/// Number of a wanted field: the index of its slot in each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(pub u16);

/// The fields that a run wants, interned. Frozen in an [`Arc`] before the first batch is read.
#[derive(Debug, Default, Clone)]
pub struct Columns {
    names: Vec<FieldName>,
    by_name: HashMap<FieldName, Column>,
    /// The fact, and the field that is spelt so.
    phase: [Option<Column>; 2],
    changed: [Option<Column>; 2],
}

impl Columns {
    /// The column of `name`, added if it is new. At most [`u16::MAX`] fields; the rule bounds keep
    /// it far below.
    pub fn want(&mut self, name: &FieldName) -> Column {
        if let Some(column) = self.by_name.get(name) {
            return *column;
        }
        let column = Column(u16::try_from(self.names.len()).unwrap_or(u16::MAX));
        self.names.push(name.clone());
        self.by_name.insert(name.clone(), column);
        match name.as_str() {
            "phase" => self.phase[usize::from(name.is_spelt())] = Some(column),
            "changed" => self.changed[usize::from(name.is_spelt())] = Some(column),
            _ => {}
        }
        if let Some(meaning) = name.meaning() {
            self.want(&meaning);
        }
        column
    }

    /// Wants a field of the vocabulary or `raw.<name>`; for names spelt in the code.
    ///
    /// # Panics
    /// If `spelling` is no field.
    #[expect(clippy::expect_used, reason = "a misspelt constant is a bug that the first test shows")]
    pub fn want_known(&mut self, spelling: &str) -> Column {
        self.want(&FieldName::resolve(spelling).expect("a field of the vocabulary"))
    }

    /// The column of `name`, if it is wanted.
    pub fn get(&self, name: &FieldName) -> Option<Column> {
        self.by_name.get(name).copied()
    }

    /// Whether `column` is the fact `phase`, or is spelt so.
    pub fn is_phase(&self, column: Column) -> bool {
        self.phase.contains(&Some(column))
    }

    /// Whether `column` is the fact `changed`, or is spelt so.
    pub fn is_changed(&self, column: Column) -> bool {
        self.changed.contains(&Some(column))
    }

    /// The name of `column`.
    pub fn name(&self, column: Column) -> &FieldName {
        &self.names[usize::from(column.0)]
    }

    /// Every wanted field, by column.
    pub fn names(&self) -> &[FieldName] {
        &self.names
    }

    /// How many slots a row has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The columns, shared.
    pub fn freeze(self) -> Arc<Self> {
        Arc::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_stands_once() {
        let mut seen = std::collections::HashSet::new();
        for info in VOCABULARY {
            for spelling in std::iter::once(&info.name).chain(info.aliases) {
                assert!(seen.insert(spelling), "{spelling} stands twice");
            }
        }
    }

    #[test]
    fn aliases_are_the_field() {
        assert_eq!(FieldName::resolve("computer_name"), FieldName::resolve("machine_name"));
        assert_eq!(FieldName::resolve("raw.vm_ip"), FieldName::resolve("machine_ip"));
        assert_eq!(FieldName::resolve("raw.colour").unwrap().as_str(), "raw.colour");
        assert_eq!(FieldName::resolve("raw.kind").unwrap().as_str(), "raw.kind");
        assert_eq!(FieldName::resolve("colour"), None);
        assert_eq!(FieldName::resolve("raw."), None);
    }
}
