//! The roots that receivers trust: those of the system, or where it has none the bundled ones.
//!
//! The provider of cryptography is named here and not installed for the process, so that it does not
//! matter who else does.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Certificates of the system's authorities; empty where it has none.
pub fn system_roots() -> Vec<rustls::pki_types::CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// TLS 1.2 and 1.3 with `ring`. None only where the build knows no protocol version.
pub fn client() -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system_roots());
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_something_to_trust() {
        assert!(client().is_some());
    }
}
