//! Host names by region (`reference/huawei-api.md`, 7).

use super::api::Service;

/// Regions where the application service has a host name of its own.
const APPSTREAM: [&str; 5] = ["cn-north-4", "cn-north-9", "cn-east-3", "cn-south-1", "cn-southwest-2"];
/// Regions where both services have one.
const WORKSPACE: [&str; 12] = [
    "af-north-1",
    "af-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "cn-east-5",
    "cn-north-11",
    "la-north-2",
    "la-south-2",
    "me-east-1",
    "sa-brazil-1",
    "tr-west-1",
];
/// The region of which only the desktop service's host is known.
const DESKTOPS_ONLY: &str = "eu-west-101";

/// The host of a service, where it is known.
pub(super) fn host(region: &str, service: Service) -> Option<String> {
    let appstream = APPSTREAM.contains(&region);
    let known = appstream || WORKSPACE.contains(&region);
    let name = match service {
        Service::Workspace if known || region == DESKTOPS_ONLY => "workspace",
        Service::WorkspaceApp if appstream => "appstream",
        Service::WorkspaceApp if known => "workspace",
        Service::Workspace | Service::WorkspaceApp => return None,
    };
    Some(format!("{name}.{region}.myhuaweicloud.com"))
}

/// The host of IAM.
pub(super) fn iam(region: &str) -> String {
    let domain = if region.starts_with("eu-west-1") { "myhuaweicloud.eu" } else { "myhuaweicloud.com" };
    format!("iam.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_services_have_their_hosts() {
        let both =
            |region: &str| [Service::Workspace, Service::WorkspaceApp].map(|service| host(region, service));
        let name = |name: &str| Some(format!("{name}.myhuaweicloud.com"));
        assert_eq!(both("cn-north-4"), [name("workspace.cn-north-4"), name("appstream.cn-north-4")]);
        assert_eq!(both("tr-west-1"), [name("workspace.tr-west-1"), name("workspace.tr-west-1")]);
        assert_eq!(both("eu-west-101"), [name("workspace.eu-west-101"), None]);
        assert_eq!(both("moon-1"), [None, None]);
    }
}
