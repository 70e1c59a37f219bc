//! Desktop logins: GET `/v2/{project_id}/connections/desktops` (`reference/huawei-api.md`, 3.3).
//!
//! The window has minutes only, and no row has an id.

use super::api::{Api, Ask, Call, Method, Service, minute};
use crate::record::Millis;
use crate::record::scan::Endpoint;

pub(super) static API: Api = Api {
    endpoint: Endpoint::DesktopLogins,
    service: Service::Workspace,
    action: "workspace:connections:securityList",
    resolution: Millis::mins(1),
    total: "total_count",
    rows: "records",
    by_default: true,
    restless: &[],
    fields: &[
        "tenant_id",
        "machine_sid",
        "transaction_id",
        "machine_name",
        "user_name",
        "client_mac",
        "client_name",
        "client_ip",
        "client_version",
        "client_type",
        "agent_version",
        "machine_ip",
        "start_time",
        "setup_time",
        "end_time",
        "is_reconnect",
        "failed_reason",
        "network_rtt",
        "e2e_rtt",
        "source_ip",
        "public_ip",
        "enterprise_project_id",
        "desktop_id",
    ],
    call,
};

fn call(project_id: &str, ask: &Ask) -> Call {
    Call {
        method: Method::Get,
        path: format!("/v2/{project_id}/connections/desktops"),
        query: vec![
            ("start_time".to_owned(), minute(ask.from)),
            ("end_time".to_owned(), minute(ask.to)),
            ("offset".to_owned(), ask.offset.to_string()),
            ("limit".to_owned(), ask.limit.to_string()),
        ],
        body: String::new(),
    }
}
