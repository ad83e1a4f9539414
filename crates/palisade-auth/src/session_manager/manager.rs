use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use palisade_core::{ApiError, BoxError, BoxFuture, Clock, Principal};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    builder::SessionManagerBuilder,
    cookie::SessionCookie,
    record::{self, FoundSession},
    storage::{NewSession, SessionId, SessionStorage, subject_id},
};
use crate::{Identity, SessionStore, Sessions, SessionsBuilder, cookies::CookieNamed};

/// Begins, renews and ends sessions, and finds them for [`Sessions`].
///
/// A login form checks the password, calls [`log_in`](Self::log_in), and answers with the `Set-Cookie` field that it
/// returns. From then on [`sessions`](Self::sessions) authenticates the caller.
///
/// - **The token** is 256 bits from the operating system's generator, new at each login, and in the cookie only: the
///   storage has its SHA-256. A token that a request brings along is never adopted, so that an attacker who plants one
///   gains nothing (session fixation), and a login ends the session that it replaces.
/// - **A session expires** when it is not used for the [idle time-out](SessionManagerBuilder::idle_timeout), and at the end
///   of its [lifetime](SessionManagerBuilder::lifetime) however much it is used. The storage and the manager both check the
///   latter.
/// - **The cookie** has the prefix `__Host-`, `Secure`, `HttpOnly` and [`SameSite`](super::SameSite), and lasts as long as
///   the session may.
///
/// `C` is your type for the claims of a caller. It is stored as JSON, with the [`Principal`].
///
/// ```
/// use http::{HeaderMap, header};
/// use palisade_auth::{InMemorySessions, SessionManager};
/// use palisade_core::{Decision, Policy, Principal};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct User { name: String }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let manager = SessionManager::<User, _>::builder(InMemorySessions::new(10_000)).build()?;
/// let auth = manager.sessions().build()?;
///
/// // in the handler of the login form, with the headers of its request
/// let ada = Principal::new("ada").with_roles(["editor"]);
/// let set_cookie = manager.log_in(&HeaderMap::new(), &ada, User { name: "Ada".into() }).await?;
/// let text = set_cookie.to_str()?;
/// assert!(text.starts_with("__Host-session=") && text.ends_with("; Secure; HttpOnly; SameSite=Lax"));
///
/// // the browser sends it back
/// let cookie = text.split(';').next().unwrap();
/// let (request, ()) = http::Request::get("/").header(header::COOKIE, cookie).body(())?.into_parts();
/// let Decision::Later(decision) = auth.decide(&request) else { panic!("a storage is asked") };
/// let identity = decision.await.unwrap().unwrap();
/// assert_eq!(identity.claims().name, "Ada");
///
/// // in the handler of the logout button
/// let set_cookie = manager.log_out(&request.headers).await?;
/// # Ok(()) })
/// # }
/// ```
pub struct SessionManager<C, S> {
    inner: Arc<Inner<S>>,
    claims: PhantomData<fn() -> C>,
}

