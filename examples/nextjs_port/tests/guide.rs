//! The guide shows this service, and the service runs on a socket too.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::Api;

const SOURCES: [&str; 12] = [
    include_str!("../app.rs"),
    include_str!("../config.rs"),
    include_str!("../content.rs"),
    include_str!("../errors.rs"),
    include_str!("../forms.rs"),
    include_str!("../items.rs"),
    include_str!("../main.rs"),
    include_str!("../pages.rs"),
    include_str!("../users.rs"),
    include_str!("../webhooks.rs"),
    include_str!("handlers.rs"),
    include_str!("mod.rs"),
];

#[test]
fn rust_blocks_of_the_guide_are_parts_of_this_service() {
    // The guide begins each block at the first column.
    let unindented = |text: &str| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    let sources = SOURCES.map(unindented);
    let page = include_str!("../../../docs/guide/nextjs.md");
    let mut blocks = 0;
    for block in page.split("```rust ignore\n").skip(1).filter_map(|rest| rest.split("```").next())
    {
        let block = unindented(block);
        let is_shown = sources.iter().any(|source| source.contains(&block));
        assert!(is_shown, "not in examples/nextjs_port:\n{block}");
        blocks += 1;
    }
    assert!(blocks > 50, "{blocks}");
}

#[tokio::test]
async fn service_answers_on_a_socket() {
    let api = Api::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = api.router.clone().into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async { axum::serve(listener, app).await });

    // The limit by address needs the peer, which only a socket has.
    let bearer = api.bearer("ada", &[]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains(r#"{"data":["lamp"]}"#), "{response}");
    server.abort();
}
