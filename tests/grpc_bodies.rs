//! What a tonic client sees of limits that end a call whose response has begun.

use std::time::Duration;

use crate::chat_service::{self, LIMIT, Note, TALK};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

/// A call that stays open until the sender is dropped, and the response that has begun.
async fn talk(wait: Option<Duration>) -> (tokio::sync::mpsc::Sender<Note>, Streaming<Note>) {
    let address = chat_service::start().await;
    let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client: Grpc<Channel> = Grpc::new(channel);
    client.ready().await.unwrap();
    let (send, notes) = tokio::sync::mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(notes));
    wait.into_iter().for_each(|wait| request.set_timeout(wait));
    let (path, codec) = (PathAndQuery::from_static(TALK), ProstCodec::<Note, Note>::default());
    let mut replies = client.streaming(request, path, codec).await.unwrap().into_inner();
    assert_eq!(replies.next().await.unwrap().unwrap(), Note::default());
    (send, replies)
}

fn note(length: usize) -> Note {
    Note { bytes: vec![7; length] }
}

fn says(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!((&*info.reason, &*info.domain), (reason, "chat.v1.Chat"));
    assert_eq!(details.request_info().expect("a RequestInfo").request_id.len(), 36);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_message_in_a_running_call_is_resource_exhausted() {
    let (send, mut replies) = talk(None).await;
    for _ in 0..5 {
        send.send(note(LIMIT - 10)).await.unwrap();
        assert_eq!(replies.next().await.unwrap().unwrap(), note(LIMIT - 10));
    }
    send.send(note(LIMIT + 1)).await.unwrap();
    let status = replies.next().await.unwrap().unwrap_err();
    says(&status, Code::ResourceExhausted, "PAYLOAD_TOO_LARGE");
    assert!(replies.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_of_the_client_ends_a_running_call_with_details() {
    let (_open, mut replies) = talk(Some(Duration::from_millis(300))).await;
    let status = replies.next().await.unwrap().unwrap_err();
    says(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(replies.next().await.is_none());
}
