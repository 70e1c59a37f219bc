//! Who gets in and who does not.

use serde_json::Value;

use super::gate::{Key, LOCKED_FOR, MAX_FAILURES, MAX_SKEW};
use super::signature::{Authorization, canonical, decode};
use super::tests_tools::{
    DESKTOPS, LOGINS, Service, Signed, TOKEN, WALL, beside, body, desktop, header, login,
};
use super::{Answer, Options, Request, Trouble, What};
use crate::record::Millis;

const DATE: &str = "20261120T183000Z";

fn service() -> Service {
    Service::of(&[login("1", "09:00:00", ""), desktop("d1", "09:00:00", "ana", 20)])
}

fn error(answer: &Answer) -> String {
    let body = body(answer);
    format!(
        "{} {} {}",
        answer.status,
        body["error_code"].as_str().unwrap(),
        body["error_msg"].as_str().unwrap()
    )
}

/// A signed request for the first desktop row.
fn signed(service: &mut Service, date: &str, sk: &str) -> Answer {
    let headers = [("Host", "127.0.0.1:1"), ("X-Sdk-Date", date)];
    let request =
        Signed { method: "GET", path: DESKTOPS, query: &[("limit", "1")], headers: &headers, body: "" };
    let authorization = request.authorization(Options::AK, sk);
    let headers = [headers[0], headers[1], ("Authorization", authorization.as_str())];
    service.send("GET", &format!("{DESKTOPS}?limit=1"), &headers, "")
}

#[test]
fn every_vector_of_the_official_signer_verifies_and_no_other_secret_does() {
    let Some(text) = beside("reference/signing-vectors.json") else { return };
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut headers: Vec<(String, String)> = vector["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect();
        headers.push(("Host".to_owned(), text(&vector["host"])));
        let request = Request {
            method: vector["method"].as_str().unwrap(),
            target: vector["expect"]["request_target"].as_str().unwrap(),
            headers: &headers,
            body: vector["body"].as_str().unwrap().as_bytes(),
            local: false,
            host: None,
        };
        let authorization =
            Authorization::parse(vector["expect"]["authorization"].as_str().unwrap()).unwrap();
        assert_eq!(canonical(&request, authorization.signed), text(&vector["expect"]["canonical_request"]));
        assert!(authorization.verify(&request, vector["sk"].as_str().unwrap()), "{}", vector["name"]);
        assert!(!authorization.verify(&request, "another"), "{}", vector["name"]);
        let other = Request { body: b"x", ..request };
        assert!(!authorization.verify(&other, vector["sk"].as_str().unwrap()), "{}", vector["name"]);
        let other = Request { method: "PUT", ..request };
        assert!(!authorization.verify(&other, vector["sk"].as_str().unwrap()), "{}", vector["name"]);
    }
}

/// The recording masks dates, ports and signatures, so each request is signed again here, by code of
/// the test's own, over the headers that the official client signed.
#[test]
fn every_signed_request_that_the_official_client_was_recorded_sending_verifies() {
    let Some(text) = beside("reference/sdk-requests.json") else { return };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let mut verified = 0;
    for request in
        recorded["cases"].as_array().unwrap().iter().flat_map(|case| case["requests"].as_array().unwrap())
    {
        let text =
            |value: &Value| value.as_str().unwrap().replace("YYYYMMDDTHHMMSSZ", DATE).replace("PORT", "1");
        let headers: Vec<(String, String)> = request["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect();
        let Some((_, masked)) = headers.iter().find(|(name, _)| name == "Authorization") else { continue };
        let (target, sent) = (text(&request["target"]), text(&request["body"]));
        let masked = masked.replace("MASKED", &"0".repeat(64));
        let parsed = Authorization::parse(&masked).unwrap();
        let value = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .unwrap()
        };
        let signed: Vec<(&str, &str)> = parsed.signed.split(';').map(|name| (name, value(name))).collect();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (decode(key, false), decode(value, false)))
            .collect();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let method = request["method"].as_str().unwrap();
        let authorization = Signed { method, path, query: &pairs, headers: &signed, body: &sent };
        let authorization = authorization.authorization(parsed.access, "secret");
        let request = Request {
            method,
            target: &target,
            headers: &headers,
            body: sent.as_bytes(),
            local: false,
            host: None,
        };
        let authorization = Authorization::parse(&authorization).unwrap();
        assert!(authorization.verify(&request, "secret"), "{target}");
        assert!(!parsed.verify(&request, "secret"), "{target}");
        verified += 1;
    }
    assert!(verified > 35, "{verified}");
}

