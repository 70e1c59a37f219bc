//! Over the wire: the service on a port.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tests_tools::{LOGINS, TOKEN, WALL, login, time};
use super::{Options, Server, Trouble, What, World};
use crate::record::Millis;

async fn server() -> Server {
    let lines = [login("1", "09:00:00", ""), login("2", "09:10:00", "")];
    let world = World::of_lines(7, lines.iter().map(String::as_str)).unwrap();
    let options = Options { speed: 0, tokens: vec![TOKEN.to_owned()], ..Options::new(|| WALL) };
    Server::start(world, options).await.unwrap()
}

/// Sends one request on a connection of its own and reads until the other side is done.
async fn send(server: &Server, method: &str, target: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: any\r\nX-Auth-Token: {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).await;
    if answer.is_empty() {
        end?;
    }
    Ok(String::from_utf8(answer).unwrap())
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn it_answers_with_the_virtual_date() {
    let server = server().await;
    assert!(server.address().ip().is_loopback());
    // A minute before the first row.
    assert_eq!(server.now(), time("08:59:00"));
    server.set_now(time("09:05:00"));
    let answer = send(&server, "POST", LOGINS, "{}").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(answer.matches("\r\ndate: Mon, 05 Jun 2023 09:05:00 GMT\r\n").count(), 1, "{answer}");
    assert_eq!(answer.matches("date: ").count(), 1);
    assert!(answer.contains("\r\ncontent-type: application/json;charset=UTF-8\r\n"));
    assert_eq!(body(&answer)["items"][0]["id"], "1");
    server.advance(Millis::mins(10));
    assert_eq!(body(&send(&server, "POST", LOGINS, "{}").await.unwrap())["count"], 2);
    assert_eq!(server.seen()[0].request, format!("POST {LOGINS}"));
    assert_eq!(server.state()["finished"], true);
}

#[tokio::test]
async fn the_control_paths_move_it() {
    let server = server().await;
    let answer = send(&server, "POST", "/simulate/clock", r#"{"advance": "10m"}"#).await.unwrap();
    assert_eq!(body(&answer)["now"], "2023-06-05T09:09:00.000Z");
    assert_eq!(server.now(), time("09:09:00"));
    let answer = send(&server, "POST", "/simulate/trouble", r#"{"kind": "bad_gateway"}"#).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    let answer = send(&server, "POST", LOGINS, "{}").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_is_cut_before_the_head_or_within_the_body() {
    let server = server().await;
    server.trouble(Trouble::once(What::Cut { after: 0 })).unwrap();
    let nothing = send(&server, "POST", LOGINS, "{}").await;
    assert!(nothing.as_ref().map_or(true, String::is_empty), "{nothing:?}");
    server.set_now(time("10:00:00"));
    server.trouble(Trouble::once(What::Cut { after: 300 })).unwrap();
    let part = send(&server, "POST", LOGINS, "{}").await.unwrap();
    assert_eq!(part.len(), 300);
    assert!(part.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(body(&send(&server, "POST", LOGINS, "{}").await.unwrap())["count"], 2);
}

#[tokio::test]
async fn a_slow_answer_holds_nobody_else_up() {
    let server = server().await;
    server.trouble(Trouble::once(What::Slow { by: Millis::mins(5) })).unwrap();
    let others = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        send(&server, "POST", LOGINS, "{}").await.unwrap()
    };
    tokio::select! {
        slow = send(&server, "POST", LOGINS, "{}") => panic!("not slow: {slow:?}"),
        answer = others => assert!(answer.starts_with("HTTP/1.1 200"), "{answer}"),
    }
}

#[tokio::test]
async fn a_body_past_the_gateways_bound_is_refused() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let length = super::MAX_BODY + 1;
    let head = format!(
        "POST {LOGINS} HTTP/1.1\r\nHost: any\r\nX-Auth-Token: {TOKEN}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..12 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b" ").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_stopped_server_listens_no_more() {
    let server = server().await;
    let address = server.address();
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}
