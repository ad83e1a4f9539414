//! One request that several policies check with the same proof.

use palisade_auth::RequireRole;
use palisade_core::{any_of, shadow, when};

use super::*;

/// Returns true if exactly the first of two requests with the same proof is accepted.
async fn accepts_once<A: Stage + Clone>(auth: &A, client: &Client) -> bool {
    let token = sign_hs256(
        SECRET,
        &json!({
            "sub": "ada",
            "exp": NOW + 600,
            "aud": "orders",
            "roles": ["member"],
            "cnf": {"jkt": client.thumbprint()},
        }),
    );
    let proof = client.proof(&token, "jti", "once");
    accepts(auth, &token, &proof).await && !accepts(auth, &token, &proof).await
}

#[derive(Clone)]
struct Shared<P>(Arc<P>);

impl<P: Policy> Policy for Shared<P> {
    type Grant = P::Grant;

    fn decide(&self, request: &request::Parts) -> palisade_core::Decision<P::Grant> {
        self.0.decide(request)
    }

    fn admit(&self, grant: &mut P::Grant, request: &mut request::Parts) {
        self.0.admit(grant, request);
    }

    fn prepare(&self, request: &mut request::Parts) {
        self.0.prepare(request);
    }
}

#[tokio::test]
async fn proof_counts_once_if_a_request_is_checked_twice() {
    let (auth, client) = (dpop(), Client::new());
    let token = client.token();
    let proof = client.proof(&token, "jti", "twice");
    // optional for the whole service, and required on a route
    let both = auth.clone().optional().then(auth.clone());
    assert!(accepts(&both, &token, &proof).await);
    assert!(!accepts(&both, &token, &proof).await, "another request with the same proof");
    assert!(!accepts(&auth, &token, &proof).await);
}

#[tokio::test]
async fn proof_counts_once_with_a_shadow_policy() {
    let client = Client::new();
    let auth = dpop();
    assert!(accepts_once(&shadow(auth.clone()).then(auth), &client).await);
    let auth = dpop();
    assert!(accepts_once(&auth.clone().then(shadow(auth)), &client).await);
    let auth = dpop();
    let stack = shadow(shadow(auth.clone()).then(auth.clone())).then(auth);
    assert!(accepts_once(&stack, &client).await);
}

#[tokio::test]
async fn proof_counts_once_in_all_branches() {
    let client = Client::new();
    let [admin, member] = ["admin", "member"].map(|role| RequireRole::any([role]));
    let auth = dpop();
    let branches = any_of(auth.clone().then(admin.clone()), auth.clone().then(member.clone()));
    assert!(accepts_once(&Shared(Arc::new(branches)), &client).await);
    let auth = dpop();
    let branches = any_of(
        when(|_| true, auth.clone().then(admin.clone())),
        any_of(auth.clone().then(admin), shadow(auth.clone()).then(auth).then(member)),
    );
    assert!(accepts_once(&Shared(Arc::new(branches)), &client).await);
}

#[tokio::test]
async fn proof_counts_once_with_claims_of_another_type() {
    let client = Client::new();
    let auth = dpop();
    let mapped = auth.clone().map_claims(ToString::to_string).optional();
    assert!(accepts_once(&mapped.then(auth), &client).await);
    let auth = dpop();
    let either = any_of(auth.clone(), auth.clone()).optional();
    assert!(accepts_once(&either.then(auth), &client).await);
}

#[tokio::test]
async fn each_store_records_the_proof() {
    // A proof that is used up in one store is not taken to be used up in another.
    let client = Client::new();
    let (one, other) = (dpop(), dpop());
    let token = client.token();
    let proof = client.proof(&token, "jti", "a");
    assert!(accepts(&one.clone().optional().then(other.clone()), &token, &proof).await);
    assert!(!accepts(&one, &token, &proof).await);
    assert!(!accepts(&other, &token, &proof).await);
}
