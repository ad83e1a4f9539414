//! Services whose cost is known, behind real servers.

use std::{
    convert::Infallible,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use palisade_bench::{Load, Protocol};
use tower::service_fn;

type Answer = Result<Response<Full<Bytes>>, Infallible>;

async fn hello(_: Request<Incoming>) -> Answer {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

#[test]
fn sends_each_request_that_is_due() {
    let report = Load::loopback(service_fn(hello))
        .beside("again", service_fn(hello))
        .rates([500, 1000])
        .turn(Duration::from_millis(100))
        .rounds(2)
        .run()
        .unwrap();
    let rows: Vec<_> =
        report.rows.iter().map(|row| (&row.name[..], row.rate, row.requests)).collect();
    assert_eq!(
        rows[2..],
        [
            ("bare", Some(500), 100),
            ("again", Some(500), 100),
            ("bare", Some(1000), 200),
            ("again", Some(1000), 200)
        ]
    );
    assert!(rows[0].1.is_none() && rows[0].2 > 0);
    assert!(report.rows.iter().all(|row| row.p50 > 0 && row.p50 <= row.p99 && row.p99 <= row.p999));
    assert_eq!(report.rows[0].share.median, 1.0);
    assert!(report.to_markdown().contains("| again"), "{}", report.to_markdown());
}

/// A client that waits for each response before it sends the next request would hide the stall: one slow request of many.
#[test]
fn server_stall_delays_all_requests_due_meanwhile() {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    let stalls = service_fn(|request| {
        if SERVED.fetch_add(1, Ordering::Relaxed) % 200 == 150 {
            thread::sleep(Duration::from_millis(60));
        }
        hello(request)
    });
    let report = Load::loopback(stalls)
        .rates([1000])
        .in_flight(1)
        .turn(Duration::from_millis(400))
        .rounds(1)
        .run()
        .unwrap();
    // About 60 of each 200 requests are due during the stall.
    assert!(report.rows[1].p99 > 40_000_000, "{:?}", report.rows[1]);
}

#[test]
fn speaks_http2_and_sends_the_whole_request() {
    let echo = service_fn(|request: Request<Incoming>| async move {
        let is_right = request.version() == Version::HTTP_2
            && request.uri().path_and_query().unwrap() == "/items?x=1"
            && request.headers()["x-one"] == "1";
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let status =
            if is_right && body == "body" { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
        Answer::Ok(Response::builder().status(status).body(Full::new(body)).unwrap())
    });
    let created = service_fn(async |_: Request<Incoming>| {
        Answer::Ok(Response::builder().status(201).body(Full::default()).unwrap())
    });
    let request = Request::post("/items?x=1").header("x-one", "1").body("body").unwrap();
    let load = |protocol| {
        Load::loopback(created)
            .beside("echo", echo)
            .request(request.clone())
            .protocol(protocol)
            .turn(Duration::from_millis(30))
            .rounds(1)
            .run()
    };
    let report = load(Protocol::Http2).unwrap();
    assert!(report.rows.iter().all(|row| row.requests > 0));
    // The services must do the same thing to be compared.
    let error = load(Protocol::Http1).unwrap_err().to_string();
    assert!(
        error.contains("\"echo\" answers 400 Bad Request, the first service 201 Created"),
        "{error}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn work_of_the_service_is_user_time_of_the_server() {
    let works = service_fn(|request| {
        let mut value = 1_u64;
        for _ in 0..200_000 {
            value = black_box(value.wrapping_mul(3));
        }
        hello(request)
    });
    let report = Load::loopback(service_fn(hello))
        .beside("works", works)
        .turn(Duration::from_millis(300))
        .rounds(1)
        .run()
        .unwrap();
    let [bare, works] = [0, 1].map(|row| report.rows[row].user_time.unwrap());
    assert!(works.added.median > bare.micros.median, "{bare:?} {works:?}");
    assert_eq!(bare.added.median, 0.0);
}

#[test]
fn changing_status_is_an_error() {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    let limited = service_fn(async |_: Request<Incoming>| {
        let status = if SERVED.fetch_add(1, Ordering::Relaxed) < 20 { 200 } else { 429 };
        Answer::Ok(Response::builder().status(status).body(Full::default()).unwrap())
    });
    let ran = Load::loopback(limited).turn(Duration::from_millis(100)).rounds(1).run();
    let error = ran.unwrap_err().to_string();
    assert!(error.contains("changed from 200 OK to 429 Too Many Requests"), "{error}");
}

/// A call that is rejected has the status 200, too.
#[test]
fn distinguishes_rejected_from_answered_grpc_calls() {
    // Servers that answer with a message have the status in the trailers, and others in the head.
    let answers = |grpc_status: &'static str, is_in_head: bool| {
        service_fn(move |request: Request<Incoming>| async move {
            let is_call = request.method() == "POST"
                && request.headers()["content-type"] == "application/grpc"
                && request.headers()["te"] == "trailers";
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let status = if is_call && *body == *b"\0\0\0\0\x02hi" { 200 } else { 400 };
            let grpc_status = HeaderValue::from_static(grpc_status);
            let trailers = HeaderMap::from_iter([(GRPC_STATUS, grpc_status.clone())]);
            let body = Full::new(Bytes::from_static(b"hello"))
                .with_trailers(async move { (!is_in_head).then_some(Ok(trailers)) });
            let mut response = Response::builder().status(status).body(body).unwrap();
            if is_in_head {
                response.headers_mut().insert(GRPC_STATUS, grpc_status);
            }
            Ok::<_, Infallible>(response)
        })
    };
    let load = |other, is_in_head| {
        Load::loopback(answers("0", is_in_head))
            .beside("other", answers(other, is_in_head))
            .request(Request::get("/service/call").header("host", "x").body("hi").unwrap())
            .protocol(Protocol::Grpc)
            .turn(Duration::from_millis(20))
            .rounds(1)
            .run()
    };
    assert_eq!(load("0", true).unwrap().rows.len(), 2);
    for is_in_head in [true, false] {
        let error = load("16", is_in_head).unwrap_err().to_string();
        assert!(
            error.contains(
                "\"other\" answers 200 OK, grpc-status 16, the first service 200 OK, grpc-status 0"
            ),
            "{error}"
        );
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