pub(super) struct Inner<S> {
    pub(super) storage: S,
    pub(super) cookie: SessionCookie,
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl<C, S> SessionManager<C, S>
where
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
    S: SessionStorage,
{
    /// Sessions that are kept in `storage`.
    pub fn builder(storage: S) -> SessionManagerBuilder<C, S> {
        SessionManagerBuilder::new(storage)
    }

    /// Returns the authentication by these sessions, with the cookie of this manager. Its builder has further settings,
    /// such as the origins whose pages may send requests that change something.
    pub fn sessions(&self) -> SessionsBuilder<Self> {
        Sessions::builder(self.clone()).cookie(&*self.inner.cookie.name)
    }

    /// Begins a session, and ends the one that the request with these headers has. Returns the `Set-Cookie` field.
    ///
    /// # Errors
    ///
    /// 503 if the storage fails, 500 if the claims are larger than 16 KiB as JSON.
    pub async fn log_in(
        &self,
        headers: &HeaderMap,
        principal: &Principal,
        claims: C,
    ) -> Result<HeaderValue, ApiError> {
        let ends = self.inner.clock.unix().saturating_add(self.inner.lifetime);
        let data = record::write(principal, &claims, ends)
            .map_err(|error| ApiError::internal().with_source(error))?;
        let (_, set_cookie) = self.begin(principal, data, self.inner.lifetime).await?;
        self.end(headers).await?;
        Ok(set_cookie)
    }

    /// Gives the session of the request with these headers another token, such as after a change of password or of
    /// privileges. Its end stays. Returns the `Set-Cookie` field, or `None` if there is no session, also because it was ended
    /// at the same time.
    ///
    /// # Errors
    ///
    /// 503 if the storage fails.
    pub async fn renew(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, ApiError> {
        let Some(token) = self.token(headers) else { return Ok(None) };
        let Some((data, found)) = self.lookup(token).await.map_err(unavailable)? else {
            return Ok(None);
        };
        let left = found.ends.saturating_sub(self.inner.clock.unix());
        let (renewed, set_cookie) = self.begin(found.identity.principal(), data, left).await?;
        // A logout that ran since the lookup has removed the old session, and may have missed the new one. A logout that
        // starts from here on finds the new one.
        let (storage, old) = (&self.inner.storage, SessionId::of_token(token));
        if storage.find(old, self.inner.idle).await.map_err(unavailable)?.is_none() {
            storage.remove(renewed).await.map_err(unavailable)?;
            return Ok(None);
        }
        storage.remove(old).await.map_err(unavailable)?;
        Ok(Some(set_cookie))
    }

    /// Ends the session of the request with these headers. Returns the `Set-Cookie` field that removes the cookie.
    ///
    /// # Errors
    ///
    /// 503 if the storage fails. The session remains valid.
    pub async fn log_out(&self, headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
        self.end(headers).await?;
        self.inner.cookie.remove().ok_or_else(ApiError::internal)
    }

    /// Ends all sessions of a caller, on all devices.
    ///
    /// # Errors
    ///
    /// 503 if the storage fails. Some of the sessions may remain valid.
    pub async fn log_out_everywhere(&self, principal: &Principal) -> Result<(), ApiError> {
        let subject = subject_id(principal.issuer(), principal.subject());
        self.inner.storage.remove_all(&subject).await.map_err(unavailable)
    }

    async fn begin(
        &self,
        principal: &Principal,
        data: String,
        ends_in: Duration,
    ) -> Result<(SessionId, HeaderValue), ApiError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| unavailable(error.into()))?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let id = SessionId::of_token(&token);
        let session = NewSession {
            id,
            subject: subject_id(principal.issuer(), principal.subject()),
            data,
            idle: self.inner.idle,
            ends_in,
        };
        self.inner.storage.insert(session).await.map_err(unavailable)?;
        let set_cookie = self.inner.cookie.set(&token, ends_in).ok_or_else(ApiError::internal)?;
        Ok((id, set_cookie))
    }

    async fn end(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = self.token(headers) else { return Ok(()) };
        self.inner.storage.remove(SessionId::of_token(token)).await.map_err(unavailable)
    }

    /// Returns the token of a request. Of two cookies with the name neither counts, because one may be planted.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        match CookieNamed::read(headers, &self.inner.cookie.name) {
            CookieNamed::Value(token) => std::str::from_utf8(token).ok(),
            CookieNamed::Absent | CookieNamed::Two => None,
        }
    }
}

impl<C, S> SessionManager<C, S> {
    pub(super) fn new(inner: Inner<S>) -> Self {
        Self { inner: Arc::new(inner), claims: PhantomData }
    }
}

impl<C, S> SessionManager<C, S>
where
    C: DeserializeOwned + Send + Sync + 'static,
    S: SessionStorage,
{
    /// Finds a session that has not ended by the manager's clock.
    async fn lookup(&self, token: &str) -> Result<Option<(String, FoundSession<C>)>, BoxError> {
        let id = SessionId::of_token(token);
        let Some(data) = self.inner.storage.find(id, self.inner.idle).await? else {
            return Ok(None);
        };
        let found = record::read(&data)?;
        Ok((self.inner.clock.unix() < found.ends).then_some((data, found)))
    }
}

impl<C, S> SessionStore for SessionManager<C, S>
where
    C: DeserializeOwned + Send + Sync + 'static,
    S: SessionStorage,
{
    type Claims = C;

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<C>>, BoxError>> {
        let (this, token) = (self.clone(), token.to_owned());
        Box::pin(async move { Ok(this.lookup(&token).await?.map(|(_, found)| found.identity)) })
    }
}

fn unavailable(error: BoxError) -> ApiError {
    ApiError::unavailable().with_source(error)
}

impl<C, S> Clone for SessionManager<C, S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), claims: PhantomData }
    }
}

impl<C, S: fmt::Debug> fmt::Debug for SessionManager<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager")
            .field("storage", &self.inner.storage)
            .field("cookie", &self.inner.cookie.name)
            .finish_non_exhaustive()
    }
}