/// A request as it was recorded, with a token in place of the masked signature.
fn replayed(service: &mut Service, request: &Value) -> Answer {
    let text = |name: &str| request[name].as_str().unwrap();
    let mut headers = vec![("X-Auth-Token", TOKEN)];
    for pair in request["headers"].as_array().unwrap() {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        if !["authorization", "x-auth-token"].contains(&name.to_lowercase().as_str()) {
            headers.push((name, value));
        }
    }
    service.send(text("method"), text("target"), &headers, text("body"))
}

#[test]
fn every_operation_that_the_official_client_was_recorded_asking_for_is_answered() {
    let Some(text) = beside("reference/sdk-requests.json") else { return };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 37);
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let mut service = service();
        for request in case["requests"].as_array().unwrap() {
            let answer = replayed(&mut service, request);
            let expected = match name {
                // Somebody else's service.
                "smn/publish" => 404,
                // There is no such task.
                "export-tasks/download" => 400,
                // The recorded user is another one.
                "iam/password-token" => 401,
                // Leave to ask for keys was another one.
                "auth/instance-metadata" if request["target"] == "/openstack/latest/securitykey" => 401,
                _ => 200,
            };
            let said = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status, expected, "{name}: {}: {said}", request["target"]);
        }
    }
}

#[test]
fn a_right_signature_comes_in_and_a_wrong_one_is_told_what_was_signed() {
    let mut service = service();
    assert_eq!(signed(&mut service, DATE, Options::SK).status, 200);
    let refused = signed(&mut service, DATE, "wrong");
    assert_eq!(
        error(&refused),
        format!(
            "401 APIGW.0301 Incorrect IAM authentication information: verify aksk signature fail, \
             canonicalRequest:GET|{DESKTOPS}/|limit=1|host:127.0.0.1:1|x-sdk-date:{DATE}||host;x-sdk-date|\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        )
    );
    assert_eq!(body(&refused)["request_id"].as_str(), header(&refused, "x-request-id"));
}

#[test]
fn a_clock_fifteen_minutes_off_is_refused_whatever_the_records_are_of() {
    let mut service = service();
    let at = |service: &mut Service, by: Millis| {
        service.wall = WALL + by;
        signed(service, DATE, Options::SK)
    };
    assert_eq!(at(&mut service, MAX_SKEW).status, 200);
    let late = at(&mut service, MAX_SKEW + Millis(1));
    assert_eq!(
        error(&late),
        "401 APIGW.0301 Incorrect IAM authentication information: calc ak sk signature fail:signature expired"
    );
    assert_eq!(at(&mut service, Millis(-MAX_SKEW.0 - 1)).status, 401);
    assert_eq!(signed(&mut service, "yesterday", Options::SK).status, 401);
}

#[test]
fn more_than_five_wrong_signatures_lock_the_key_for_five_minutes() {
    let mut service = service();
    for _ in 0..MAX_FAILURES {
        assert!(error(&signed(&mut service, DATE, "wrong")).contains("verify aksk signature fail"));
    }
    // A right one in between starts the count anew.
    assert_eq!(signed(&mut service, DATE, Options::SK).status, 200);
    for _ in 0..=MAX_FAILURES {
        assert!(error(&signed(&mut service, DATE, "wrong")).contains("verify aksk signature fail"));
    }
    let locked = "401 APIGW.0301 Incorrect IAM authentication information: AK access failed to reach the limit,forbidden";
    assert_eq!(error(&signed(&mut service, DATE, Options::SK)), locked);
    service.wall = WALL + Millis(LOCKED_FOR.0 - 1);
    assert_eq!(error(&signed(&mut service, DATE, Options::SK)), locked);
    service.wall = WALL + LOCKED_FOR;
    assert_eq!(signed(&mut service, DATE, Options::SK).status, 200);
}

#[test]
fn what_is_no_credential_is_refused_by_name() {
    let mut service = service();
    let why = |answer: &Answer| error(answer).rsplit("information: ").next().unwrap().to_owned();
    let mut send = |headers: &[(&str, &str)]| service.send("GET", DESKTOPS, headers, "");
    assert_eq!(why(&send(&[])), "x-auth-token not found");
    assert_eq!(why(&send(&[("X-Auth-Token", "other")])), "decrypt token fail");
    assert_eq!(why(&send(&[("Authorization", "Bearer x")])), "Unauthorized");
    let unknown = format!("SDK-HMAC-SHA256 Access=NOBODY, SignedHeaders=host, Signature={}", "0".repeat(64));
    assert_eq!(
        why(&send(&[("Authorization", &unknown)])),
        "Get secretKey failed,ak:NOBODY,error:ak not exist"
    );
}

#[test]
fn a_signature_that_leaves_the_date_out_is_none() {
    let mut service = service();
    let headers = [("Host", "h"), ("X-Sdk-Date", DATE)];
    let mut status = |signed: &[(&str, &str)]| {
        let request = Signed { method: "GET", path: DESKTOPS, query: &[], headers: signed, body: "" };
        let text = request.authorization_at(DATE, Options::AK, Options::SK);
        let headers = [headers[0], headers[1], ("Authorization", text.as_str())];
        service.send("GET", DESKTOPS, &headers, "").status
    };
    assert_eq!(status(&headers), 200);
    assert_eq!(status(&headers[..1]), 401);
}

#[test]
fn temporary_keys_need_their_token_signed_along() {
    let key = Key { security_token: Some("ST".to_owned()), ..Key::new("TMP", "tmp-secret") };
    let mut service =
        Service::with(&[desktop("d1", "09:00:00", "ana", 20)], |options| options.keys = vec![key]);
    let mut send = |headers: &[(&str, &str)], more: &[(&str, &str)]| {
        let request = Signed { method: "GET", path: DESKTOPS, query: &[], headers, body: "" };
        let text = request.authorization("TMP", "tmp-secret");
        let mut headers = [headers, more].concat();
        headers.push(("Authorization", &text));
        service.send("GET", DESKTOPS, &headers, "").status
    };
    let (host, date) = (("Host", "h"), ("X-Sdk-Date", DATE));
    assert_eq!(send(&[host, date, ("X-Security-Token", "ST")], &[]), 200);
    assert_eq!(send(&[host, date, ("X-Security-Token", "other")], &[]), 401);
    assert_eq!(send(&[host, date], &[("X-Security-Token", "ST")]), 401);
    assert_eq!(send(&[host, date], &[]), 401);
}

#[test]
fn a_machine_is_handed_temporary_keys_that_may_sign_until_they_expire() {
    let mut service = service();
    let leave = service.send("PUT", "/meta-data/latest/api/token", &[], "");
    assert_eq!(leave.status, 400, "it says for how long");
    let leave = [("X-Metadata-Token-Ttl-Seconds", "21600")];
    let leave = service.send("PUT", "/meta-data/latest/api/token", &leave, "");
    let leave = String::from_utf8(leave.body).unwrap();
    let mut keys = |leave: &str| {
        service.send("GET", "/openstack/latest/securitykey", &[("X-Metadata-Token", leave)], "")
    };
    assert_eq!(keys("another").status, 401);
    let credential = body(&keys(&leave))["credential"].clone();
    assert_eq!(credential["expires_at"], "2026-11-21T18:30:00.000000Z");
    let again = body(&keys(&leave))["credential"].clone();
    assert_ne!(credential["securitytoken"], again["securitytoken"]);
    let text = |name: &str| credential[name].as_str().unwrap();
    let mut signed = |date: &str, wall: Millis| {
        let headers = [("Host", "h"), ("X-Sdk-Date", date), ("X-Security-Token", text("securitytoken"))];
        let request = Signed { method: "GET", path: DESKTOPS, query: &[], headers: &headers, body: "" };
        let authorization = request.authorization(text("access"), text("secret"));
        let headers = [&headers[..], &[("Authorization", authorization.as_str())]].concat();
        service.wall = WALL + wall;
        service.send("GET", DESKTOPS, &headers, "")
    };
    assert_eq!(signed(DATE, Millis::ZERO).status, 200);
    assert_eq!(
        error(&signed("20261121T183000Z", Millis::days(1))),
        "401 APIGW.0301 Incorrect IAM authentication information: calc ak sk signature fail:signature expired"
    );
    let mut without = Service::with(&[], |options| options.keys.truncate(1));
    let none = without.send("GET", "/openstack/latest/securitykey", &[], "");
    assert_eq!(
        (none.status, none.body.as_slice()),
        (401, &b"Please configure Cloud Service Agency first"[..])
    );
}

fn password(password: &str) -> String {
    serde_json::json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "domain": {"name": "simulated-account"}, "name": "simulated-user", "password": password}}},
        "scope": {"project": {"name": "cn-north-4"}},
    }})
    .to_string()
}

