//! What every receiver sends, message by message: one file a kind under `snapshots`.
//!
//! `INSTA_UPDATE=always cargo test receivers_shown` writes them anew; read the difference.

use std::fmt::Write as _;

use larum::config::Secrets;
use larum::route::Attempt;
use serde_json::Value as Json;

use super::receivers::{every_http, taking, try_receiver, usual_messages};

/// Headers that are a connection's, not a message's.
/// The signature over the host is one of them: its port is another each time.
const OF_THE_CONNECTION: [&str; 6] =
    ["host", "content-length", "accept", "user-agent", "content-type", "authorization"];

#[tokio::test]
async fn every_receivers_messages_are_as_they_are_written() {
    let names: Vec<&str> = every_http(&taking("webhook").await).iter().map(|(kind, _)| *kind).collect();
    for kind in names {
        let http = taking(kind).await;
        let (_, receiver) = every_http(&http).into_iter().find(|(other, _)| *other == kind).unwrap();
        let mut text = String::new();
        for (name, message) in usual_messages() {
            assert_eq!(receiver.send(&message).await, Attempt::Delivered, "{kind} {name}");
            for request in http.seen.lock().unwrap().drain(..) {
                let _ = writeln!(text, "== {name}: POST {}", request.target);
                for (header, value) in &request.headers {
                    if !OF_THE_CONNECTION.contains(&header.as_str()) {
                        let _ = writeln!(text, "{header}: {value}");
                    }
                }
                let body: Json = serde_json::from_slice(&request.body).unwrap();
                let _ = writeln!(text, "{body:#}");
            }
        }
        insta::assert_snapshot!(kind, text);
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "reads back what was written")]
async fn letters_are_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut secrets = Secrets::default();
    secrets.folder = folder.path().to_owned();
    let text = "{kind: email, smtp: \"file:mail\", from: Larum <larum@example.org>, to: [soc@example.com]}";
    let receiver = try_receiver(text, &secrets).unwrap();
    let mut text = String::new();
    for (name, message) in usual_messages() {
        assert_eq!(receiver.send(&message).await, Attempt::Delivered);
        let letter = folder.path().join(format!("mail/{}.eml", message.id));
        let mut letter = std::fs::read_to_string(letter).unwrap().replace("\r\n", "\n");
        // What parts the bodies is drawn by chance.
        if let Some((_, rest)) = letter.split_once("boundary=\"") {
            let boundary = rest.split('"').next().unwrap().to_owned();
            letter = letter.replace(&boundary, "BOUNDARY");
        }
        let _ = writeln!(text, "== {name}\n{letter}");
    }
    insta::assert_snapshot!("email", text);
}
