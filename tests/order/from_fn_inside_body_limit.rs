use axum::{Router, extract::Request, middleware::{Next, from_fn}, response::Response};
use palisade::{body::BodyLimit, stack};

async fn logs(request: Request, next: Next) -> Response {
    next.run(request).await
}

pub fn case() {
    let stack = stack().body_limit(BodyLimit::new(1024)).layer(from_fn(logs));
    let _: Router = Router::new().layer(stack);
}
