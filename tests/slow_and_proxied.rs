//! What only a server can do, as the examples show it: time-outs for the head of a request, and the PROXY protocol.

use std::time::Duration;

use palisade_tests::Example;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sends these bytes and returns what comes back until the server closes the connection.
async fn answer(example: &Example, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(example.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset is an answer too: the server has closed the connection with unread bytes of the client.
    let _ = timeout(Duration::from_secs(20), read).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn incomplete_head_closes_the_connection() {
    let example = Example::start("slow_clients");
    assert!(answer(&example, GET).await.starts_with("HTTP/1.1 200"));
    let begun = answer(&example, b"GET / HTTP/1.1\r\nhost: x\r\n").await;
    assert!(!begun.starts_with("HTTP/1.1 200"), "{begun}");
}

/// A PROXY v2 header that announces this IPv4 address.
fn announced(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0x30, 0x39, 0x0b, 0xb8]);
    header.extend(GET);
    header
}

#[tokio::test]
async fn announced_client_is_the_client_of_all_policies() {
    let example = Example::start("proxy_protocol");
    for _ in 0..2 {
        let first = answer(&example, &announced([192, 0, 2, 1])).await;
        assert!(first.ends_with("hello 192.0.2.1\n"), "{first}");
    }
    let third = answer(&example, &announced([192, 0, 2, 1])).await;
    assert!(third.starts_with("HTTP/1.1 429"), "{third}");
    let other = answer(&example, &announced([192, 0, 2, 2])).await;
    assert!(other.ends_with("hello 192.0.2.2\n"), "{other}");
}

#[tokio::test]
async fn connection_without_a_version_2_header_is_closed() {
    let example = Example::start("proxy_protocol");
    for start in [&b""[..], b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n"] {
        let bytes = [start, GET].concat();
        assert_eq!(answer(&example, &bytes).await, "");
    }
}