#[test]
fn a_stale_token_is_refused_from_then_on_and_a_new_one_is_not() {
    let mut service = service();
    let renew = |service: &mut Service| {
        let answer =
            service.send("POST", "/v3/auth/tokens?nocatalog=true", &[], &password("simulated-password"));
        assert_eq!(answer.status, 201);
        assert_eq!(body(&answer)["token"]["expires_at"], "2026-11-21T18:30:00.000000Z");
        header(&answer, "x-subject-token").unwrap().to_owned()
    };
    let first = renew(&mut service);
    let ask =
        |service: &mut Service, token: &str| service.send("POST", LOGINS, &[("X-Auth-Token", token)], "{}");
    assert_eq!(ask(&mut service, &first).status, 200);
    service.simulation.troubles().add(Trouble::once(What::StaleToken {})).unwrap();
    let told = "401 APIGW.0307 The token must be updated.";
    assert_eq!(error(&ask(&mut service, &first)), told);
    assert_eq!(error(&ask(&mut service, &first)), told);
    let second = renew(&mut service);
    assert_ne!(first, second);
    assert_eq!(ask(&mut service, &second).status, 200);
    service.wall = WALL + Millis::hours(24);
    assert_eq!(
        error(&ask(&mut service, &second)),
        "401 APIGW.0301 Incorrect IAM authentication information: token expires, expires_at: 2026-11-21T18:30:00.000000Z"
    );
}

