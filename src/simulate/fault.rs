//! What the service says when it does not answer: the bodies of the gateway and of the service
//! itself, with the codes of `reference/huawei-api.md`, 9.

use serde_json::{Value, json};

use super::Answer;

/// The gateway's faults carry a request id, those of the service behind it do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// `APIGW.…` or `WKS.…`
    pub code: &'static str,
    /// For people.
    pub text: String,
}

impl Fault {
    fn new(status: u16, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into() }
    }

    /// Wrong host, path or method.
    pub fn no_such_api() -> Self {
        let text = "The API does not exist or has not been published in the environment";
        Self::new(404, "APIGW.0101", text)
    }

    /// The gateway's bounds: 413 body, 414 target, 494 headers.
    pub fn too_large(status: u16) -> Self {
        let text = match status {
            413 => "Request entity too large",
            414 => "Request URI too long",
            _ => "Request headers too large",
        };
        Self::new(status, "APIGW.0201", text)
    }

    /// Credentials that do not hold; `why` as in the table of the reference, 9.2.
    pub fn unauthorized(why: &str) -> Self {
        Self::new(401, "APIGW.0301", format!("Incorrect IAM authentication information: {why}"))
    }

    /// Signed too long ago, or with temporary keys that are no longer.
    pub fn expired() -> Self {
        Self::unauthorized("calc ak sk signature fail:signature expired")
    }

    /// The token is not to be used any more.
    pub fn stale_token() -> Self {
        Self::new(401, "APIGW.0307", "The token must be updated.")
    }

    /// A project that is not the configured one.
    pub fn no_project() -> Self {
        Self::new(403, "APIGW.0310", "The project is unavailable.")
    }

    /// A parameter out of its bounds, or half a window.
    pub fn parameter(what: &str) -> Self {
        Self::new(400, "WKS.00211102", format!("The parameter is invalid. {what}"))
    }

    /// A body that cannot be read.
    pub fn message(what: &str) -> Self {
        Self::new(400, "WKS.00139901", format!("The request message is invalid. {what}"))
    }

    /// A body that is not JSON by its own word.
    pub fn media_type() -> Self {
        Self::new(415, "WKS.00000415", "The requested resource format is not supported.")
    }

    /// The answer; `request_id` is told in the body by the gateway only.
    pub fn answer(&self, request_id: &str) -> Answer {
        let mut body = json!({"error_code": self.code, "error_msg": self.text});
        if self.code.starts_with("APIGW") {
            body["request_id"] = request_id.into();
        }
        Answer::json(self.status, &body)
    }
}

/// IAM has a shape of its own.
pub fn iam(status: u16, message: &str, title: &str) -> (u16, Value) {
    (status, json!({"error": {"code": status, "message": message, "title": title}}))
}
