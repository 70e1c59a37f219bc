//! What each list can be asked for by, as documented (`reference/huawei-api.md`, 3): names, longest
//! values, and how a row's field is compared.

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The whole value.
    Whole,
    /// A part of it, whatever the case.
    Part,
    /// The whole value is one of those that commas separate.
    AnyOf,
    /// `true` or `false`: whether the row tells of a success.
    Success,
    /// The part of the account behind `@`.
    Domain,
    /// A number that the row's is not below.
    AtLeast,
    /// A number that the row's is not above.
    AtMost,
}

/// One filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Its name in a query or body.
    pub name: &'static str,
    /// Most characters of its value.
    pub longest: usize,
    /// The row's field that it is about.
    pub field: &'static str,
    /// How they are compared.
    pub way: Way,
}

const fn whole(name: &'static str, longest: usize) -> Filter {
    Filter { name, longest, field: name, way: Way::Whole }
}

const fn part(name: &'static str, longest: usize) -> Filter {
    Filter { name, longest, field: name, way: Way::Part }
}

const fn of(field: &'static str, name: &'static str, longest: usize, way: Way) -> Filter {
    Filter { name, longest, field, way }
}

/// Numbers have bounds of their own.
const DIGITS: usize = usize::MAX;

/// `user-connection`, listed and exported. Whether its user name is compared whole is not documented.
pub const APP_LOGINS: &[Filter] = &[
    whole("id", 64),
    whole("connect_type", 32),
    whole("user_name", 255),
    whole("machine_sid", 128),
    whole("machine_name", 255),
    whole("failed_reason", 255),
    whole("failed_code", 255),
    whole("client_name", 255),
    whole("client_version", 255),
    whole("client_type", 255),
    whole("agent_version", 50),
    whole("vm_ip", 50),
    whole("connect_flag", 50),
    whole("wi_ip", 50),
    whole("public_ip", 50),
    whole("tenant_id", 255),
    whole("virtual_ip", 50),
];

/// `app-connection`, listed and exported.
pub const APP_LAUNCHES: &[Filter] = &[
    whole("id", 64),
    whole("sid", 128),
    whole("machine_name", 1_024),
    part("user_name", 1_024),
    whole("app_group_name", 1_024),
    whole("app_group_id", 64),
    part("app_name", 1_024),
    whole("failed_code", 255),
    whole("connection_failure_reason", 1_024),
    whole("client_name", 1_024),
    whole("client_version", 50),
    whole("client_type", 255),
    whole("agent_version", 50),
    whole("vm_ip", 50),
    whole("wi_ip", 50),
    whole("public_ip", 50),
    whole("tenant_id", 255),
    whole("virtual_ip", 50),
];

/// The desktops' list. The round trips are named after the network and described as end to end.
pub const DESKTOP_LOGINS: &[Filter] = &[
    whole("user_name", 255),
    whole("computer_name", 255),
    part("terminal_type", 255),
    whole("enterprise_project_id", 64),
    whole("public_ip", 64),
    of("user_name", "domain", 255, Way::Domain),
    of("e2e_rtt", "min_network_rtt", DIGITS, Way::AtLeast),
    of("e2e_rtt", "max_network_rtt", DIGITS, Way::AtMost),
];

/// The desktops' newer export, which names the round trips rightly.
pub const DESKTOP_EXPORT: &[Filter] = &[
    whole("user_name", 255),
    whole("computer_name", 255),
    part("terminal_type", 255),
    whole("enterprise_project_id", 64),
    whole("public_ip", 64),
    of("user_name", "domain", 255, Way::Domain),
    of("e2e_rtt", "min_e2e_rtt", DIGITS, Way::AtLeast),
    of("e2e_rtt", "max_e2e_rtt", DIGITS, Way::AtMost),
];

/// `list-sessions`, listed and exported.
pub const SESSIONS: &[Filter] = &[
    of("login_user", "user_name", 64, Way::Whole),
    whole("app_server_group_id", 64),
    whole("vm_ip", 64),
    whole("public_ip", 64),
    whole("machine_name", 128),
    of("session_state", "session_state", 256, Way::AnyOf),
    of("failed_code", "is_success", 5, Way::Success),
];

/// `user-events`.
pub const USER_EVENTS: &[Filter] = &[
    whole("username", 255),
    of("event_type", "event_type", 1_024, Way::AnyOf),
    whole("resource_id", 255),
    whole("resource_name", 255),
    of("username", "domain", 255, Way::Domain),
];
