use http::{HeaderValue, Method, header};
use serde::Serialize;
use serde_json::Value;

use crate::{TestClient, TestRequest, TestToken};

/// A client that sends a token with each request. Made by [`TestClient::as_user`].
///
/// Each request has a token of its own, so that an issuer's clock and keys count when it is sent.
///
/// ```
/// use palisade_testing::{TestClient, TestIssuer};
/// # let service = tower::service_fn(|request: http::Request<http_body_util::Full<bytes::Bytes>>| async move {
/// #     assert!(request.headers().contains_key("authorization"));
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<bytes::Bytes>::default()))
/// # });
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let issuer = TestIssuer::hs256("a signing key of at least thirty-two bytes");
/// let client = TestClient::new(service).with_issuer(&issuer);
/// let admin = client.as_user("ada").role("admin").tenant("acme");
/// admin.get("/items").await.assert_status(200);
/// admin.delete("/items/1").await.assert_status(200);
/// # });
/// ```
#[derive(Clone, Debug)]
#[must_use = "requests are sent by `get`, `post` and so on"]
pub struct TestUser {
    client: TestClient,
    token: TestToken,
    is_opaque: bool,
}

impl TestClient {
    /// Sends requests with a token of this subject, which can be given roles, scopes and tenants.
    ///
    /// # Panics
    ///
    /// If the client has no issuer.
    #[track_caller]
    pub fn as_user(&self, subject: impl AsRef<str>) -> TestUser {
        let issuer = self.issuer.as_ref().expect(
            "the client has no issuer: call `TestClient::new(service).with_issuer(&issuer)` with one that the service trusts",
        );
        TestUser { client: self.clone(), token: issuer.token(subject), is_opaque: false }
    }
}

impl TestUser {
    /// Adds a role.
    pub fn role(self, role: impl Into<String>) -> Self {
        self.with_token(|token| token.role(role))
    }

    /// Adds a scope.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.with_token(|token| token.scope(scope))
    }

    /// Adds a tenant.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.with_token(|token| token.tenant(tenant))
    }

    /// Sets a claim.
    pub fn claim(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with_token(|token| token.claim(name, value))
    }

    /// Sets all claims of a struct or map.
    ///
    /// # Panics
    ///
    /// If they are not an object.
    #[track_caller]
    pub fn claims(self, claims: &impl Serialize) -> Self {
        Self { token: self.token.claims(claims), ..self }
    }

    /// Changes the token, such as to one that has expired: `.with_token(TestToken::expired)`.
    pub fn with_token(self, change: impl FnOnce(TestToken) -> TestToken) -> Self {
        Self { token: change(self.token), ..self }
    }

    /// Sends opaque tokens, for services that ask the issuer about them ([`TestIssuer::introspection`](crate::TestIssuer::introspection)).
    pub fn with_opaque_token(mut self) -> Self {
        self.is_opaque = true;
        self
    }

    /// Begins a request.
    ///
    /// # Panics
    ///
    /// If the path is not a valid URI.
    #[track_caller]
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        self.to_client().request(method, path)
    }

    crate::request::methods!();

    /// Returns a client that sends one token of this user with each request.
    ///
    /// # Panics
    ///
    /// Never: a token is a valid header value.
    pub fn to_client(&self) -> TestClient {
        let token = self.token.clone();
        let description = token.description();
        let token = if self.is_opaque { token.opaque() } else { token.build() };
        let mut client = self.client.clone();
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a token is ASCII");
        client.headers.insert(header::AUTHORIZATION, bearer);
        client.caller = Some(description);
        client
    }
}

/// Sends one token of the user with each request.
impl From<TestUser> for TestClient {
    fn from(user: TestUser) -> Self {
        user.to_client()
    }
}
