//! Who asks: where credentials are found, how they are renewed, and that no key is ever tried twice.

use std::path::Path;

use super::tests::{Bench, NOW, ROW, Says, configured_with, refused};
use super::*;

const SDK: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AK-ENVIRONMENT"), ("HUAWEICLOUD_SDK_SK", "sk")];
const EXPIRED: &str = r#"{"error_code":"APIGW.0307","error_msg":"The token must be updated"}"#;
const WRONG: &str = r#"{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: verify aksk signature fail"}"#;
/// Ends an hour after [`NOW`].
const LENT: &str = r#"{"credential":{"access":"AK-LENT-1","secret":"s1","securitytoken":"st1","expires_at":"2026-01-05T10:00:00.000000Z"}}"#;
const LENT_AGAIN: &str = r#"{"credential":{"access":"AK-LENT-2","secret":"s2","securitytoken":"st2","expires_at":"2026-01-05T11:00:00.000000Z"}}"#;
const ISSUED: &str =
    r#"{"token":{"expires_at":"2026-01-06T09:00:00.000000Z","issued_at":"2026-01-05T09:00:00.000000Z"}}"#;
const NONE: Says = Says::Page(0, &[]);

/// A home folder with a profile.
fn home(profile: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".huaweicloud")).unwrap();
    std::fs::write(home.path().join(".huaweicloud/credentials"), profile).unwrap();
    home
}

fn secrets(home: &Path, given: &[(&str, &str)]) -> Secrets {
    let secrets = Secrets::in_folder(home).with("HOME", home.to_str().unwrap());
    given.iter().fold(secrets, |secrets, (name, value)| secrets.with(name, value))
}

/// A source whose services are all at `base`; without `project_id` where `more` says so.
fn text(base: &str, more: &str) -> String {
    format!(
        "region: ap-southeast-3\nendpoints: [app_logins]\nrequests: {{per_second: 10}}\nbase_url: {{workspace: \"{base}\", \
         workspaceapp: \"{base}\", iam: \"{base}\", metadata: \"{base}\"}}\n{more}\n"
    )
}

const PROJECT: &str = "project_id: 0123456789abcdef0123456789abcdef\n";

async fn bench(says: &[Says], more: &str, secrets: &Secrets) -> Bench {
    let more = format!("{PROJECT}{more}");
    Bench::over(says, |base| configured_with(&text(base, &more), secrets).unwrap()).await
}

/// Who asked, of each request that came: the access key or the token; the path of others.
fn askers(bench: &Bench) -> Vec<String> {
    let asker = |came: &super::tests::Came| {
        let signed =
            came.header("authorization").split_once("Access=").map(|(_, rest)| rest.split(',').next());
        let token = Some(came.header("x-auth-token")).filter(|token| !token.is_empty());
        let path = || came.target.split('?').next().unwrap_or_default();
        signed.flatten().or(token).unwrap_or_else(path).to_owned()
    };
    bench.came().iter().map(asker).collect()
}

#[tokio::test]
async fn the_environment_comes_before_the_profile_and_the_profile_before_the_machine() {
    let profile = "[basic]\nak = AK-PROFILE\nsk = sk\nsecurity_token = st\n";
    let (with, without) = (home(profile), tempfile::tempdir().unwrap());
    for (secrets, more, asker) in [
        (secrets(with.path(), &SDK), "", "AK-ENVIRONMENT"),
        (secrets(with.path(), &[("HW_ACCESS_KEY", "AK-HW"), ("HW_SECRET_KEY", "sk")]), "", "AK-HW"),
        (secrets(with.path(), &[]), "", "AK-PROFILE"),
        (secrets(without.path(), &[]), "", "/meta-data/latest/api/token"),
        (secrets(with.path(), &SDK), "credentials: {from: profile}", "AK-PROFILE"),
        (secrets(with.path(), &SDK), "credentials: {from: metadata}", "/meta-data/latest/api/token"),
        (secrets(without.path(), &SDK), "credentials: {from: environment}", "AK-ENVIRONMENT"),
    ] {
        let mut bench = bench(&[], more, &secrets).await;
        bench.next().await;
        assert_eq!(askers(&bench)[0], asker, "{more}");
    }
}

