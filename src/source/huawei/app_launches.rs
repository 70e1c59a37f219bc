//! Starts of applications: POST `/v1/{project_id}/session/app-connection`
//! (`reference/huawei-api.md`, 3.2).

use super::api::{Api, Ask, Call, Method, Service, page_query, second};
use crate::record::Millis;
use crate::record::scan::Endpoint;

pub(super) static API: Api = Api {
    endpoint: Endpoint::AppLaunches,
    service: Service::WorkspaceApp,
    action: "workspace:session:listAppConnection",
    resolution: Millis::secs(1),
    total: "count",
    rows: "items",
    by_default: true,
    restless: &[],
    fields: &[
        "id",
        "machine_sid",
        "app_id",
        "machine_name",
        "user_name",
        "app_group_name",
        "app_group_id",
        "app_name",
        "start_time",
        "failed_code",
        "failed_reason",
        "client_mac",
        "client_name",
        "client_ip",
        "client_version",
        "client_type",
        "agent_version",
        "machine_ip",
        "gateway_ip",
        "tenant_id",
        "virtual_ip",
        "public_ip",
        "transaction_id",
        "end_time",
        "aps_instance_id",
        "aps_instance_name",
        "aps_host_id",
        "primary_server_group_id",
        "secondary_server_group_id",
    ],
    call,
};

fn call(project_id: &str, ask: &Ask) -> Call {
    let body = serde_json::json!({
        "brokering_start_time": second(ask.from),
        "brokering_end_time": second(ask.to),
    });
    Call {
        method: Method::Post,
        path: format!("/v1/{project_id}/session/app-connection"),
        query: page_query(ask),
        body: body.to_string(),
    }
}
