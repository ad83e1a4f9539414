use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, SystemClock, syntax::is_token};

use super::{
    cookie::{SameSite, SessionCookie},
    manager::{Inner, SessionManager},
    storage::SessionStorage,
};

/// The settings of a [`SessionManager`]. Made by [`SessionManager::builder`].
///
/// ```
/// use std::time::Duration;
/// use palisade_auth::{InMemorySessions, SameSite, SessionManager};
///
/// let sessions = SessionManager::<(), _>::builder(InMemorySessions::new(10_000))
///     .cookie("__Host-shop")
///     .same_site(SameSite::Strict)
///     .idle_timeout(Duration::from_secs(15 * 60))
///     .lifetime(Duration::from_secs(8 * 60 * 60))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct SessionManagerBuilder<C, S> {
    storage: S,
    cookie: String,
    same_site: SameSite,
    idle_timeout: Duration,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
    claims: PhantomData<fn() -> C>,
}

/// The longest time that browsers keep a cookie: 400 days (RFC 6265bis, section 5.5).
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl<C, S: SessionStorage> SessionManagerBuilder<C, S> {
    pub(super) fn new(storage: S) -> Self {
        Self {
            storage,
            cookie: "__Host-session".to_owned(),
            same_site: SameSite::default(),
            idle_timeout: Duration::from_secs(30 * 60),
            lifetime: Duration::from_secs(12 * 60 * 60),
            clock: SystemClock::shared(),
            claims: PhantomData,
        }
    }

    /// Sets the name of the cookie, which begins with `__Host-`. Default: `__Host-session`.
    ///
    /// With the prefix, browsers accept the cookie only over https (or from `localhost`) and only from this host itself,
    /// so that no subdomain can plant a session.
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = name.into();
        self
    }

    /// Sets which requests from other sites carry the cookie. Default: [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets the time without a request after which a session expires. Default: 30 min.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// Sets the time after which a session expires however much it is used. Default: 12 h.
    pub fn lifetime(mut self, time: Duration) -> Self {
        self.lifetime = time;
        self
    }

    /// Sets the clock, for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If the cookie has no valid name that begins with `__Host-`, if the idle time-out is less than a second or more than
    /// the lifetime, or if the lifetime is more than 400 days.
    pub fn build(self) -> Result<SessionManager<C, S>, ConfigError> {
        let is_name = is_token(&self.cookie) && self.cookie.len() > "__Host-".len();
        if !(is_name && self.cookie.starts_with("__Host-")) {
            return Err(ConfigError::new(
                "cookie",
                self.cookie.escape_debug(),
                "use a name that begins with `__Host-`, such as `__Host-session`",
            ));
        }
        if self.lifetime > LONGEST {
            let remedy = "use 400 days at most, the longest time that browsers keep a cookie";
            return Err(ConfigError::new("lifetime", format!("{:?}", self.lifetime), remedy));
        }
        if self.idle_timeout < Duration::from_secs(1) || self.idle_timeout > self.lifetime {
            return Err(ConfigError::new(
                "idle_timeout",
                format!("{:?}", self.idle_timeout),
                "use at least 1 second, and at most the lifetime",
            ));
        }
        let cookie = SessionCookie { name: self.cookie.into(), same_site: self.same_site };
        Ok(SessionManager::new(Inner {
            storage: self.storage,
            cookie,
            idle: self.idle_timeout,
            lifetime: self.lifetime,
            clock: self.clock,
        }))
    }
}

impl<C, S: fmt::Debug> fmt::Debug for SessionManagerBuilder<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManagerBuilder")
            .field("storage", &self.storage)
            .field("cookie", &self.cookie)
            .field("idle_timeout", &self.idle_timeout)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
