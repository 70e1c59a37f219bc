//! What kind of row it is, told by the keys it has.
//!
//! Rows that a poller reads come from a known endpoint; rows of files do not say. Each telling key
//! has a mark, a row has the marks of all its keys, whatever their values and order.

use super::Endpoint;

/// What the shape of a row tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) service: Option<Service>,
    /// True for desktop rows, whose identity is not `id`.
    pub(super) desktop: bool,
}

/// What a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Login,
    AppLaunch,
    Session,
    UserEvent,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Login, Self::AppLaunch, Self::Session, Self::UserEvent];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::AppLaunch => "app_launch",
            Self::Session => "session",
            Self::UserEvent => "user_event",
        }
    }
}

/// Which of the two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Desktop,
    App,
}

impl Service {
    pub(super) const ALL: [Self; 2] = [Self::Desktop, Self::App];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::App => "app",
        }
    }
}

const SESSION: u8 = 1;
const APP: u8 = 1 << 1;
const DESKTOP: u8 = 1 << 2;
const USER_CONNECTION: u8 = 1 << 3;
const EVENT_TIME: u8 = 1 << 4;
const EVENT_TYPE: u8 = 1 << 5;
const APP_NAME: u8 = 1 << 6;
const APP_GROUP: u8 = 1 << 7;

/// Keys that tell a shape. `connection_failure_reason` stands in app rows too; there the app's own
/// keys are asked first.
pub(super) const MARKS: &[(&str, u8)] = &[
    ("login_user", SESSION),
    ("session_state", SESSION),
    ("brokering_time", APP),
    ("app_id", APP),
    ("app_name", APP_NAME),
    ("app_group_id", APP_GROUP),
    ("event_time", EVENT_TIME),
    ("event_type", EVENT_TYPE),
    ("connection_start_time", DESKTOP),
    ("connection_setup_time", DESKTOP),
    ("connection_end_time", DESKTOP),
    ("connection_failure_reason", DESKTOP),
    ("computer_name", DESKTOP),
    ("terminal_mac", DESKTOP),
    ("terminal_name", DESKTOP),
    ("terminal_ip", DESKTOP),
    ("terminal_type", DESKTOP),
    ("desktop_ip", DESKTOP),
    ("connect_type", USER_CONNECTION),
    ("pre_conn_time", USER_CONNECTION),
];

/// The endpoint whose rows have such keys; none where they do not tell.
pub fn endpoint_of<'k>(keys: impl IntoIterator<Item = &'k str>) -> Option<Endpoint> {
    let mark = |key: &str| MARKS.iter().find(|(name, _)| *name == key).map_or(0, |(_, mark)| *mark);
    let shape = Shape::of_marks(keys.into_iter().fold(0, |marks, key| marks | mark(key)));
    Endpoint::ALL.into_iter().find(|endpoint| Shape::of_endpoint(*endpoint) == shape)
}

impl Shape {
    /// The shape that a row's marks tell; a login of no known service if they tell none.
    pub(super) fn of_marks(marks: u8) -> Self {
        let all = |wanted: u8| marks & wanted == wanted;
        if all(SESSION) {
            Self::of_endpoint(Endpoint::Sessions)
        } else if all(APP) || all(APP_NAME | APP_GROUP) {
            Self::of_endpoint(Endpoint::AppLaunches)
        } else if all(EVENT_TIME | EVENT_TYPE) {
            Self::of_endpoint(Endpoint::UserEvents)
        } else if all(DESKTOP) {
            Self::of_endpoint(Endpoint::DesktopLogins)
        } else if all(USER_CONNECTION) {
            Self::of_endpoint(Endpoint::AppLogins)
        } else {
            Self { kind: Kind::Login, service: None, desktop: false }
        }
    }

    /// The shape of an endpoint's rows.
    pub(super) fn of_endpoint(endpoint: Endpoint) -> Self {
        let (kind, service) = match endpoint {
            Endpoint::DesktopLogins => (Kind::Login, Some(Service::Desktop)),
            Endpoint::AppLogins => (Kind::Login, Some(Service::App)),
            Endpoint::AppLaunches => (Kind::AppLaunch, Some(Service::App)),
            Endpoint::Sessions => (Kind::Session, Some(Service::App)),
            Endpoint::UserEvents => (Kind::UserEvent, None),
        };
        Self { kind, service, desktop: endpoint == Endpoint::DesktopLogins }
    }
}
