//! Logins of the application service: POST `/v1/{project_id}/session/user-connection`
//! (`reference/huawei-api.md`, 3.1).

use super::api::{Api, Ask, Call, Method, Service, page_query, second};
use crate::record::Millis;
use crate::record::scan::Endpoint;

pub(super) static API: Api = Api {
    endpoint: Endpoint::AppLogins,
    service: Service::WorkspaceApp,
    action: "workspace:session:listUserConnection",
    resolution: Millis::secs(1),
    total: "count",
    rows: "items",
    by_default: true,
    restless: &[],
    fields: &[
        "id",
        "connect_type",
        "user_name",
        "desktop_group_name",
        "pre_conn_time",
        "start_time",
        "end_time",
        "machine_sid",
        "machine_name",
        "failed_reason",
        "failed_code",
        "client_mac",
        "client_name",
        "client_ip",
        "client_version",
        "client_type",
        "agent_version",
        "machine_ip",
        "connect_flag",
        "gateway_ip",
        "update_time",
        "tenant_id",
        "virtual_ip",
        "public_ip",
    ],
    call,
};

fn call(project_id: &str, ask: &Ask) -> Call {
    let body = serde_json::json!({
        "login_start_time": second(ask.from),
        "login_end_time": second(ask.to),
    });
    Call {
        method: Method::Post,
        path: format!("/v1/{project_id}/session/user-connection"),
        query: page_query(ask),
        body: body.to_string(),
    }
}
