//! Receivers that encrypt: they send to whom the system trusts, and to nobody else.
//!
//! The system's trust is a variable of the environment, so the half that is trusted runs in a process
//! of its own: this test binary again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use larum::config::Secrets;
use larum::deliver::Receiver;
use larum::route::Attempt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::mail_server::Real;
use super::receivers::{alert_message, reason, try_receiver};

/// Where the other process is to send to: names of its variables.
const WEBHOOK: &str = "LARUM_TEST_WEBHOOK";
const MAIL: &str = "LARUM_TEST_MAIL";

/// The certificate for `localhost` that the servers here have, which signs itself, and its key. They
/// are for these tests and worth nothing elsewhere.
pub fn identity(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/localhost").join(name)
}

fn mail_server(mode: &str) -> Option<Real> {
    let (certificate, key) = (identity("certificate.pem"), identity("key.pem"));
    Real::start(&[mode, "--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()])
}

/// An HTTPS server that says 204 to whoever comes that far; its port.
async fn https() -> u16 {
    let certificate = CertificateDer::from_pem_file(identity("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(identity("key.pem")).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut seen = Vec::new();
                // The body is one object of JSON, and the last thing that is sent.
                while !seen.ends_with(b"}") && stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
                }
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

fn webhook(url: &str) -> Box<dyn Receiver> {
    try_receiver(&format!("{{kind: webhook, url: \"{url}\"}}"), &Secrets::default()).unwrap()
}

fn mail(smtp: &str) -> Box<dyn Receiver> {
    let text = format!("{{kind: email, smtp: \"{smtp}\", from: larum@example.org, to: [soc@example.com]}}");
    try_receiver(&text, &Secrets::default()).unwrap()
}

async fn trusting(name: &'static str, url: &str) -> bool {
    trusting_alone("receivers_tls::what_the_system_trusts_is_sent_to", name, url).await
}

/// Runs `test` where the system trusts this certificate alone, with `url` in the environment.
pub async fn trusting_alone(test: &str, name: &'static str, url: &str) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored"])
        .env("SSL_CERT_FILE", identity("certificate.pem"))
        .env_remove("SSL_CERT_DIR")
        .env(name, url);
    tokio::task::spawn_blocking(move || command.output().unwrap().status.success()).await.unwrap()
}

#[tokio::test]
#[ignore = "run by the other tests of this file, with the system's trust as they want it"]
#[expect(clippy::disallowed_methods, reason = "the tests that run this one speak to it by its environment")]
async fn what_the_system_trusts_is_sent_to() {
    if let Ok(url) = std::env::var(WEBHOOK) {
        assert_eq!(webhook(&url).send(&alert_message("ana")).await, Attempt::Delivered);
    }
    if let Ok(url) = std::env::var(MAIL) {
        assert_eq!(mail(&url).send(&alert_message("ana")).await, Attempt::Delivered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_goes_to_whom_the_system_trusts_and_to_nobody_else() {
    let url = format!("https://localhost:{}/hook", https().await);
    let attempt = webhook(&url).send(&alert_message("ana")).await;
    assert!(matches!(attempt, Attempt::TryAgain { .. }), "{attempt:?}");
    assert!(reason(&attempt).contains("certificate"), "{attempt:?}");
    assert!(trusting(WEBHOOK, &url).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_to_whom_the_system_trusts_and_to_nobody_else() {
    for (mode, scheme) in [("--implicit", "smtps"), ("--starttls", "smtp+starttls")] {
        let Some(server) = mail_server(mode) else { return };
        let url = format!("{scheme}://localhost:{}", server.port);
        let attempt = mail(&url).send(&alert_message("ana")).await;
        assert!(matches!(attempt, Attempt::TryAgain { .. }), "{attempt:?}");
        assert!(reason(&attempt).contains("certificate"), "{attempt:?}");
        assert!(server.mail().is_empty());
        assert!(trusting(MAIL, &url).await, "{mode}");
        let mail = server.mail();
        assert_eq!(mail.len(), 1);
        assert_eq!(mail[0].0["tls"], true);
    }
}