#[test]
fn what_is_half_or_double_is_told_with_the_way_out() {
    let (with, without) = (home("[basic]\nak = A\n"), tempfile::tempdir().unwrap());
    let fault = |home: &Path, given: &[(&str, &str)], more: &str| {
        let text = format!("{PROJECT}region: ap-southeast-3\n{more}\n");
        configured_with(&text, &secrets(home, given)).map(|_| ()).unwrap_err()
    };
    let half = fault(without.path(), &[("HUAWEICLOUD_SDK_AK", "A")], "");
    assert!(half.contains("no `HUAWEICLOUD_SDK_SK` (set `HUAWEICLOUD_SDK_SK` where larum runs)"), "{half}");
    let half = fault(with.path(), &[], "");
    assert!(half.contains("has no `sk`; write `sk = …` there"), "{half}");
    let none = fault(without.path(), &[], "credentials: {from: environment}");
    assert!(none.contains("set `HUAWEICLOUD_SDK_AK` and `HUAWEICLOUD_SDK_SK`"), "{none}");
    let none = fault(without.path(), &[], "credentials: {from: profile}");
    assert!(none.contains("there is no profile file (write a section [basic] with ak and sk to "), "{none}");
    let double = fault(without.path(), &SDK, "credentials: {from: environment, token: env:TOKEN}");
    assert!(double.contains("names two credentials (keep one: "), "{double}");
    let missing = fault(without.path(), &SDK, "credentials: {user: u, password: env:HUAWEICLOUD_SDK_SK}");
    assert!(missing.starts_with("`credentials` needs `domain`"), "{missing}");
    let odd = fault(without.path(), &[SDK[0], SDK[1], ("HUAWEICLOUD_SDK_PROJECT_ID", "x")], "");
    assert!(odd.contains("is no project id (write `project_id` here)"), "{odd}");
}

#[tokio::test]
async fn keys_that_are_lent_are_renewed_before_they_end() {
    let home = tempfile::tempdir().unwrap();
    let token = Says::Status(200, "metadata-token");
    let says = [token, Says::Status(200, LENT), NONE, Says::Page(1, &[ROW])];
    let mut bench = bench(&says, "credentials: {from: metadata}", &secrets(home.path(), &[])).await;
    bench.reading().await;
    let came = bench.came();
    assert_eq!((came[0].method.as_str(), came[0].header("x-metadata-token-ttl-seconds")), ("PUT", "21600"));
    assert_eq!(came[1].target, "/openstack/latest/securitykey");
    assert_eq!(came[1].header("x-metadata-token"), "metadata-token");
    assert_eq!(came[3].header("x-security-token"), "st1");
    // Half of its hour: nothing yet. A renewal that fails does not stop what is still good.
    bench.passes(Millis::mins(29));
    bench.reading().await;
    bench.passes(Millis::mins(31));
    bench.says(&[Says::Status(404, ""), Says::Status(500, "")]);
    bench.reading().await;
    bench.passes(Millis::mins(33));
    bench.says(&[Says::Status(404, ""), Says::Status(200, LENT_AGAIN)]);
    bench.reading().await;
    let ask = "/meta-data/latest/api/token";
    let key = "/openstack/latest/securitykey";
    assert_eq!(
        askers(&bench),
        [ask, key, "AK-LENT-1", "AK-LENT-1", "AK-LENT-1", ask, key, "AK-LENT-1", ask, key, "AK-LENT-2"]
    );
    assert_eq!(bench.came()[9].header("x-metadata-token"), "", "an older service has no tokens");
}

