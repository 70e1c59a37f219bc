//! Sessions of the application service: GET `/v1/{project_id}/session/list-sessions`
//! (`reference/huawei-api.md`, 2 and 4.4).
//!
//! A session's row changes with its state, and says at each reading how long the state has lasted;
//! since when it does is in the row too, and stays.

use super::api::{Api, Ask, Call, Method, Service, milli, page_query};
use crate::record::Millis;
use crate::record::scan::Endpoint;

pub(super) static API: Api = Api {
    endpoint: Endpoint::Sessions,
    service: Service::WorkspaceApp,
    action: "workspace:session:listSessions",
    resolution: Millis::secs(1),
    total: "count",
    rows: "items",
    by_default: false,
    restless: &["status_continue_time"],
    fields: &[
        "id",
        "user_name",
        "pre_conn_time",
        "start_time",
        "end_time",
        "machine_sid",
        "machine_name",
        "session_state",
        "app_name",
        "client_mac",
        "client_name",
        "client_ip",
        "public_ip",
        "client_version",
        "client_type",
        "agent_version",
        "machine_ip",
        "failed_reason",
        "failed_code",
        "tenant_id",
        "primary_server_group_id",
        "secondary_server_group_id",
    ],
    call,
};

fn call(project_id: &str, ask: &Ask) -> Call {
    let mut query =
        vec![("query_begin_time".to_owned(), milli(ask.from)), ("query_end_time".to_owned(), milli(ask.to))];
    query.extend(page_query(ask));
    Call {
        method: Method::Get,
        path: format!("/v1/{project_id}/session/list-sessions"),
        query,
        body: String::new(),
    }
}
