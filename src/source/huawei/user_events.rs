//! What users did, logins by password or second factor before there is a connection among it:
//! GET `/v2/{project_id}/user-events` (`reference/huawei-api.md`, 12).
//!
//! An event is a moment: it has no end and is never open.

use super::api::{Api, Ask, Call, Method, Service, page_query, second};
use crate::record::Millis;
use crate::record::scan::Endpoint;

pub(super) static API: Api = Api {
    endpoint: Endpoint::UserEvents,
    service: Service::Workspace,
    action: "workspace:userEvents:list",
    resolution: Millis::secs(1),
    total: "count",
    rows: "items",
    by_default: false,
    restless: &[],
    fields: &[
        "user_name",
        "event_type",
        "start_time",
        "resource_name",
        "client_type",
        "client_ip",
        "client_mac",
        "client_version",
        "source_ip",
        "failed_code",
        "failed_reason",
    ],
    call,
};

fn call(project_id: &str, ask: &Ask) -> Call {
    let mut query =
        vec![("start_time".to_owned(), second(ask.from)), ("end_time".to_owned(), second(ask.to))];
    query.extend(page_query(ask));
    Call { method: Method::Get, path: format!("/v2/{project_id}/user-events"), query, body: String::new() }
}
