//! What can be asked for: method and path, of which of the two services, and under which name it is
//! counted.

use super::trouble::Target;
use super::world::List;

/// One operation of the service, of IAM or of the metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'r> {
    /// A list of rows.
    List(List),
    /// Begins the export of a list.
    Export(List),
    /// The same for the desktops by their newer path.
    ExportDesktops,
    /// The desktops' file, answered at once.
    DesktopFile,
    /// The tasks of exports.
    Tasks,
    /// The file of a task.
    Download(&'r str),
    /// Forgets tasks.
    DeleteTasks,
    /// The sessions of one user that are open.
    SessionsOf,
    /// Ends sessions.
    Logoff,
    /// A token for a password.
    Token,
    /// A project's id for its name.
    Projects,
    /// Leave to ask for the machine's keys.
    MetadataToken,
    /// The machine's keys.
    MetadataKey,
}

/// Which of the vendor's two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Desktops, user events and tasks of exports.
    Workspace,
    /// Applications and sessions.
    WorkspaceApp,
}

impl<'r> Operation<'r> {
    /// What `method` and `path` ask for, and of which project.
    pub fn of(method: &str, path: &'r str) -> Option<(Self, Option<&'r str>)> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (project, operation) = match (method, parts.as_slice()) {
            ("GET", ["v2", project, "connections", "desktops"]) => (project, Self::List(List::DesktopLogins)),
            ("GET", ["v2", project, "connections", "desktops", "export"]) => (project, Self::DesktopFile),
            ("GET", ["v3", project, "desktops", "connections", "export"]) => (project, Self::ExportDesktops),
            ("GET", ["v2", project, "user-events"]) => (project, Self::List(List::UserEvents)),
            ("GET", ["v2", project, "export-tasks"]) => (project, Self::Tasks),
            ("GET", ["v2", project, "export-tasks", id, "download"]) => (project, Self::Download(id)),
            ("POST", ["v2", project, "export-tasks", "batch-delete"]) => (project, Self::DeleteTasks),
            ("POST", ["v1", project, "session", "user-connection"]) => (project, Self::List(List::AppLogins)),
            ("POST", ["v1", project, "session", "app-connection"]) => {
                (project, Self::List(List::AppLaunches))
            }
            ("GET", ["v1", project, "session", "list-sessions"]) => (project, Self::List(List::Sessions)),
            ("POST", ["v1", project, "session", "user-connection", "export"]) => {
                (project, Self::Export(List::AppLogins))
            }
            ("POST", ["v1", project, "session", "app-connection", "export"]) => {
                (project, Self::Export(List::AppLaunches))
            }
            ("POST", ["v1", project, "session", "list-sessions", "export"]) => {
                (project, Self::Export(List::Sessions))
            }
            ("GET", ["v1", project, "session", "user-session-info"]) => (project, Self::SessionsOf),
            ("POST", ["v1", project, "session", "logoff"]) => (project, Self::Logoff),
            ("POST", ["v3", "auth", "tokens"]) => return Some((Self::Token, None)),
            ("GET", ["v3", "projects"]) => return Some((Self::Projects, None)),
            ("PUT", ["meta-data", "latest", "api", "token"]) => return Some((Self::MetadataToken, None)),
            ("GET", ["openstack", "latest", "securitykey"]) => return Some((Self::MetadataKey, None)),
            _ => return None,
        };
        Some((operation, Some(project)))
    }

    /// The name that requests are counted under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List(list) => list.as_str(),
            Self::Export(_) | Self::ExportDesktops | Self::DesktopFile => "exports",
            Self::Tasks | Self::Download(_) | Self::DeleteTasks => "export_tasks",
            Self::SessionsOf | Self::Logoff => "other",
            Self::Token => "tokens",
            Self::Projects => "projects",
            Self::MetadataToken | Self::MetadataKey => "metadata",
        }
    }

    /// Whose operation it is; none where it is neither's.
    pub fn service(self) -> Option<Service> {
        match self {
            Self::List(List::DesktopLogins | List::UserEvents)
            | Self::Export(List::DesktopLogins | List::UserEvents)
            | Self::ExportDesktops
            | Self::DesktopFile
            | Self::Tasks
            | Self::Download(_)
            | Self::DeleteTasks => Some(Service::Workspace),
            Self::List(List::AppLogins | List::AppLaunches | List::Sessions)
            | Self::Export(List::AppLogins | List::AppLaunches | List::Sessions)
            | Self::SessionsOf
            | Self::Logoff => Some(Service::WorkspaceApp),
            Self::Token | Self::Projects | Self::MetadataToken | Self::MetadataKey => None,
        }
    }

    /// Which troubles it meets, if any.
    pub fn target(self) -> Option<Target> {
        match self {
            Self::List(list) => Some(Target::List(list)),
            Self::Export(_)
            | Self::ExportDesktops
            | Self::DesktopFile
            | Self::Tasks
            | Self::Download(_)
            | Self::DeleteTasks => Some(Target::Exports),
            Self::SessionsOf
            | Self::Logoff
            | Self::Token
            | Self::Projects
            | Self::MetadataToken
            | Self::MetadataKey => None,
        }
    }
}
