//! A log that takes no line.

use super::house::{House, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_takes_no_line_ends_no_daemon() {
    let receivers = "  - {name: kept, kind: file, path: kept.ndjson}";
    let house =
        House::new("http://127.0.0.1:9", "desktop_logins", "1d", receivers, "  - {match: {}, to: [kept]}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = house.run_of(&house.silent(), full);
    until("the daemon answers", async || {
        assert!(process.runs(), "the daemon has ended by itself");
        house.status().await
    })
    .await;
    process.end().await;
}
