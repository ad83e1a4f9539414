use axum::{Router, routing::get};
use palisade::{WithAuth, auth::Jwt};

pub fn case() {
    let auth = Jwt::<()>::hs256("a signing key of at least thirty-two bytes").audience("orders");
    let _: Router = Router::new().route("/", get(|| async {}).with_auth(&auth));
}