#[test]
fn a_wrong_password_gets_no_token() {
    let answer = service().send("POST", "/v3/auth/tokens", &[], &password("guess"));
    assert_eq!((answer.status, body(&answer)["error"]["title"].as_str()), (401, Some("Unauthorized")));
}

#[test]
fn a_client_that_sends_token_and_signature_needs_one_that_holds() {
    let headers = [("X-Auth-Token", TOKEN), ("Authorization", "SDK-HMAC-SHA256 nonsense")];
    assert_eq!(service().send("GET", DESKTOPS, &headers, "").status, 200);
}

#[test]
fn a_project_is_found_by_its_name_and_another_one_is_unavailable() {
    let mut service = service();
    let answer = service.get("/v3/projects?name=cn-north-4");
    assert_eq!(body(&answer)["projects"][0]["id"], Options::PROJECT_ID);
    let other = service.get("/v2/ffffffffffffffffffffffffffffffff/connections/desktops");
    assert_eq!(error(&other), "403 APIGW.0310 The project is unavailable.");
}

#[test]
fn no_secret_is_printed() {
    let service = Service::with(&[], |options| options.keys = vec![Key::new("AK", "hush")]);
    let options = Options { tokens: vec![TOKEN.to_owned()], ..Options::new(|| WALL) };
    let shown = format!("{:?} {options:?}", service.simulation);
    for secret in ["hush", TOKEN, Options::SK, "simulated-password"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
