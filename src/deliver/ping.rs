//! A call without a word in it: whoever hears it regularly knows that Larum lives.

use crate::config::{Options, Secrets};
use crate::record::{Millis, Timestamp};
use crate::route::Attempt;
use crate::rule::problem::Problems;

use super::http::Endpoint;

/// Who is called.
#[derive(Debug)]
pub struct Ping(Endpoint);

impl Ping {
    /// The address under `url`: a credential, named by its place.
    pub fn open(
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        timeout: Millis,
    ) -> Option<Self> {
        Endpoint::open(options, secrets, problems, timeout, true).map(Self)
    }

    /// Calls `url`, for tests.
    #[cfg(test)]
    pub(crate) fn to(url: &str, timeout: Millis) -> Option<Self> {
        Endpoint::to(url.parse().ok()?, timeout, super::guard::Guard::default()).map(Self)
    }

    /// Calls once.
    pub async fn call(&self, now: Timestamp) -> Attempt {
        match self.0.get(now).await {
            Ok(answer) => self.0.judge(&answer),
            Err(attempt) => attempt,
        }
    }
}