#[tokio::test]
async fn a_machine_without_an_agency_is_told_of_and_asked_again_half_an_hour_later() {
    let home = tempfile::tempdir().unwrap();
    let none = Says::Status(401, "Please configure Cloud Service Agency first");
    let says = [Says::Status(200, "t"), none];
    let mut bench = bench(&says, "", &secrets(home.path(), &[])).await;
    let (wait, text) = refused(bench.trouble().await);
    assert_eq!(wait, Some(Millis::mins(30)));
    assert!(
        text.ends_with("give this machine an agency that may read Workspace, or name `credentials`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_machine_that_does_not_answer_says_where_credentials_were_looked_for() {
    let home = tempfile::tempdir().unwrap();
    let text = format!("{PROJECT}region: ap-southeast-3\nbase_url: {{metadata: \"http://127.0.0.1:1\"}}\n");
    let mut source = configured_with(&text, &secrets(home.path(), &[])).unwrap();
    let Step::Failed { trouble, .. } = source.step(NOW).await else { panic!() };
    let (wait, text) = refused(trouble);
    assert_eq!(wait, Some(Millis::mins(1)));
    assert!(
        text.starts_with("there are no credentials: none in the configuration, the environment or a profile")
    );
    assert!(text.ends_with("write `credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}`"), "{text}");
}

const LOGIN: &str = "credentials: {user: larum, password: env:PW, domain: account}";

#[tokio::test]
async fn a_password_is_turned_into_a_token_which_is_renewed_once() {
    let home = tempfile::tempdir().unwrap();
    let issued = |token: &'static str| Says::With(201, "x-subject-token", token, ISSUED);
    let old = Says::Status(401, EXPIRED);
    let says = [issued("token-1"), NONE, Says::Page(1, &[ROW]), old, issued("token-2"), NONE];
    let mut bench = bench(&says, LOGIN, &secrets(home.path(), &[("PW", "hunter2")])).await;
    bench.reading().await;
    bench.reading().await;
    let iam = "/v3/auth/tokens";
    assert_eq!(askers(&bench), [iam, "token-1", "token-1", "token-1", iam, "token-2"]);
    let asked: serde_json::Value = serde_json::from_str(&bench.came()[0].body).unwrap();
    let user = &asked["auth"]["identity"]["password"]["user"];
    assert_eq!((&user["name"], &user["password"]), (&"larum".into(), &"hunter2".into()));
    assert_eq!(asked["auth"]["scope"]["project"]["name"], "ap-southeast-3");
    assert_eq!(bench.came()[0].header("authorization"), "");
    // A token that is refused as soon as it is there is not asked for without end.
    bench.says(&[old, issued("token-3"), old]);
    let (wait, text) = refused(bench.trouble().await);
    assert_eq!(wait, Some(Millis::mins(30)));
    assert!(text.ends_with("what was lent anew is refused too"), "{text}");
    assert_eq!(bench.came().len(), 9);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_never_shown() {
    let home = tempfile::tempdir().unwrap();
    let no =
        Says::Status(401, r#"{"error":{"code":401,"message":"hunter2 is wrong","title":"Unauthorized"}}"#);
    let mut bench = bench(&[no], LOGIN, &secrets(home.path(), &[("PW", "hunter2")])).await;
    let (wait, text) = refused(bench.trouble().await);
    assert_eq!(wait, None);
    assert!(
        text.contains("*** is wrong") && text.contains("check `user`, `password` and `domain`"),
        "{text}"
    );
    assert_eq!((bench.next().await, bench.came().len()), (None, 1));
}

#[tokio::test]
async fn credentials_that_are_put_in_the_place_of_refused_ones_are_taken_up() {
    let home = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    put("ak", "AK-OLD");
    put("sk", "old");
    let key = "credentials: {ak: file:ak, sk: file:sk}";
    let mut bench1 = bench(&[Says::Status(401, WRONG)], key, &secrets(home.path(), &[])).await;
    assert_eq!(refused(bench1.trouble().await).0, None);
    assert_eq!((bench1.next().await, bench1.came().len()), (None, 1), "the same key is not tried again");
    put("ak", "AK-NEW");
    bench1.reading().await;
    assert_eq!(askers(&bench1), ["AK-OLD", "AK-NEW"]);

    put("token", "token-old");
    let token = "credentials: {token: file:token}";
    let mut bench2 = bench(&[Says::Status(401, EXPIRED)], token, &secrets(home.path(), &[])).await;
    bench2.trouble().await;
    put("token", "token-new");
    bench2.reading().await;
    assert_eq!(askers(&bench2), ["token-old", "token-new"]);
}

const FOUND: &str = r#"{"projects":[{"id":"AAAA456789abcdef0123456789abcdef","name":"ap-southeast-3"}]}"#;

#[tokio::test]
async fn a_project_is_looked_up_once_and_noted_for_later_lives() {
    let home = tempfile::tempdir().unwrap();
    let (secrets, notes) = (secrets(home.path(), &SDK), home.path().join("larum.db.projects"));
    let built = |base: &str| configured_with(&text(base, ""), &secrets).unwrap();
    let mut bench = Bench::over(&[Says::Status(200, FOUND)], built).await;
    bench.source.prepare(NOW, &notes).await.unwrap();
    let project = |source: &dyn LiveSource| format!("{:?}", source.lanes()[0].origin.provenance);
    assert!(project(&*bench.source).contains("aaaa456789abcdef0123456789abcdef"));
    bench.reading().await;
    let came = bench.came();
    assert_eq!(
        (came[0].target.as_str(), came[0].header("x-project-id")),
        ("/v3/projects?name=ap-southeast-3", "")
    );
    assert!(came[1].target.starts_with("/v1/aaaa456789abcdef0123456789abcdef/"));
    assert_eq!(came[1].header("x-project-id"), "aaaa456789abcdef0123456789abcdef");
    #[expect(clippy::disallowed_methods, reason = "a test looks at what was written")]
    let noted = String::from_utf8(std::fs::read(&notes).unwrap()).unwrap();
    assert!(!noted.contains("AK-ENVIRONMENT"), "{noted}");
    // The same place of IAM, and a new life: nobody is asked.
    let base = format!("http://{}", came[0].header("host"));
    let mut again = configured_with(&text(&base, ""), &secrets).unwrap();
    again.prepare(NOW, &notes).await.unwrap();
    assert_eq!(project(&*again), project(&*bench.source));
    assert_eq!(bench.came().len(), came.len());
}

#[tokio::test]
async fn a_project_that_cannot_be_looked_up_is_told_with_the_way_out() {
    let home = tempfile::tempdir().unwrap();
    let secrets = secrets(home.path(), &SDK);
    let denied = r#"{"error":{"code":403,"message":"You are not authorized","title":"Forbidden"}}"#;
    for (says, told) in [
        (
            Says::Status(200, r#"{"projects":[]}"#),
            "IAM knows no project `ap-southeast-3` of these credentials",
        ),
        (Says::Status(200, r#"{"projects":[{"id":"a"},{"id":"b"}]}"#), "IAM knows 2 projects"),
        (Says::Status(200, r#"{"projects":[{"id":"../x"}]}"#), "an odd project id"),
        (Says::Status(403, denied), "answered 403: 403 You are not authorized; check `credentials`"),
    ] {
        let mut bench =
            Bench::over(&[says], |base| configured_with(&text(base, ""), &secrets).unwrap()).await;
        let told_so = bench.source.prepare(NOW, &home.path().join("notes")).await.unwrap_err();
        assert!(told_so.contains(told) && told_so.contains("write `project_id`"), "{told_so}");
        assert_eq!(bench.came().len(), 1);
    }
}

#[tokio::test]
async fn the_project_of_the_profile_goes_with_its_key() {
    let home = home("[basic]\nak = A\nsk = S\nproject_id = 0123456789abcdef0123456789abcdef\n");
    let secrets = secrets(home.path(), &[]);
    let mut bench = Bench::over(&[], |base| configured_with(&text(base, ""), &secrets).unwrap()).await;
    bench.source.prepare(NOW, &home.path().join("notes")).await.unwrap();
    bench.reading().await;
    assert!(bench.came()[0].target.starts_with("/v1/0123456789abcdef0123456789abcdef/"));
}

#[test]
fn hosts_come_from_the_environment_as_the_sdk_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let name = "HUAWEICLOUD_SDK_REGION_WORKSPACEAPP_MOON_1";
    let secrets = secrets(home.path(), &[SDK[0], SDK[1], (name, "https://one.example,https://two.example")]);
    let text = format!("{PROJECT}region: moon-1\nendpoints: [app_logins]\n");
    let source = configured_with(&text, &secrets).unwrap();
    assert!(format!("{source:?}").contains("one.example"));
}
